import assert from 'node:assert/strict';
import { test } from 'node:test';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { guard, tokenOf } from './fastify.ts';
import { accepting, ORIGIN } from './testing/accepting.ts';
import { guardConformance, WHOLE_APP_CACHE_CONTROL } from './testing/guard-conformance.ts';
import { type Answer, listen, type Sent, send } from './testing/wire.ts';

guardConformance('Fastify', {
  setsNoStore: true,
  async createServer(verifier, routes) {
    const app = fastify({ bodyLimit: 4_000_000 });
    app.addHook('onRequest', async (_, reply) => void reply.header('cache-control', WHOLE_APP_CACHE_CONTROL));
    app.addContentTypeParser(
      'application/x-www-form-urlencoded',
      { parseAs: 'string' },
      async (_: FastifyRequest, body: string) => body,
    );
    for (const { path, requirement, handle } of routes) {
      app.all(path, { onRequest: guard(verifier, requirement) }, async (request, reply) => {
        const { body, cacheControl } = await handle({
          token: () => tokenOf(request),
          readBody: async () => String(request.body),
        });
        if (cacheControl) reply.header('cache-control', cacheControl);
        return body;
      });
    }
    await app.ready();
    return app.server;
  },
});

/** Sends one request to the app over a socket. */
async function ask(app: FastifyInstance, sent: Sent): Promise<Answer> {
  await app.ready();
  const served = await listen(app.server);
  try {
    return await send(served.port, sent);
  } finally {
    await served.close();
  }
}

test('a requirement that no token can meet stops the start', () => {
  assert.throws(() => guard(accepting().verifier, { scopes: ['a b'] }), TypeError);
});

test('it is a preHandler as well, and fits routes that type their replies', async () => {
  const app = fastify();
  app.post<{ Body: { amount: number }; Reply: { 200: { user: string } } }>(
    '/pay',
    { preHandler: guard(accepting().verifier) },
    async (request, reply) => reply.code(200).send({ user: tokenOf(request).claims.sub }),
  );
  const answer = await ask(app, {
    method: 'POST',
    path: '/pay',
    headers: [
      ['Authorization', 'Bearer x'],
      ['Content-Type', 'application/json'],
    ],
    body: '{"amount":5}',
  });
  assert.deepEqual([answer.status, answer.body], [200, '{"user":"user_1"}']);
});

test('as onRequest it refuses before a body is parsed', async () => {
  const app = fastify();
  app.addContentTypeParser('text/x', { parseAs: 'string' }, async () => assert.fail('the body was parsed'));
  const { verifier } = accepting();
  app.post('/me', { onRequest: guard(verifier) }, async () => 'passed');
  const headers: Sent['headers'] = [
    ['Authorization', 'Bearer a b'],
    ['Content-Type', 'text/x'],
  ];
  const answer = await ask(app, { method: 'POST', path: '/me', headers, body: 'x' });
  assert.equal(answer.status, 400);
});

test('no client can put a token where handlers look', async () => {
  const app = fastify();
  app.addHook('preHandler', async (request) => {
    Object.assign(request, request.body, request.query);
  });
  app.post('/unguarded', async (request) => {
    assert.throws(() => tokenOf(request), /no guard has let this request pass/);
    return 'nobody';
  });
  const answer = await ask(app, {
    method: 'POST',
    path: '/unguarded?token=x',
    headers: [['Content-Type', 'application/json']],
    body: '{"token":{"claims":{"sub":"admin"}},"tokenOf":"x"}',
  });
  assert.deepEqual([answer.status, answer.body], [200, 'nobody']);
});

test('a proof is for the path as the client wrote it, under a prefix and where URLs are rewritten', async () => {
  const { verifier, asked } = accepting();
  const app = fastify({ rewriteUrl: (request) => request.url?.replace('/public', '') ?? '/' });
  app.register(async (scope) => void scope.get('/me', { onRequest: guard(verifier) }, async () => 'passed'), {
    prefix: '/v1',
  });
  const answer = await ask(app, {
    path: '/public/v1/me?x=1',
    headers: [
      ['Authorization', 'DPoP x'],
      ['DPoP', 'a.b.c'],
    ],
  });
  assert.equal(answer.body, 'passed');
  assert.equal(asked[0]?.asked?.proof?.url, `${ORIGIN}/public/v1/me`);
});

test('a refusal is final: no slow hook and no client that hangs up lets the handler run', async () => {
  const sending = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  let handled = false;
  const app = fastify();
  app.addHook('onSend', async (_, reply) => {
    reply.raw.once('close', closed.resolve);
    sending.resolve();
    await release.promise;
  });
  app.get('/pay', { onRequest: guard(accepting().verifier) }, async () => {
    handled = true;
    return 'paid';
  });
  await app.ready();
  const served = await listen(app.server);
  try {
    const leave = new AbortController();
    const headers = [['Authorization', 'Bearer a b']] as const;
    const left = send(served.port, { path: '/pay', headers, signal: leave.signal });
    await sending.promise;
    leave.abort();
    await assert.rejects(left, { name: 'AbortError' });
    await closed.promise;
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
    assert.equal(handled, false);
    release.resolve();
  } finally {
    await served.close();
  }
});

test('where something else has answered already, a refusal adds nothing and nobody gets in', async () => {
  const { verifier } = accepting();
  for (const line of ['Bearer x', 'Bearer a b']) {
    let handled = false;
    const app = fastify();
    app.addHook('onRequest', async (_, reply) => void reply.raw.end('late'));
    app.get('/me', { onRequest: guard(verifier) }, async () => {
      handled = true;
      return 'passed';
    });
    const answered = await ask(app, { path: '/me', headers: [['Authorization', line]] });
    assert.deepEqual([answered.body, handled], ['late', false]);
  }
});
