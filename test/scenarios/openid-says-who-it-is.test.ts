import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type Browser, linkIn, type Page, startTestServer, type TestServer } from '@countersign/testkit';
import {
  type Application,
  authorizationQuery,
  authorize,
  opened,
  redeem,
  refresh,
  sentOn,
  userinfo,
} from './oauth-calls.ts';

let server: TestServer;
let app: Application;
before(async () => {
  server = await startTestServer();
  app = await server.addClient();
});
after(() => server.close());

/** A new person, logged in, who has agreed to the client. */
async function person(): Promise<{ browser: Browser; email: string; idToken: string }> {
  const email = `${randomBytes(6).toString('hex')}@example.com`;
  const browser = await server.logIn(email);
  const { id_token: idToken } = await server.obtainTokens({ browser, client: app.client, secret: app.secret });
  return { browser, email, idToken: idToken ?? '' };
}

/** Fills in the login page that a request led to, and follows the mailed link back to the request. */
async function logInAt(page: Page, browser: Browser, email: string): Promise<ReturnType<typeof sentOn>> {
  const mails = server.mails.length;
  await browser.submit(page, { email });
  return sentOn(await browser.submit(await browser.get(linkIn(await server.mailTo(email, mails))), {}));
}

const isLogin = (page: Page) => new URL(page.url).pathname === '/login' && page.status === 200;

test('OI-01 an authorization request may come as a form, and then as well after a login', async () => {
  const { browser, email } = await person();
  const init = { method: 'POST', body: authorizationQuery(app, { nonce: 'n' }) };
  const posted = await browser.request('/oauth2/authorize', init, 'cross-site');
  assert.equal(posted.status, 303, 'BC-07: never 307');
  const { answer } = sentOn(await browser.get(posted.headers.get('location') ?? ''));
  assert.equal(typeof answer?.get('code'), 'string');
  assert.equal(answer?.get('state'), 'the-state');
  const stranger = server.browser();
  const again = await stranger.request('/oauth2/authorize', init, 'cross-site');
  const page = await stranger.get(again.headers.get('location') ?? '');
  assert.ok(isLogin(page));
  const finished = await logInAt(page, stranger, email);
  assert.equal(typeof finished.answer?.get('code'), 'string');
  const refused = { method: 'POST', body: authorizationQuery(app, { response_type: 'token' }) };
  const error = await browser.request('/oauth2/authorize', refused, 'cross-site');
  assert.match(error.headers.get('location') ?? '', /error=unsupported_response_type/);
});

test('OA-09 a form may hold more than a URL: what cannot be carried through a login is refused to the client, not shown', async () => {
  const stranger = server.browser();
  const post = async (state: string) => {
    const init = { method: 'POST', body: authorizationQuery(app, { state }) };
    const response = await stranger.request('/oauth2/authorize', init, 'cross-site');
    await response.body?.cancel();
    return response.headers.get('location') ?? '';
  };
  for (const state of ['x'.repeat(4_096), '€'.repeat(455), '\u0001'.repeat(900)]) {
    assert.ok(isLogin(await stranger.get(await post(state))), `${state.length} characters`);
  }
  for (const state of ['€'.repeat(4_096), '\u0001'.repeat(1_365)]) {
    const location = new URL(await post(state));
    assert.equal(location.searchParams.get('error'), 'invalid_request', `${state.length} characters`);
    assert.equal(location.origin, 'https://app.example');
  }
});

test('OI-02 OI-13 an ID token has the claims of its login and claims no more', async () => {
  const { browser, email } = await person();
  const nonce = 'n-0S6_WzA2Mj ünï%"';
  const flow = { browser, client: app.client, secret: app.secret };
  const scope = 'openid email';
  const tokens = await server.obtainTokens({ ...flow, scope, parameters: { nonce, acr_values: 'phr mfa' } });
  const { header, claims } = opened(tokens.id_token ?? '');
  assert.equal(header.typ, 'JWT');
  assert.equal(claims.iss, server.issuer);
  assert.equal(claims.aud, app.client.id);
  assert.match(String(claims.sub), /^user_[0-9A-Za-z]{22}$/);
  assert.equal(claims.sub, opened(tokens.access_token).claims.sub);
  assert.equal(Number(claims.exp) - Number(claims.iat), 300);
  assert.equal(claims.nonce, nonce);
  assert.ok(Number(claims.auth_time) <= Number(claims.iat));
  assert.deepEqual(claims.amr, ['email']);
  assert.equal('acr' in claims, false, 'an asked-for acr is not claimed');
  assert.equal('eb' in claims, false);
  assert.equal(JSON.stringify(claims).includes(email), false, 'OI-10: identity comes from userinfo');
  const without = await server.obtainTokens({ ...flow, scope });
  assert.equal('nonce' in opened(without.id_token ?? '').claims, false);
  const notOpenid = await server.obtainTokens({ ...flow, scope: 'accounts:read' });
  assert.equal(notOpenid.id_token, undefined);
});

test('OI-03 a sub is no address, and is the same for every login, client and spelling', async () => {
  const email = `mixed.${randomBytes(6).toString('hex')}@example.com`;
  const other = await server.addClient({ name: 'Other', audience: 'https://other.example' });
  const subs = new Set<unknown>();
  let userId = '';
  for (const [spelling, who] of [
    [email, app],
    [email.toUpperCase(), app],
    [email, other],
  ] as const) {
    const browser = server.browser();
    const mails = server.mails.length;
    await browser.submit(await browser.get('/login'), { email: spelling });
    await browser.submit(await browser.get(linkIn(await server.mailTo(email, mails))), {});
    const tokens = await server.obtainTokens({ browser, client: who.client, secret: who.secret });
    userId = String(opened(tokens.id_token ?? '').claims.sub);
    subs.add(userId);
    assert.equal(userId.includes('@'), false);
  }
  assert.equal(subs.size, 1);
  await server.authority.revocation.disableUser(userId);
  await server.authority.store.write((tx) => server.authority.users.enable(tx, userId));
  server.clock.advance(1_000);
  const browser = await server.logIn(email);
  const tokens = await server.obtainTokens({ browser, client: app.client, secret: app.secret });
  assert.equal(opened(tokens.id_token ?? '').claims.sub, userId, 'disabling and enabling makes nobody else of him');
});

test('OI-04 max_age asks for a new login exactly when the last one is too old', async () => {
  const { browser, email, idToken } = await person();
  server.clock.advance(100_000);
  const young = await authorize(browser, app, { max_age: '101' });
  assert.equal(typeof young.answer?.get('code'), 'string');
  const old = await authorize(browser, app, { max_age: '99' });
  assert.ok(isLogin(old.page));
  const silent = await authorize(browser, app, { max_age: '99', prompt: 'none' });
  assert.equal(silent.answer?.get('error'), 'login_required');
  const { answer } = await logInAt(old.page, browser, email);
  const verifier = {
    verifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
    redirectUri: 'https://app.example/callback',
  };
  const tokens = (await redeem(server, app, { code: answer?.get('code') ?? '', ...verifier })).body;
  const claims = opened(tokens.id_token ?? '').claims;
  assert.ok(Number(claims.auth_time) >= Number(opened(idToken).claims.auth_time) + 100, 'auth_time moved');
  assert.equal(claims.sub, opened(idToken).claims.sub);
  assert.ok(isLogin((await authorize(browser, app, { max_age: '0' })).page), 'zero is never young enough');
});

test('OI-04 prompt=login asks although there is a session, and auth_time moves', async () => {
  for (const prompt of ['login', 'select_account', 'login consent']) {
    const { browser, email, idToken } = await person();
    server.clock.advance(10_000);
    const asked = await authorize(browser, app, { prompt });
    assert.ok(isLogin(asked.page), prompt);
    let back = await logInAt(asked.page, browser, email);
    if (prompt.includes('consent')) {
      assert.ok(back.page.text.includes('name="decision"'));
      back = sentOn(await browser.submit(back.page, { decision: 'allow' }, { action: '/consent' }));
    }
    const code = {
      verifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
      redirectUri: 'https://app.example/callback',
    };
    const tokens = (await redeem(server, app, { code: back.answer?.get('code') ?? '', ...code })).body;
    const moved = Number(opened(tokens.id_token ?? '').claims.auth_time) - Number(opened(idToken).claims.auth_time);
    assert.ok(moved >= 10, prompt);
  }
});

test('OI-05 prompt=none never shows a page', async () => {
  const stranger = server.browser();
  const noSession = await authorize(stranger, app, { prompt: 'none' });
  assert.equal(noSession.answer?.get('error'), 'login_required');
  assert.equal(noSession.answer?.get('iss'), server.issuer);
  const { browser } = await person();
  assert.equal(typeof (await authorize(browser, app, { prompt: 'none' })).answer?.get('code'), 'string');
  const fresh = await server.addClient({ name: 'Fresh' });
  assert.equal((await authorize(browser, fresh, { prompt: 'none' })).answer?.get('error'), 'consent_required');
  const publicApp = await server.addClient({ isConfidential: false });
  assert.equal((await authorize(browser, publicApp, { prompt: 'none' })).answer?.get('error'), 'consent_required');
});

test('OI-05 prompt=consent asks again', async () => {
  const { browser } = await person();
  const { page } = await authorize(browser, app, { prompt: 'consent' });
  assert.ok(page.text.includes('name="decision"'));
  const { answer } = sentOn(await browser.submit(page, { decision: 'allow' }, { action: '/consent' }));
  assert.equal(typeof answer?.get('code'), 'string');
});

test('OI-06 a login_hint fills the field in and decides nothing', async () => {
  const stranger = server.browser();
  const hint = '"><script>x</script>@example.com';
  const { page } = await authorize(stranger, app, { login_hint: hint });
  assert.ok(isLogin(page));
  assert.equal(page.text.includes('<script>x'), false);
  const plain = await authorize(stranger, app, { login_hint: 'bob@example.com' });
  assert.ok(plain.page.text.includes('value="bob@example.com"'));
});

test('OI-07 id_token_hint: own, expired, another user’s, and none of ours', async () => {
  const [ada, bob] = [await person(), await person()];
  const silently = async (browser: Browser, hint: string) => {
    const { answer } = await authorize(browser, app, { prompt: 'none', id_token_hint: hint });
    return answer?.get('error') ?? (answer?.has('code') ? 'code' : 'neither');
  };
  assert.equal(await silently(ada.browser, ada.idToken), 'code');
  assert.equal(await silently(ada.browser, bob.idToken), 'login_required');
  assert.ok(isLogin((await authorize(ada.browser, app, { id_token_hint: bob.idToken })).page));
  const [head = '', body = '', signature = ''] = ada.idToken.split('.');
  const tampered = [
    `${head}.${body}.${signature.slice(0, -8)}AAAAAAAA`,
    `${head}.${Buffer.from(JSON.stringify({ ...opened(ada.idToken).claims, sub: 'x' })).toString('base64url')}.${signature}`,
    `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${body}.x`,
    'garbage',
  ];
  for (const hint of tampered) assert.equal(await silently(ada.browser, hint), 'invalid_request', hint.slice(0, 20));
  const foreign = await startTestServer();
  const stranger = await foreign.addClient();
  const theirs = await foreign.obtainTokens({
    browser: await foreign.logIn('ada@example.com'),
    client: stranger.client,
    secret: stranger.secret,
  });
  await foreign.close();
  assert.equal(await silently(ada.browser, theirs.id_token ?? ''), 'invalid_request');
  server.clock.advance(60 * 60_000);
  assert.equal(await silently(ada.browser, ada.idToken), 'code', 'an expired hint still hints');
});

test('OI-09 OI-10 userinfo tells what the scope allows, by GET and POST, and nothing to an ID token', async () => {
  const { browser, email } = await person();
  const flow = { browser, client: app.client, secret: app.secret };
  const wide = await server.obtainTokens({ ...flow, scope: 'openid email' });
  const narrow = await server.obtainTokens({ ...flow, scope: 'openid' });
  const { sub } = opened(wide.id_token ?? '').claims;
  const answer = await userinfo(server, wide.access_token);
  assert.deepEqual(answer.body, { sub, email, email_verified: true });
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.deepEqual((await userinfo(server, narrow.access_token)).body, { sub });
  const posted = await server.post('/userinfo', { access_token: wide.access_token });
  assert.deepEqual(await posted.json(), answer.body);
  assert.equal((await userinfo(server, wide.id_token ?? '')).status, 401);
  assert.equal(JSON.stringify(opened(wide.access_token).claims).includes(email), false);
});

test('OI-09 a token of a client for itself has no user to tell of', async () => {
  const machine = await server.addClient({ redirectUris: [], scopes: ['openid'] });
  const form = { grant_type: 'client_credentials', client_id: machine.client.id, client_secret: machine.secret };
  const { access_token: token } = await (await server.post('/oauth2/token', form)).json();
  assert.equal((await userinfo(server, token)).status, 403);
});

test('OI-11 offline_access: granted only with the user’s consent to it', async () => {
  const { browser } = await person(); // agreed to all scopes of the client, offline_access among them
  const consented = await server.obtainTokens({ browser, client: app.client, secret: app.secret });
  assert.ok(consented.scope.split(' ').includes('offline_access'));
  assert.equal(typeof consented.refresh_token, 'string');
  const stranger = await server.addClient({ name: 'No code flow', grantTypes: ['authorization_code'] });
  const without = await server.obtainTokens({ browser, client: stranger.client, secret: stranger.secret });
  assert.equal(without.refresh_token, undefined, 'nor to a client that is not registered for it');
});

test('OI-12 an ID token from a refresh is of the same login and has no nonce', async () => {
  const { browser } = await person();
  const flow = { browser, client: app.client, secret: app.secret, parameters: { nonce: 'n' } };
  const first = await server.obtainTokens(flow);
  server.clock.advance(60_000);
  const second = (await refresh(server, app, first.refresh_token)).body;
  const [before, afterwards] = [opened(first.id_token ?? '').claims, opened(second.id_token ?? '').claims];
  for (const name of ['iss', 'sub', 'aud', 'auth_time', 'sid']) assert.equal(afterwards[name], before[name], name);
  assert.equal('nonce' in afterwards, false);
  assert.ok(Number(afterwards.iat) >= Number(before.iat) + 60);
});
