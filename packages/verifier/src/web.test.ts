import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAdaptorServer } from '@hono/node-server';
import { accepting } from './testing/accepting.ts';
import { guardConformance } from './testing/guard-conformance.ts';
import { guardRequest } from './web.ts';

guardConformance('a Web Request', {
  setsNoStore: false,
  createServer(verifier, routes) {
    const fetch = async (request: Request): Promise<Response> => {
      const route = routes.find(({ path }) => path === new URL(request.url).pathname);
      if (!route) return new Response(null, { status: 404 });
      const guarded = await guardRequest(verifier, request, route.requirement);
      if (guarded.kind === 'refuse') return guarded.response;
      const { body } = await route.handle({ token: () => guarded.token, readBody: () => request.text() });
      return new Response(body, { headers: { 'cache-control': 'no-store' } });
    };
    const answerErrors = (request: Request) => fetch(request).catch(() => new Response(null, { status: 500 }));
    return createServerOf(answerErrors);
  },
});

function createServerOf(fetch: (request: Request) => Promise<Response>) {
  const server = createAdaptorServer({ fetch });
  assert.ok('closeAllConnections' in server); // HTTP/1, as no other was asked for
  return server;
}

test('a requirement that no token can meet is an error, not a refusal', async () => {
  const request = new Request('https://api.example/');
  await assert.rejects(guardRequest(accepting().verifier, request, { scopes: ['a b'] }), TypeError);
});
