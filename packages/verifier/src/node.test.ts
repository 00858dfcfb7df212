import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { connect, createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { guard } from './node.ts';
import { accepting } from './testing/accepting.ts';
import { guardConformance, WHOLE_APP_CACHE_CONTROL } from './testing/guard-conformance.ts';
import { listen, send } from './testing/wire.ts';

guardConformance('node:http', {
  setsNoStore: true,
  createServer(verifier, routes) {
    const listeners = new Map<string, RequestListener>();
    for (const { path, requirement, handle } of routes) {
      const guarded = guard(verifier, requirement);
      listeners.set(path, async (request, response) => {
        try {
          const token = await guarded(request, response);
          if (!token) return;
          const { body, cacheControl } = await handle({ token: () => token, readBody: () => text(request) });
          if (cacheControl) response.setHeader('Cache-Control', cacheControl);
          response.end(body);
        } catch {
          response.writeHead(500).end();
        }
      });
    }
    return createServer((request, response) => {
      response.setHeader('Cache-Control', WHOLE_APP_CACHE_CONTROL);
      listeners.get(request.url?.split('?')[0] ?? '')?.(request, response);
    });
  },
});

test('a requirement that no token can meet stops the start', () => {
  assert.throws(() => guard(accepting().verifier, { scopes: ['a b'] }), TypeError);
});

test('where the response was sent meanwhile, neither a pass nor a refusal adds to it', async () => {
  const guarded = guard(accepting().verifier);
  for (const [line, passes] of [
    ['Bearer x', true],
    ['Bearer a b', false],
  ] as const) {
    const passed = Promise.withResolvers<boolean>();
    const served = await listen(
      createServer(async (request, response) => {
        response.end('late');
        passed.resolve(guarded(request, response).then((token) => token !== undefined));
      }),
    );
    try {
      const answer = await send(served.port, { path: '/', headers: [['Authorization', line]] });
      assert.deepEqual([answer.status, answer.body], [200, 'late']);
      assert.equal(await passed.promise, passes);
    } finally {
      await served.close();
    }
  }
});

test('it works on HTTP/2, and sees repeated lines there too', async () => {
  const guarded = guard(accepting().verifier);
  const server = createHttp2Server(async (request, response) => {
    const token = await guarded(request, response);
    if (token) response.end(token.claims.sub);
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // listening on TCP
  // Node's own client sends no repeated line unless told to; its types do not know the option yet.
  const options = { settings: {}, strictSingleValueFields: false };
  const session = connect(`http://localhost:${port}`, options);
  try {
    const get = async (lines: string[]) => {
      const stream = session.request([':path', '/', ...lines.flatMap((line) => ['authorization', line])]);
      const [headers] = await once(stream, 'response');
      return { status: headers[':status'], body: await text(stream) };
    };
    assert.deepEqual(await get(['Bearer x']), { status: 200, body: 'user_1' });
    assert.equal((await get(['Bearer x', 'Bearer x'])).status, 400);
  } finally {
    session.close();
    server.close();
    await once(server, 'close');
  }
});
