import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Browser, linkIn, startTestServer, type TestServer } from '@countersign/testkit';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SESSION = '__Host-session';

async function setUp(t: TestContext): Promise<TestServer> {
  const server = await startTestServer({ jobs: false });
  t.after(() => server.close());
  return server;
}

const isLoggedIn = async (browser: Browser) => (await browser.get('/account')).text.includes('You are logged in as');

/** A browser that holds nothing but a copy of one cookie. */
function withCookie(server: TestServer, value: string | undefined): Browser {
  const browser = server.browser();
  browser.cookies.set(SESSION, value ?? '');
  return browser;
}

test('SE-01 every cookie ever set is __Host-, Secure, HttpOnly, Lax, for the whole site and no domain, and opaque', async (t) => {
  const server = await setUp(t);
  const { client } = await server.addClient();
  const browser = await server.logIn('ada@example.com');
  await server.obtainCode({ browser, client });
  await browser.submit(await browser.get('/logout'), {});
  assert.ok(browser.setCookies.length >= 6);
  const names = new Set<string>();
  for (const cookie of browser.setCookies) {
    const [pair = '', ...attributes] = cookie.split('; ');
    const [name = '', value = ''] = pair.split('=');
    names.add(name);
    assert.match(name, /^__Host-[a-z]+$/);
    assert.match(value, /^[A-Za-z0-9_.-]*$/);
    assert.ok(!/ada|example/.test(Buffer.from(value, 'base64url').toString('latin1')), 'no personal data');
    const plain = attributes.filter((each) => !each.startsWith('Max-Age=')).sort();
    assert.deepEqual(plain, ['HttpOnly', 'Path=/', 'SameSite=Lax', 'Secure']);
  }
  assert.deepEqual([...names].sort(), ['__Host-known', '__Host-link', '__Host-login', SESSION]);
});

test('SE-02 ML-12 attack-17 every login makes a new session, and the one before is over', async (t) => {
  const server = await setUp(t);
  const planted = await server.logIn('mallory@example.com');
  const victim = withCookie(server, planted.cookies.get(SESSION));
  victim.cookies.set('__Host-login', planted.cookies.get('__Host-login') ?? '');
  const plantedLogin = victim.cookies.get('__Host-login');
  assert.equal(await isLoggedIn(victim), true, 'the planted cookie is good');
  await server.logIn('ada@example.com', victim);
  assert.notEqual(victim.cookies.get(SESSION), planted.cookies.get(SESSION));
  assert.notEqual(victim.cookies.get('__Host-login'), plantedLogin);
  assert.match((await victim.get('/account')).text, /ada@example\.com/);
  assert.equal(await isLoggedIn(planted), false, 'who planted it is logged out, and not in as the victim');

  const before = victim.cookies.get(SESSION);
  await server.logIn('ada@example.com', victim);
  assert.equal(await isLoggedIn(withCookie(server, before)), false);
  assert.equal(await isLoggedIn(victim), true);
  assert.ok(Buffer.from(before ?? '', 'base64url').length >= 16, '128 bits at least');
});

test('SE-03 a session ends after eight idle hours, whatever the cookie says', async (t) => {
  const server = await setUp(t);
  const browser = await server.logIn('ada@example.com');
  const cookie = browser.cookies.get(SESSION);
  server.clock.advance(8 * HOUR_MS - 60_000);
  assert.equal(await isLoggedIn(browser), true);
  server.clock.advance(8 * HOUR_MS - 60_000);
  assert.equal(await isLoggedIn(browser), true, 'use keeps it');
  server.clock.advance(8 * HOUR_MS + 60_000);
  assert.equal(await isLoggedIn(withCookie(server, cookie)), false);
});

test('SE-03 a session ends after thirty days, however busy', async (t) => {
  const server = await setUp(t);
  const browser = await server.logIn('ada@example.com');
  const steps = (30 * DAY_MS) / (6 * HOUR_MS);
  for (let step = 1; step < steps; step++) {
    server.clock.advance(6 * HOUR_MS);
    assert.equal(await isLoggedIn(browser), true, `after ${step * 6} hours`);
  }
  server.clock.advance(6 * HOUR_MS);
  assert.equal(await isLoggedIn(browser), false);
});

test('SE-04 BC-07 logging out ends the session at the server and clears every cookie that is worth anything, by a 303', async (t) => {
  const server = await setUp(t);
  const browser = await server.logIn('ada@example.com');
  const elsewhere = await server.logIn('ada@example.com');
  const cookie = browser.cookies.get(SESSION);
  const page = await browser.get('/logout');
  assert.equal(await isLoggedIn(browser), true, 'looking at the page ends nothing');
  const { action, body } = browser.form(page);
  const answer = await browser.request(action.href, { method: 'POST', body }, 'same-origin');
  assert.equal(answer.status, 303);
  assert.deepEqual([...browser.cookies.keys()], ['__Host-known'], 'which logs nobody in (decision 0014)');
  assert.equal(await isLoggedIn(withCookie(server, cookie)), false);
  assert.equal(await isLoggedIn(elsewhere), true, 'another browser of the same person is not logged out');
});

test('SE-05 disabling a user ends sessions, tokens, grants and open links at once, and enabling revives none', async (t) => {
  const server = await setUp(t);
  const { authority } = server;
  const { client, secret } = await server.addClient();
  const introspecting = await server.addResourceServer();
  const arrive = async (email: string) => {
    const browser = await server.logIn(email);
    const tokens = await server.obtainTokens({ browser, client, secret, scope: 'openid offline_access' });
    const { code, verifier, redirectUri } = await server.obtainCode({ browser, client });
    const pending = server.browser();
    const before = server.mails.length;
    await pending.submit(await pending.get('/login'), { email });
    const link = linkIn(await server.mailTo(email, before));
    const redeemable = { code, code_verifier: verifier, redirect_uri: redirectUri };
    return { email, browser, tokens, code: redeemable, pending, link };
  };
  const ada = await arrive('ada@example.com');
  const grace = await arrive('grace@example.com');
  const credentials = { client_id: client.id, client_secret: secret };
  const state = async ({ browser, tokens, code, pending, link }: Awaited<ReturnType<typeof arrive>>) => {
    const introspected = await server.post('/oauth2/introspect', {
      token: tokens.access_token,
      client_id: introspecting.client.id,
      client_secret: introspecting.secret,
    });
    const refreshed = await server.post('/oauth2/token', {
      grant_type: 'refresh_token',
      refresh_token: tokens.refresh_token ?? '',
      ...credentials,
    });
    const redeemed = await server.post('/oauth2/token', { grant_type: 'authorization_code', ...code, ...credentials });
    const confirm = await pending.get(link);
    if (confirm.text.includes('<form')) await pending.submit(confirm, {});
    return {
      session: await isLoggedIn(browser),
      access: (await introspected.json()).active,
      refresh: refreshed.status,
      code: redeemed.status,
      link: await isLoggedIn(pending),
    };
  };
  const user = await authority.users.byEmail(ada.email);
  await authority.store.write((tx) => authority.users.disable(tx, user?.id ?? ''));
  const dead = { session: false, access: false, refresh: 400, code: 400, link: false };
  assert.deepEqual(await state(ada), dead);
  assert.deepEqual(await state(grace), { session: true, access: true, refresh: 200, code: 200, link: true });
  server.clock.advance(1_000);
  await authority.store.write((tx) => authority.users.enable(tx, user?.id ?? ''));
  assert.deepEqual(await state(ada), dead, 'dead is final');
  await server.logIn(ada.email);
});
