import { MAX_STALENESS_MS, MIN_STALENESS_MS, NONCE_LENGTH } from '@countersign/protocol';
import { Hono } from 'hono';
import { z } from 'zod';
import type { Clients } from '../clients/clients.ts';
import {
  Form,
  type HttpContext,
  type HttpEnv,
  HttpRefusal,
  readAuthorization,
  readJson,
  readQuery,
} from '../http/http.ts';
import { requireResourceServer } from '../introspection/introspection.ts';
import { OAuthError } from '../oauth/oauth.ts';
import type { Opened, Push, StreamAsked } from './push.ts';

const NONCE = new RegExp(`^[A-Za-z0-9_-]{${NONCE_LENGTH}}$`);
const PULSE = z.object({ stream: z.string().min(1).max(64), nonce: z.string().regex(NONCE) });
/** Counts nothing that JavaScript could not count exactly. */
const MAX_DIGITS = 15;
/** A verifier that finds no room waits for a stream to end, or asks another node. */
const FULL_RETRY_SECONDS = 30;
/** Nonces that wait are echoed within a read, unless the store is away. */
const PULSE_RETRY_SECONDS = 1;

/** `GET /verifier/stream` and `POST /verifier/pulse`, for resource servers. */
export function pushRoutes(given: { push: Push; clients: Clients }): Hono<HttpEnv> {
  const { push, clients } = given;
  const routes = new Hono<HttpEnv>();

  routes.get('/verifier/stream', async (c) => {
    const caller = await resourceServer(c);
    const asked = streamAsked(readQuery(c));
    c.header('Content-Type', 'text/event-stream');
    c.header('Cache-Control', 'no-store');
    c.header('X-Accel-Buffering', 'no'); // nginx would hold messages back until its buffer is full
    c.header('Connection', 'close'); // a stream is the last answer of its connection, so a server that stops waits for none of them
    if (c.req.raw.method === 'HEAD') return c.body(null);
    const opened = await push.open(caller, asked);
    if (opened.kind !== 'opened') throw notOpened(opened.kind);
    return c.body(opened.body);
  });

  routes.post('/verifier/pulse', async (c) => {
    const caller = await resourceServer(c);
    const taken = push.pulse(caller, await readJson(c, PULSE));
    if (taken === 'taken') return c.json({}, 202);
    if (taken === 'unknown') {
      const message = 'This node holds no such stream of this client. Open a new one.';
      throw new HttpRefusal(409, 'conflict.unknown_stream', message);
    }
    throw limited('rate_limited.nonces', 'Too many nonces wait on this stream.', PULSE_RETRY_SECONDS);
  });

  async function resourceServer(c: HttpContext) {
    const [authorization, form] = [readAuthorization(c), new Form(new Map())];
    const caller = await clients.authenticate({ authorization, form, network: c.var.request.network });
    requireResourceServer(caller);
    return caller;
  }

  return routes;
}

/** @throws OAuthError invalid_request */
function streamAsked(query: Form): StreamAsked {
  const nonce = query.require('nonce');
  if (!NONCE.test(nonce)) throw badParameter('nonce', `${NONCE_LENGTH} characters of base64url`);
  const maxStalenessMs = wholeNumber('max_staleness_ms', query.require('max_staleness_ms'));
  if (maxStalenessMs < MIN_STALENESS_MS || maxStalenessMs > MAX_STALENESS_MS) {
    throw badParameter('max_staleness_ms', `from ${MIN_STALENESS_MS} to ${MAX_STALENESS_MS}`);
  }
  if (query.get('epoch') === undefined && query.get('cursor') === undefined) {
    return { nonce, maxStalenessMs, resume: undefined };
  }
  const epoch = wholeNumber('epoch', query.require('epoch'));
  const cursor = wholeNumber('cursor', query.require('cursor'));
  return { nonce, maxStalenessMs, resume: { epoch, cursor } };
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d+$/.test(text) || text.length > MAX_DIGITS) throw badParameter(name, 'a whole number');
  return Number(text);
}

function badParameter(name: string, must: string): OAuthError {
  return new OAuthError('invalid_request', `bad_request.bad_param.${name}`, `The parameter ${name} must be ${must}.`);
}

function notOpened(kind: Exclude<Opened['kind'], 'opened'>): Error {
  switch (kind) {
    case 'too_many_of_client':
      return limited('rate_limited.streams', 'Too many streams of this client are open.', FULL_RETRY_SECONDS);
    case 'too_many':
    case 'stopping':
      return away('unavailable.streams', 'This node opens no more streams. Try again, perhaps at another one.');
    case 'behind':
      return away('unavailable.store_behind', 'The store is an older copy of what it was. An operator has to look.');
  }
}

function limited(code: 'rate_limited.streams' | 'rate_limited.nonces', message: string, retryAfterSeconds: number) {
  return new OAuthError('temporarily_unavailable', code, message, { retryAfterSeconds });
}

function away(code: 'unavailable.streams' | 'unavailable.store_behind', message: string): HttpRefusal {
  return new HttpRefusal(503, code, message, { 'Retry-After': String(FULL_RETRY_SECONDS) });
}
