import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import express from 'express';
import { guard, tokenOf } from './express.ts';
import { accepting, ORIGIN } from './testing/accepting.ts';
import { guardConformance, WHOLE_APP_CACHE_CONTROL } from './testing/guard-conformance.ts';
import { listen, send } from './testing/wire.ts';

guardConformance('Express', {
  setsNoStore: true,
  createServer(verifier, routes) {
    const app = express();
    app.use((_request, response, next) => next(void response.set('Cache-Control', WHOLE_APP_CACHE_CONTROL)));
    for (const { path, requirement, handle } of routes) {
      app.all(path, guard(verifier, requirement), async (request, response) => {
        const { body, cacheControl } = await handle({ token: () => tokenOf(request), readBody: () => text(request) });
        if (cacheControl) response.set('Cache-Control', cacheControl);
        response.send(body);
      });
    }
    app.use(quietly);
    return createServer(app);
  },
});

/** Express prints errors that nobody handles. */
const quietly: express.ErrorRequestHandler = (_error, _request, response, _next) => {
  response.status(500).end();
};

test('a requirement that no token can meet stops the start', () => {
  assert.throws(() => guard(accepting().verifier, { scopes: ['a b'] }), TypeError);
});

test('no client can put a token where handlers look, not even past middleware that copies bodies onto requests', async () => {
  const app = express();
  app.use(express.json(), (request, _response, next) => {
    Object.assign(request, request.body, request.query);
    next();
  });
  app.all('/unguarded', (request, response) => {
    assert.throws(() => tokenOf(request), /no guard has let this request pass/);
    response.end('nobody');
  });
  const served = await listen(createServer(app));
  try {
    const answer = await send(served.port, {
      method: 'POST',
      path: '/unguarded?token=x',
      headers: [['Content-Type', 'application/json']],
      body: '{"token":{"claims":{"sub":"admin"}},"tokenOf":{"claims":{"sub":"admin"}}}',
    });
    assert.deepEqual([answer.status, answer.body], [200, 'nobody']);
  } finally {
    await served.close();
  }
});

test('a proof is for the whole path, under a mounted router too', async () => {
  const { verifier, asked } = accepting();
  const router = express.Router();
  router.get('/me', guard(verifier), (_request, response) => void response.end());
  const served = await listen(createServer(express().use('/v1', router)));
  try {
    await send(served.port, {
      path: '/v1/me?x=1',
      headers: [
        ['Authorization', 'DPoP x'],
        ['DPoP', 'a.b.c'],
      ],
    });
    assert.equal(asked[0]?.asked?.proof?.url, `${ORIGIN}/v1/me`);
  } finally {
    await served.close();
  }
});

test('where a timeout has answered already, a refusal adds nothing and the server lives on', async () => {
  const { verifier } = accepting();
  const app = express();
  const handled = Promise.withResolvers<boolean>();
  app.use((_request, response, next) => {
    response.status(503).end('late');
    next();
  });
  app.get('/me', guard(verifier), (_request, response) => handled.resolve(response.headersSent));
  const served = await listen(createServer(app));
  try {
    for (const line of ['Bearer a b', 'Bearer x']) {
      const answer = await send(served.port, { path: '/me', headers: [['Authorization', line]] });
      assert.deepEqual([answer.status, answer.body], [503, 'late']);
    }
    assert.equal(await handled.promise, true);
  } finally {
    await served.close();
  }
});
