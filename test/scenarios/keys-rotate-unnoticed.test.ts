import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, DEFAULT_AUDIENCE, startTestServer, type TestServer } from '@countersign/testkit';
import { createVerifier } from '@countersign/verifier';
import { type Application, authorize, isActive, opened, read, refresh } from './oauth-calls.ts';

const DAY_MS = 24 * 60 * 60_000;

let server: TestServer;
let browser: Browser;
let app: Application;
let resourceServer: Application;
before(async () => {
  server = await startTestServer({ jobs: false });
  browser = await server.logIn('ada@example.com');
  app = await server.addClient();
  resourceServer = await server.addResourceServer();
});
after(() => server.close());

async function published(): Promise<string[]> {
  const { body } = await read(await fetch(`${server.issuer}/.well-known/jwks.json`));
  return (body.keys as { kid: string }[]).map(({ kid }) => kid); // RFC 7517 §5, checked by its own story
}

const keyOf = (token: string | undefined) => String(opened(token ?? '').header.kid);
const obtain = () => server.obtainTokens({ browser, client: app.client, secret: app.secret });

test('JT-16 an operator rotates: the next key was known before, and older tokens of every kind stay good', async () => {
  const before = await published();
  const old = await obtain();
  for (const purpose of ['access', 'refresh', 'id'] as const) await server.authority.keys.rotate({ now: purpose });
  const next = await obtain();
  assert.notEqual(keyOf(next.access_token), keyOf(old.access_token));
  assert.notEqual(keyOf(next.id_token), keyOf(old.id_token));
  assert.notEqual(keyOf(next.refresh_token), keyOf(old.refresh_token));
  assert.ok(before.includes(keyOf(next.access_token)), 'whoever cached the set can verify at once');
  assert.ok(before.includes(keyOf(next.id_token)));
  const afterwards = await published();
  assert.ok(afterwards.includes(keyOf(old.access_token)));
  assert.ok(
    afterwards.some((kid) => !before.includes(kid)),
    'a new standby waits',
  );
  assert.equal(await isActive(server, resourceServer, old.access_token), true);
  assert.equal(await isActive(server, resourceServer, next.access_token), true);
  const hinted = await authorize(browser, app, { id_token_hint: old.id_token ?? '', prompt: 'none' });
  assert.equal(typeof hinted.answer?.get('code'), 'string');
  assert.equal((await refresh(server, app, old.refresh_token)).status, 200);
});

test('JT-16 a resource server with the SDK accepts tokens of both keys, across a rotation it was not told of', async (t) => {
  const verifier = createVerifier({
    issuer: server.issuer,
    audience: DEFAULT_AUDIENCE,
    credentials: { clientId: resourceServer.client.id, clientSecret: resourceServer.secret },
    clock: server.clock,
  });
  t.after(() => verifier.close());
  const old = await obtain();
  assert.equal((await verifier.verify(old.access_token)).kind, 'accepted');
  for (let rotation = 0; rotation < 2; rotation++) {
    await server.authority.keys.rotate({ now: 'access' });
    server.clock.advance(60_000); // a key that was never seen is asked for, at most so often
    const next = await obtain();
    assert.notEqual(keyOf(next.access_token), keyOf(old.access_token));
    assert.equal((await verifier.verify(next.access_token)).kind, 'accepted', `rotation ${rotation + 1}`);
    assert.equal((await verifier.verify(old.access_token)).kind, 'accepted');
  }
});

test('JT-16 by the clock: no key signs before it was published for the cache age, none leaves before its last token', async () => {
  const seenAtMs = new Map<string, number>();
  const lastTokens = new Map<string, string>();
  const { keys } = server.authority;
  let browser = await server.logIn('grace@example.com');
  const signers = new Set<string>();
  for (let day = 0; day < 100; day += 10) {
    server.clock.advance(10 * DAY_MS);
    await keys.rotate();
    for (const kid of await published()) if (!seenAtMs.has(kid)) seenAtMs.set(kid, server.clock.now());
    browser = await server.logIn('grace@example.com', browser);
    const { access_token: token } = await server.obtainTokens({ browser, client: app.client, secret: app.secret });
    const kid = keyOf(token);
    if (!signers.has(kid) && signers.size > 0) {
      assert.ok(server.clock.now() - (seenAtMs.get(kid) ?? server.clock.now()) >= 10 * 60_000, 'published before use');
      for (const last of lastTokens.values()) assert.ok((await published()).includes(keyOf(last)) === true);
    }
    signers.add(kid);
    lastTokens.set(kid, token);
    assert.equal(await isActive(server, resourceServer, token), true);
  }
  assert.ok(signers.size >= 2, 'ninety days make a rotation');
});

test('JT-16 a retired key is gone once nothing it signed can be good', async () => {
  browser = await server.logIn('ada@example.com');
  const { access_token: token } = await obtain();
  await server.authority.keys.rotate({ now: 'access' });
  assert.ok((await published()).includes(keyOf(token)));
  server.clock.advance(3 * DAY_MS);
  await server.authority.keys.rotate();
  assert.equal((await published()).includes(keyOf(token)), false);
});
