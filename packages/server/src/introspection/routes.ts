import { MAX_CHECK_BATCH, MAX_TOKEN_LENGTH, type VerifierKeys } from '@countersign/protocol';
import { Hono } from 'hono';
import { z } from 'zod';
import type { Clients } from '../clients/clients.ts';
import { type HttpContext, type HttpEnv, readAuthorization, readForm, readJson } from '../http/http.ts';
import type { Keys } from '../keys/keys.ts';
import { type Introspection, requireResourceServer } from './introspection.ts';

const CHECK = z.object({
  tokens: z
    .array(z.object({ jti: z.string().max(64), digest: z.string().length(43) }))
    .min(1)
    .max(MAX_CHECK_BATCH),
});
/** A verifier counts for a minute at most; more than this in one number is a mistake. */
const MAX_SUPPRESSED = 1_000_000;
const REPORT = z.object({
  token: z.string().min(1).max(MAX_TOKEN_LENGTH),
  suppressed: z.int().min(0).max(MAX_SUPPRESSED).default(0),
});
/** Credentials of JSON endpoints come by Basic only. */
const NO_FORM = { get: () => undefined };

export function introspectionRoutes(given: {
  introspection: Introspection;
  clients: Clients;
  keys: Keys;
}): Hono<HttpEnv> {
  const { introspection, clients, keys } = given;
  const routes = new Hono<HttpEnv>();

  routes.post('/oauth2/introspect', async (c) => {
    const form = await readForm(c);
    const caller = await authenticated(c, form);
    return c.json(await introspection.introspect(caller, form.require('token'), c.var.request.address));
  });

  routes.post('/verifier/check', async (c) => {
    const caller = await authenticated(c, NO_FORM);
    const { tokens } = await readJson(c, CHECK);
    return c.json(await introspection.check(caller, tokens));
  });

  routes.post('/verifier/report', async (c) => {
    const caller = await authenticated(c, NO_FORM);
    await introspection.report(caller, await readJson(c, REPORT), c.var.request.address);
    return c.json({}, 202);
  });

  routes.get('/verifier/keys', async (c) => {
    const caller = await authenticated(c, NO_FORM);
    requireResourceServer(caller);
    const published: VerifierKeys = {
      keys: keys.verifierKeys().map(({ keyId, algorithm, jwk, isCompromised }) => ({
        kid: keyId,
        alg: algorithm,
        jwk: { ...jwk },
        status: isCompromised ? 'compromised' : 'good',
      })),
      audiences: [...caller.resourceServerFor],
    };
    return c.json(published);
  });

  function authenticated(c: HttpContext, form: { get(name: string): string | undefined }) {
    return clients.authenticate({ authorization: readAuthorization(c), form, network: c.var.request.network });
  }

  return routes;
}
