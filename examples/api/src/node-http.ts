import type { RequestListener } from 'node:http';
import { type GuardVerifier, guard } from '@countersign/verifier/node';

/** The same with nothing but Node. */
export function createListener(parts: { verifier: GuardVerifier }): RequestListener {
  const readsAccounts = guard(parts.verifier, { scopes: ['accounts:read'] });
  return async (request, response) => {
    try {
      if (request.method !== 'GET' || request.url?.split('?')[0] !== '/balance') {
        response.writeHead(404).end();
        return;
      }
      const token = await readsAccounts(request, response);
      if (!token) return; // it has been answered
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ user: token.claims.sub, balance: 5000, currency: 'GBP' }));
    } catch {
      response.writeHead(500).end();
    }
  };
}
