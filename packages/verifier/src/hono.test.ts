import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { guard } from './hono.ts';
import { accepting, ORIGIN } from './testing/accepting.ts';
import { guardConformance, WHOLE_APP_CACHE_CONTROL } from './testing/guard-conformance.ts';

guardConformance('Hono', {
  setsNoStore: true,
  createServer(verifier, routes) {
    const app = new Hono();
    app.use(async (c, next) => {
      c.header('cache-control', WHOLE_APP_CACHE_CONTROL);
      await next();
    });
    for (const { path, requirement, handle } of routes) {
      app.all(path, guard(verifier, requirement), async (c) => {
        const { body, cacheControl } = await handle({ token: () => c.var.token, readBody: () => c.req.text() });
        if (cacheControl) c.header('cache-control', cacheControl);
        return c.body(body);
      });
    }
    app.onError((_error, c) => c.body(null, 500)); // the default prints what nobody handles
    const server = createAdaptorServer({ fetch: app.fetch });
    assert.ok('closeAllConnections' in server); // HTTP/1, as no other was asked for
    return server;
  },
});

const BEARER = { headers: { authorization: 'Bearer x' } };

test('a requirement that no token can meet stops the start', () => {
  assert.throws(() => guard(accepting().verifier, { scopes: ['a b'] }), TypeError);
});

test('a handler may answer with a response of its own, even one whose headers cannot be changed', async () => {
  const api = new Hono()
    .use(guard(accepting().verifier))
    .get('/moved', () => Response.redirect('https://elsewhere.example/'))
    .get('/own', () => new Response('x', { headers: { 'cache-control': 'private' } }));
  const moved = await api.request('/moved', BEARER);
  assert.equal(moved.status, 302);
  assert.equal(moved.headers.get('location'), 'https://elsewhere.example/');
  assert.equal(moved.headers.get('cache-control'), 'no-store');
  assert.equal((await api.request('/own', BEARER)).headers.get('cache-control'), 'private');
});

test('no client can put a token where handlers look', async () => {
  const api = new Hono<{ Variables: { token?: unknown } }>().all('/unguarded', (c) => c.json(c.var.token ?? 'nobody'));
  const response = await api.request('/unguarded?token=x', {
    method: 'POST',
    headers: { 'content-type': 'application/json', token: 'x', 'x-token': 'x' },
    body: '{"token":{"claims":{"sub":"admin"}},"__proto__":{"token":{}}}',
  });
  assert.equal(await response.json(), 'nobody');
});

test('a proof is for the whole path, in a mounted app too', async () => {
  const { verifier, asked } = accepting();
  const api = new Hono().route(
    '/v1',
    new Hono().get('/me', guard(verifier), (c) => c.text('passed')),
  );
  await api.request('/v1/me?x=1', { headers: { authorization: 'DPoP x', dpop: 'a.b.c' } });
  assert.equal(asked[0]?.asked?.proof?.url, `${ORIGIN}/v1/me`);
});

test('a page of another origin can read why it was refused, where CORS comes before the guard', async () => {
  const api = new Hono()
    .use(cors({ origin: 'https://app.example', exposeHeaders: ['WWW-Authenticate'] }))
    .get('/me', guard(accepting().verifier), (c) => c.text('passed'));
  const headers = { origin: 'https://app.example' };
  const preflight = await api.request('/me', {
    method: 'OPTIONS',
    headers: { ...headers, 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' },
  });
  assert.equal(preflight.status, 204);
  const refused = await api.request('/me', { headers: { ...headers, authorization: 'Bearer a b' } });
  assert.equal(refused.status, 400);
  assert.equal(refused.headers.get('access-control-allow-origin'), 'https://app.example');
  assert.equal(refused.headers.get('access-control-expose-headers'), 'WWW-Authenticate');
});
