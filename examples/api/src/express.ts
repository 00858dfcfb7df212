import { type GuardVerifier, guard, tokenOf } from '@countersign/verifier/express';
import express from 'express';

/** The same with Express. */
export function createExpressApi(parts: { verifier: GuardVerifier }) {
  const api = express();
  api.get('/balance', guard(parts.verifier, { scopes: ['accounts:read'] }), (request, response) => {
    response.json({ user: tokenOf(request).claims.sub, balance: 5000, currency: 'GBP' });
  });
  return api;
}
