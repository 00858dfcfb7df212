import { Hono } from 'hono';
import type { Clients } from '../clients/clients.ts';
import { cors, type HttpEnv, readForm, requireBearer } from '../http/http.ts';
import type { Tokens } from '../tokens/tokens.ts';
import type { Identity } from './identity.ts';

export function identityRoutes(given: { identity: Identity; tokens: Tokens; clients: Clients }): Hono<HttpEnv> {
  const { identity, tokens, clients } = given;
  const routes = new Hono<HttpEnv>();
  const pages = cors({ origins: () => clients.allowedOrigins(), methods: ['GET', 'POST'] });
  routes.use('/userinfo', pages);
  routes.use('/ping/whoami', pages);

  routes.get('/userinfo', async (c) =>
    c.json(await identity.userinfo(await tokens.accept(requireBearer(c), c.var.request))),
  );

  // By POST the token may stand in the form (OpenID Connect Core §5.3.1, RFC 6750 §2.2).
  routes.post('/userinfo', async (c) => {
    const form = await readForm(c);
    return c.json(
      await identity.userinfo(await tokens.accept(requireBearer(c, form.get('access_token')), c.var.request)),
    );
  });

  routes.get('/ping/whoami', async (c) => {
    const { row } = await tokens.accept(requireBearer(c), c.var.request);
    return c.json({ authenticated: true, client_id: row.clientId, user_id: row.userId ?? null });
  });

  return routes;
}
