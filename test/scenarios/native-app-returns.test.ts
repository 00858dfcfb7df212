import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, startTestServer, type TestServer } from '@countersign/testkit';
import { authorize, type Code, opened, redeem, sentOn } from './oauth-calls.ts';

/** Verifier of the challenge that the stories send (RFC 7636 appendix B). */
const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';

let server: TestServer;
let browser: Browser;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
});
after(() => server.close());

const nativeApp = (redirectUri: string) => server.addClient({ isConfidential: false, redirectUris: [redirectUri] });

async function returnsTo(registered: string, requested: string): Promise<Code | undefined> {
  const app = await nativeApp(registered);
  const { page } = await authorize(browser, app, { redirect_uri: requested });
  if (page.status !== 200) return undefined;
  const { page: sent, answer } = sentOn(await browser.submit(page, { decision: 'allow' }, { action: '/consent' }));
  assert.ok(sent.headers.get('location')?.startsWith(requested));
  const code = { code: answer?.get('code') ?? '', verifier: VERIFIER, redirectUri: requested };
  assert.equal((await redeem(server, app, { ...code, redirectUri: registered.replace('/cb', '/other') })).status, 400);
  const tokens = await redeem(server, app, code);
  assert.equal(tokens.status, 200);
  assert.equal(tokens.body.refresh_token, undefined, 'a public client cannot bind one');
  assert.equal(opened(tokens.body.access_token ?? '').claims.client_id, app.client.id);
  return code;
}

test('ND-01 a loopback redirect may come to any port, of the same host and path', async () => {
  for (const [registered, requested] of [
    ['http://127.0.0.1/cb', 'http://127.0.0.1:51004/cb'],
    ['http://127.0.0.1:8000/cb', 'http://127.0.0.1:51004/cb'],
    ['http://[::1]/cb', 'http://[::1]:51004/cb'],
    ['http://127.0.0.1/cb', 'http://127.0.0.1/cb'],
  ] as const) {
    assert.ok(await returnsTo(registered, requested), requested);
  }
  for (const [registered, requested] of [
    ['http://127.0.0.1/cb', 'http://127.0.0.1:51004/other'],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:51004/cb?x=1'],
    ['http://127.0.0.1/cb', 'http://127.0.0.2:51004/cb'],
    ['http://127.0.0.1/cb', 'http://[::1]:51004/cb'],
    ['http://127.0.0.1/cb', 'http://localhost:51004/cb'],
    ['http://127.0.0.1/cb', 'https://127.0.0.1:51004/cb'],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:999999/cb'],
    ['http://127.0.0.1/cb', 'http://127.0.0.1:51004@evil.example/cb'],
    ['https://127.0.0.1/cb', 'https://127.0.0.1:51004/cb'],
  ] as const) {
    assert.equal(await returnsTo(registered, requested), undefined, requested);
  }
});

test('ND-02 a private-use scheme of a reverse domain name is offered', async () => {
  assert.ok(await returnsTo('com.example.app:/cb', 'com.example.app:/cb'));
  assert.equal(await returnsTo('com.example.app:/cb', 'com.example.evil:/cb'), undefined);
  await assert.rejects(nativeApp('myapp:/cb'), { code: 'bad_registration.redirect_uris' });
});
