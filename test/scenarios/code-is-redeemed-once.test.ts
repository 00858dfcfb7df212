import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type Browser, startTestServer, type TestServer } from '@countersign/testkit';
import { type Application, introspect, isActive, redeem, refresh } from './oauth-calls.ts';

let server: TestServer;
let browser: Browser;
let app: Application;
let resourceServer: Application;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
  app = await server.addClient();
  resourceServer = await server.addResourceServer();
});
after(() => server.close());

const obtain = (parameters: Record<string, string> = {}) =>
  server.obtainCode({ browser, client: app.client, parameters });

function assertRefused(answer: { status: number; body: { error?: string; code?: string } }): void {
  assert.equal(answer.status, 400);
  assert.equal(answer.body.error, 'invalid_grant');
  assert.equal(answer.body.code, 'bad_request.authorization_code.invalid');
}

test('OA-10 a code is good for a minute and not longer', async () => {
  const [early, late] = [await obtain(), await obtain()];
  server.clock.advance(58_000);
  assert.equal((await redeem(server, app, early)).status, 200);
  server.clock.advance(3_000);
  assertRefused(await redeem(server, app, late));
});

test('OA-11 a second valid redemption ends all that came of the code, later generations too', async () => {
  const code = await obtain();
  const first = (await redeem(server, app, code)).body;
  const second = (await refresh(server, app, first.refresh_token)).body;
  assert.equal(await isActive(server, resourceServer, second.access_token ?? ''), true);
  assertRefused(await redeem(server, app, code));
  assert.equal(await isActive(server, resourceServer, second.access_token ?? ''), false);
  assert.equal((await refresh(server, app, second.refresh_token)).body.error, 'invalid_grant');
});

test('OA-11 a replay with a wrong verifier, redirect URI or client ends nothing', async () => {
  const code = await obtain();
  const tokens = (await redeem(server, app, code)).body;
  const other = await server.addClient({ name: 'Other' });
  assertRefused(await redeem(server, app, code, { code_verifier: 'x'.repeat(43) }));
  assertRefused(await redeem(server, app, code, { redirect_uri: 'https://app.example/other' }));
  assertRefused(await redeem(server, other, code));
  assert.equal(await isActive(server, resourceServer, tokens.access_token ?? ''), true);
  assert.equal((await refresh(server, app, tokens.refresh_token)).status, 200);
});

test('OA-11 a late replay rings, a retry does not', async () => {
  const code = await obtain();
  const rung = async () => (await server.alarms()).filter(({ type }) => type === 'alarm.replayed').length;
  const before = await rung();
  await redeem(server, app, code);
  server.clock.advance(11_000);
  assertRefused(await redeem(server, app, code));
  assert.equal(await rung(), before + 1);
  const retried = await obtain();
  await redeem(server, app, retried);
  assertRefused(await redeem(server, app, retried));
  assert.equal(await rung(), before + 1);
});

test('OA-12 of a hundred parallel redemptions exactly one gets tokens', async () => {
  const code = await obtain();
  const answers = await Promise.all(Array.from({ length: 100 }, () => redeem(server, app, code)));
  const won = answers.filter(({ status }) => status === 200);
  assert.equal(won.length, 1);
  for (const answer of answers) if (answer.status !== 200) assertRefused(answer);
  // The losers hold a good code as well: by RFC 6749 §4.1.2 the winner's tokens end with it.
  assert.equal(await isActive(server, resourceServer, won[0]?.body.access_token ?? ''), false);
});

test('OA-12 nor do more get tokens when all have looked at the code before the first one writes', async () => {
  const { code, verifier, redirectUri } = await obtain();
  const presented = { code, verifier, redirectUri, address: '127.0.0.1' };
  const { grants } = server.authority;
  const tries = Array.from({ length: 50 }, () => grants.redeemCode(app.client, presented)); // one turn: each reads first
  const settled = await Promise.allSettled(tries);
  assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 1);
});

test('OA-13 a code is bound to its client and redirect URI; with PKCE the URI may be left out', async () => {
  const other = await server.addClient({ name: 'Other' });
  const code = await obtain();
  assertRefused(await redeem(server, other, code));
  assertRefused(await redeem(server, app, code, { redirect_uri: `${code.redirectUri}/` }));
  const named = await redeem(server, app, code, { redirect_uri: '' });
  assert.equal(named.status, 200, 'refusals did not burn it');
});

test('OA-13 without PKCE the redirect URI of the request must be repeated', async () => {
  const old = await server.addClient({ name: 'Old', isPkceRequired: false });
  const plain = { code_challenge: '', code_challenge_method: '' };
  const code = await server.obtainCode({ browser, client: old.client, parameters: plain });
  assertRefused(await redeem(server, old, code, { redirect_uri: '', code_verifier: '' }));
  assert.equal((await redeem(server, old, code, { code_verifier: '' })).status, 200);
});

test('PK-04 a verifier is required exactly when a challenge was sent', async () => {
  const old = await server.addClient({ name: 'Old', isPkceRequired: false });
  for (const challenged of [true, false]) {
    for (const verified of [true, false]) {
      const parameters: Record<string, string> = challenged ? {} : { code_challenge: '', code_challenge_method: '' };
      const code = await server.obtainCode({ browser, client: old.client, parameters });
      const answer = await redeem(server, old, code, verified ? {} : { code_verifier: '' });
      assert.equal(answer.status, challenged === verified ? 200 : 400, `challenge ${challenged}, verifier ${verified}`);
      if (challenged !== verified) assertRefused(answer);
    }
  }
});

test('PK-05 one wrong character of the verifier is refused, and the code stays good for its owner', async () => {
  const code = await obtain();
  const wrong = `${code.verifier.slice(0, -1)}${code.verifier.endsWith('A') ? 'B' : 'A'}`;
  assertRefused(await redeem(server, app, code, { code_verifier: wrong }));
  assert.equal((await redeem(server, app, code)).status, 200);
});

test('PK-06 a verifier has 43 to 128 unreserved characters', async () => {
  const allowed = ['a'.repeat(43), '~._-'.repeat(32)];
  const refused = ['a'.repeat(42), 'a'.repeat(129), `${'a'.repeat(43)}=`, `${'a'.repeat(43)}+`, `${'a'.repeat(42)}é`];
  for (const verifier of [...allowed, ...refused]) {
    const challenge = createHash('sha256').update(verifier, 'ascii').digest('base64url');
    const code = await obtain({ code_challenge: challenge });
    const answer = await redeem(server, app, code, { code_verifier: verifier });
    assert.equal(answer.status, allowed.includes(verifier) ? 200 : 400, verifier);
    if (answer.status !== 200) assertRefused(answer);
  }
});

test('OA-22 a code has 256 bits and says nothing of its challenge', async () => {
  const codes = await Promise.all([obtain(), obtain()]);
  for (const { code } of codes) assert.match(code, /^[A-Za-z0-9_-]{43}$/);
  assert.notEqual(codes[0]?.code, codes[1]?.code);
});

test('IN-02 a code is no token to a resource server', async () => {
  assert.deepEqual((await introspect(server, resourceServer, (await obtain()).code)).body, { active: false });
});
