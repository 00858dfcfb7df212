import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, startTestServer, type TestServer } from '@countersign/testkit';
import { type Application, credentials, isActive, opened, read, refresh, revoke, userinfo } from './oauth-calls.ts';

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

const obtain = () => server.obtainTokens({ browser, client: app.client, secret: app.secret });

test('RV-01 RV-06 an access token is dead with the answer; the grant lives on', async () => {
  const { access_token: token, refresh_token: refreshToken } = await obtain();
  assert.equal(await isActive(server, resourceServer, token), true);
  const answer = await revoke(server, app, token);
  assert.equal(answer.status, 200);
  assert.equal(await isActive(server, resourceServer, token), false);
  assert.equal((await userinfo(server, token)).status, 401);
  assert.equal((await refresh(server, app, refreshToken)).status, 200);
});

test('RV-05 a refresh token takes all access tokens of its grant along', async () => {
  const first = await obtain();
  const second = (await refresh(server, app, first.refresh_token)).body;
  const other = await obtain();
  assert.equal((await revoke(server, app, second.refresh_token ?? '')).status, 200);
  assert.equal((await refresh(server, app, second.refresh_token)).body.error, 'invalid_grant');
  assert.equal(await isActive(server, resourceServer, first.access_token), false);
  assert.equal(await isActive(server, resourceServer, second.access_token ?? ''), false);
  assert.equal(await isActive(server, resourceServer, other.access_token), true, 'another grant of the same user');
});

test('RV-05 an older generation of a family ends it as well', async () => {
  const first = await obtain();
  const second = (await refresh(server, app, first.refresh_token)).body;
  await revoke(server, app, first.refresh_token ?? '');
  assert.equal(await isActive(server, resourceServer, second.access_token ?? ''), false);
});

test('RV-02 unknown, malformed, expired and revoked tokens are all answered alike', async () => {
  const { access_token: revoked } = await obtain();
  const { access_token: expired } = await obtain();
  await revoke(server, app, revoked);
  server.clock.advance(16 * 60_000);
  const tokens = [revoked, expired, 'garbage', 'a.b.c', `${expired}x`, 'é\u0001', 'x'.repeat(9_000)];
  for (const token of tokens) {
    const answer = await revoke(server, app, token);
    assert.equal(answer.status, 200, token.slice(0, 20));
    assert.deepEqual(answer.body, {});
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    assert.match(answer.headers.get('content-type') ?? '', /^application\/json/);
  }
});

test('RV-03 a wrong or unknown hint changes nothing', async () => {
  for (const hint of ['refresh_token', 'access_token', 'id_token', 'nonsense']) {
    const { access_token: access, refresh_token: token } = await obtain();
    assert.equal((await revoke(server, app, access, { token_type_hint: hint })).status, 200);
    assert.equal(await isActive(server, resourceServer, access), false, `access token hinted ${hint}`);
    assert.equal((await revoke(server, app, token ?? '', { token_type_hint: hint })).status, 200);
    assert.equal((await refresh(server, app, token)).body.error, 'invalid_grant', `refresh token hinted ${hint}`);
  }
});

test('RV-04 another client’s token is refused, kept and noted', async () => {
  const { access_token: access, refresh_token: token } = await obtain();
  const other = await server.addClient({ name: 'Other' });
  for (const foreign of [access, token ?? '']) {
    const answer = await revoke(server, other, foreign);
    assert.equal(answer.status, 400);
    assert.equal(answer.body.error, 'invalid_grant');
    assert.equal(answer.body.code, 'forbidden.foreign_token');
  }
  assert.equal(await isActive(server, resourceServer, access), true);
  assert.equal((await refresh(server, app, token)).status, 200);
  const noted = await server.authority.store.read.all<{ type: string }>(
    'SELECT type FROM event WHERE type = $1 AND client_id = $2',
    'token.foreign_revocation',
    other.client.id,
  );
  assert.equal(noted.length, 2);
});

test('RV-01 a public client revokes with its id alone', async () => {
  const app = await server.addClient({ isConfidential: false });
  const { access_token: token } = await server.obtainTokens({ browser, client: app.client, secret: undefined });
  assert.equal((await revoke(server, app, token)).status, 200);
  assert.equal(await isActive(server, resourceServer, token), false);
});

test('RV-08 the user sees the application on the account page and disconnects it', async () => {
  const app = await server.addClient({ name: 'Budget & Co' });
  const { access_token: token, refresh_token: refreshToken } = await server.obtainTokens({
    browser,
    client: app.client,
    secret: app.secret,
  });
  const before = await browser.get('/account');
  assert.match(before.text, /Budget &amp; Co/);
  const grant = before.text.slice(before.text.indexOf('Budget &amp; Co')).match(/grant_[0-9A-Za-z]{22}/)?.[0] ?? '';
  const afterwards = await browser.submit(before, { grant }, { action: '/account/disconnect' });
  assert.equal(afterwards.status, 200);
  assert.doesNotMatch(afterwards.text, /Budget &amp; Co/);
  assert.equal(await isActive(server, resourceServer, token), false);
  assert.equal((await refresh(server, app, refreshToken)).body.error, 'invalid_grant');
});

test('RV-08 nobody disconnects an application of somebody else', async () => {
  const { access_token: token } = await obtain();
  const row = await server.authority.tokens.find(String(opened(token).claims.jti));
  const stranger = await server.logIn('mallory@example.com');
  const app = await server.addClient({ name: 'Hers' });
  await server.obtainTokens({ browser: stranger, client: app.client, secret: app.secret });
  const page = await stranger.get('/account');
  await stranger.submit(page, { grant: row?.grantId ?? '' }, { action: '/account/disconnect' });
  assert.equal(await isActive(server, resourceServer, token), true);
});

test('the bank-style logout: a token ends its own grant', async () => {
  const { access_token: token, refresh_token: refreshToken } = await obtain();
  const authorization = `Bearer ${token}`;
  const answer = await read(await server.post('/oauth2/logout', {}, { headers: { authorization } }));
  assert.equal(answer.status, 200);
  assert.equal(await isActive(server, resourceServer, token), false);
  assert.equal((await refresh(server, app, refreshToken)).body.error, 'invalid_grant');
  const again = await read(await server.post('/oauth2/logout', {}, { headers: { authorization } }));
  assert.equal(again.status, 401);
});

test('RV-07 without its store the authority answers 503 and never a success', async (t) => {
  const failing = await startTestServer({ jobs: false });
  t.after(() => failing.close());
  const app = await failing.addClient();
  const form = { token: 'anything', ...credentials(app) };
  assert.equal((await failing.post('/oauth2/revoke', form)).status, 200);
  await failing.authority.store.close();
  const answer = await read(await failing.post('/oauth2/revoke', form));
  assert.equal(answer.status, 503);
  assert.equal(answer.body.error, 'temporarily_unavailable');
  assert.ok(Number(answer.headers.get('retry-after')) > 0);
});
