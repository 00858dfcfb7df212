import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { Verifier, VerifyResult } from '@countersign/verifier';
import { serve } from '@hono/node-server';
import { createApi } from './api.ts';

const REFUSED: VerifyResult = { kind: 'refused', code: 'token_missing', status: 401, challenge: 'Bearer realm="x"' };
const ACCEPTED: VerifyResult = {
  kind: 'accepted',
  claims: {
    iss: 'https://login.example',
    sub: 'user_1',
    aud: 'x',
    client_id: 'c',
    jti: 'j',
    iat: 0,
    exp: 1,
    scope: 'accounts:read',
  },
  handles: { token: 't', client: 'c', key: 'k' },
  expiresInMs: 1000,
};

/** Knows one good token; what a real one checks is shown where it lives. Remembers the scopes it was asked for. */
function verifierThatKnows(good: string) {
  const asked: (readonly string[] | undefined)[] = [];
  const verifier: Verifier = {
    audience: 'x',
    verify: async (token, requirement) => {
      asked.push(requirement?.scopes);
      return token === good ? ACCEPTED : REFUSED;
    },
    ready: async () => {},
    status: () => ({ accepted: 0, refused: {}, unavailable: {}, evidence: { sent: 0, failed: 0, suppressed: 0 } }),
    close: async () => {},
  };
  return { verifier, asked };
}

test('the balance is shown to the holder of a good token that may read accounts', async () => {
  const { verifier, asked } = verifierThatKnows('good');
  const response = await createApi({ verifier }).request('/balance', { headers: { authorization: 'Bearer good' } });
  assert.deepEqual(await response.json(), { user: 'user_1', balance: 5000, currency: 'GBP' });
  assert.deepEqual(asked, [['accounts:read']]);
});

test('nobody else sees it', async () => {
  const api = createApi({ verifier: verifierThatKnows('good').verifier });
  assert.equal((await api.request('/balance')).status, 401);
  assert.equal((await api.request('/balance', { headers: { authorization: 'Bearer bad' } })).status, 401);
});

test('BR-03 two Authorization headers on the wire are an invalid request', async () => {
  const api = createApi({ verifier: verifierThatKnows('good').verifier });
  const server = serve({ fetch: api.fetch, hostname: 'localhost', port: 0 });
  if (!server.listening) await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // listening on TCP
  const call = request({
    host: 'localhost',
    port,
    path: '/balance',
    headers: ['Host', 'localhost', 'Authorization', 'Bearer good', 'Authorization', 'Bearer good'],
  });
  call.end();
  const [response] = await once(call, 'response');
  response.resume();
  assert.equal(response.statusCode, 400);
  await new Promise((resolve) => server.close(resolve));
});
