import { type GuardVerifier, guard } from '@countersign/verifier/hono';
import { Hono } from 'hono';

/** A bank account in one route, with Hono. Whose balance is shown, the token alone decides. */
export function createApi(parts: { verifier: GuardVerifier }) {
  const api = new Hono();
  api.get('/balance', guard(parts.verifier, { scopes: ['accounts:read'] }), (c) =>
    c.json({ user: c.var.token.claims.sub, balance: 5000, currency: 'GBP' }),
  );
  return api;
}
