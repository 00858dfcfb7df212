import { type GuardVerifier, guard, tokenOf } from '@countersign/verifier/fastify';
import fastify from 'fastify';

/** The same with Fastify, which makes its server itself. */
export function createFastifyApi(parts: { verifier: GuardVerifier; https: { cert: Buffer; key: Buffer } }) {
  const api = fastify({ https: parts.https });
  api.get('/balance', { onRequest: guard(parts.verifier, { scopes: ['accounts:read'] }) }, async (request) => ({
    user: tokenOf(request).claims.sub,
    balance: 5000,
    currency: 'GBP',
  }));
  return api;
}
