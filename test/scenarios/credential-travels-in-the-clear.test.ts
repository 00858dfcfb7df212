import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  type Browser,
  codeIn,
  linkIn,
  startTestServer,
  type TestServer,
  type TestServerOptions,
} from '@countersign/testkit';
import { basic } from './oauth-calls.ts';

async function setUp(t: TestContext, options: TestServerOptions = {}) {
  const server = await startTestServer(options);
  t.after(() => server.close());
  const browser = await server.logIn('ada@example.com');
  const { client, secret } = await server.addClient();
  const tokens = () => server.obtainTokens({ browser, client, secret, scope: 'openid offline_access' });
  const refresh = async (token: string | undefined) => {
    const form = {
      grant_type: 'refresh_token',
      refresh_token: token ?? '',
      client_id: client.id,
      client_secret: secret,
    };
    return (await server.post('/oauth2/token', form)).status;
  };
  return { server, browser, client, secret, tokens, refresh };
}

const plain = (server: TestServer, path: string, init: RequestInit = {}) =>
  fetch(`${server.plaintextOrigin}${path}`, { redirect: 'manual', ...init });

const plainForm = (server: TestServer, path: string, form: Record<string, string>) =>
  plain(server, path, { method: 'POST', body: new URLSearchParams(form) });

const whoami = async (server: TestServer, token: string) =>
  (await fetch(`${server.issuer}/ping/whoami`, { headers: { authorization: `Bearer ${token}` } })).status;

const isLoggedIn = async (browser: Browser) => (await browser.get('/account')).text.includes('You are logged in as');

/** What rang since the last look, in the words of the alarm. */
function listener(server: TestServer) {
  let heard = 0;
  return async () => {
    const all = await server.alarms();
    const fresh = all.slice(heard).map(({ type, detail }) => [type, detail?.token, detail?.revoked]);
    heard = all.length;
    return fresh;
  };
}

test('OA-01 HD-02 HD-04 pages are redirected to the issuer, by GET and HEAD; everything else is refused; no HSTS', async (t) => {
  const { server } = await setUp(t);
  const ring = listener(server);
  for (const path of ['/', '/login', '/login?continue=x', '/account', '/logout', '/oauth2/authorize?client_id=x']) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await plain(server, path, { method });
      assert.equal(answer.status, 301, path);
      assert.equal(answer.headers.get('location'), `${server.issuer}${path}`);
      assert.equal(answer.headers.get('strict-transport-security'), null);
    }
  }
  const others = server.routes.filter(({ path }) => !/^\/$|^\/(login|logout|account|oauth2\/authorize)/.test(path));
  assert.ok(others.length > 10);
  const refused = [
    ...others,
    ...['/login', '/account', '/oauth2/authorize'].map((path) => ({ method: 'POST', path })),
    { method: 'GET', path: '/nowhere' },
  ];
  for (const { method, path } of refused) {
    const answer = await plain(server, path, { method });
    assert.equal(answer.status, 403, `${method} ${path}`);
    assert.equal(answer.headers.get('location'), null);
    assert.equal(answer.headers.get('strict-transport-security'), null);
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    assert.equal((await answer.json()).code, 'forbidden.cleartext');
  }
  assert.deepEqual(await ring(), []);
});

test('a live access token that came in the clear is dead, alone', async (t) => {
  const { server, tokens, refresh } = await setUp(t);
  const ring = listener(server);
  const ways: [string, (token: string) => Promise<Response>][] = [
    ['Authorization', (token) => plain(server, '/userinfo', { headers: { authorization: `Bearer ${token}` } })],
    ['query', (token) => plain(server, `/userinfo?access_token=${token}`)],
    ['form', (token) => plainForm(server, '/userinfo', { access_token: token })],
    ['token to introspect', (token) => plainForm(server, '/oauth2/introspect', { token })],
  ];
  for (const [way, send] of ways) {
    const { access_token: token, refresh_token: kept } = await tokens();
    assert.equal(await whoami(server, token), 200);
    const answer = await send(token);
    assert.equal(answer.status, 403);
    assert.ok(!(await answer.text()).includes(token));
    assert.equal(await whoami(server, token), 401, way);
    assert.deepEqual(await ring(), [['alarm.cleartext', 'access', true]]);
    assert.equal(await refresh(kept), 200, 'that one only');
    assert.equal((await send(token)).status, 403);
    assert.deepEqual(await ring(), [], 'a dead one is nobody’s loss');
  }
});

test('a refresh token that came in the clear takes its grant along', async (t) => {
  const { server, tokens, refresh } = await setUp(t);
  const ring = listener(server);
  const { access_token: token, refresh_token: exposed } = await tokens();
  const other = await tokens();
  await plainForm(server, '/oauth2/token', { grant_type: 'refresh_token', refresh_token: exposed ?? '' });
  assert.deepEqual(await ring(), [['alarm.cleartext', 'refresh', true]]);
  assert.equal(await refresh(exposed), 400);
  assert.equal(await whoami(server, token), 401);
  assert.equal(await refresh(other.refresh_token), 200);
});

test('a code that came in the clear is burnt', async (t) => {
  const { server, browser, client, secret } = await setUp(t);
  const ring = listener(server);
  const redeem = async (flow: Awaited<ReturnType<TestServer['obtainCode']>>) => {
    const { code, verifier, redirectUri } = flow;
    const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: redirectUri };
    return (await server.post('/oauth2/token', { ...form, client_id: client.id, client_secret: secret })).status;
  };
  const exposed = await server.obtainCode({ browser, client });
  await plainForm(server, '/oauth2/token', { grant_type: 'authorization_code', code: exposed.code });
  assert.deepEqual(await ring(), [['alarm.cleartext', 'code', true]]);
  assert.equal(await redeem(exposed), 400);
  assert.equal(await redeem(await server.obtainCode({ browser, client })), 200);
});

test('a session cookie that came in the clear is logged out, and its page redirected all the same', async (t) => {
  const { server, browser } = await setUp(t);
  const ring = listener(server);
  const other = await server.logIn('ada@example.com');
  const cookie = `__Host-session=${browser.cookies.get('__Host-session')}`;
  assert.equal(await isLoggedIn(browser), true);
  const answer = await plain(server, '/account', { headers: { cookie } });
  assert.deepEqual([answer.status, answer.headers.get('location')], [301, `${server.issuer}/account`]);
  assert.deepEqual(await ring(), [['alarm.cleartext', 'session', true]]);
  assert.equal(await isLoggedIn(browser), false);
  assert.equal(await isLoggedIn(other), true);
});

test('a client secret that came in the clear rings and stays good: taking it back is the operator’s act', async (t) => {
  const { server, client, secret, tokens } = await setUp(t);
  const ring = listener(server);
  await plain(server, '/oauth2/token', { method: 'POST', headers: basic(client.id, secret) });
  assert.deepEqual(await ring(), [['alarm.cleartext', 'client_secret', false]]);
  await plainForm(server, '/oauth2/token', { client_id: client.id, client_secret: secret });
  assert.deepEqual(await ring(), [['alarm.cleartext', 'client_secret', false]]);
  await plain(server, '/oauth2/token', { method: 'POST', headers: basic(client.id, `${secret}x`) });
  assert.deepEqual(await ring(), [], 'a wrong secret is none');
  await tokens();
});

test('a link that came in the clear is redirected without its token', async (t) => {
  const { server } = await setUp(t);
  const answer = await plain(server, '/login/link?token=abc.def.ghi');
  assert.deepEqual([answer.status, answer.headers.get('location')], [301, `${server.issuer}/login/link`]);
});

test('a good link in the clear is taken back with the code of its mail, and rings', async (t) => {
  const { server } = await setUp(t);
  const ring = listener(server);
  const browser = server.browser();
  const sent = await browser.submit(await browser.get('/login'), { email: 'grace@example.com' });
  const mail = await server.mailTo('grace@example.com');
  const link = new URL(linkIn(mail));
  await plain(server, `${link.pathname}${link.search}`);
  assert.deepEqual(await ring(), [['alarm.cleartext', 'magic_link', true]]);
  await browser.submit(sent, { code: codeIn(mail) });
  await browser.submit(await browser.get(link.href), {}).catch(() => {});
  assert.ok(!browser.cookies.has('__Host-session'));
  await plain(server, `${link.pathname}${link.search}`);
  assert.deepEqual(await ring(), [], 'one that is not good any more is silent');
  await server.logIn('grace@example.com', browser);
});

test('garbage in the clear is silent', async (t) => {
  const { server, tokens } = await setUp(t);
  const ring = listener(server);
  const { access_token: token } = await tokens();
  const [header = '', payload = '', signature = ''] = token.split('.');
  const bitten = `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
  for (const garbage of ['x', 'a.b.c', bitten, `${header}.${payload}.`, 'A'.repeat(43)]) {
    await plain(server, '/userinfo', { headers: { authorization: `Bearer ${garbage}` } });
    await plainForm(server, '/oauth2/token', { code: garbage, refresh_token: garbage, token: garbage });
    await plain(server, '/account', { headers: { cookie: `__Host-session=${garbage}` } });
  }
  assert.deepEqual(await ring(), []);
  assert.equal(await whoami(server, token), 200, 'nothing came of it for the token that was bitten from');
});

test('past ten a minute from one peer all ring and none dies: a proxy set up wrong ends not every session', async (t) => {
  const settings = { trustedProxies: ['127.0.0.0/8', '::1/128'] };
  const { server, tokens } = await setUp(t, { settings });
  const ring = listener(server);
  const send = async (token: string, at: number) => {
    // The proxy marks plain http, and tells of another client each time: it is one peer nevertheless.
    const headers = {
      authorization: `Bearer ${token}`,
      'x-forwarded-proto': 'http',
      'x-forwarded-for': `192.0.2.${at}`,
    };
    assert.equal((await fetch(`${server.issuer}/ping/whoami`, { headers })).status, 403);
  };
  const dead: boolean[] = [];
  for (let at = 1; at <= 12; at++) {
    const { access_token: token } = await tokens();
    await send(token, at);
    dead.push((await whoami(server, token)) === 401);
  }
  assert.deepEqual(dead, [...Array(10).fill(true), false, false]);
  const rung = await ring();
  assert.equal(rung.length, 12);
  assert.deepEqual(
    rung.map(([, , revoked]) => revoked),
    dead,
  );
  server.clock.advance(61_000);
  const { access_token: token } = await tokens();
  await send(token, 99);
  assert.equal(await whoami(server, token), 401, 'a minute later they die again');
});

test('X-Forwarded-Proto: http from anybody else takes nothing back', async (t) => {
  const { server, tokens } = await setUp(t);
  const { access_token: token } = await tokens();
  const headers = { authorization: `Bearer ${token}`, 'x-forwarded-proto': 'http' };
  assert.equal((await fetch(`${server.issuer}/ping/whoami`, { headers })).status, 200);
  assert.equal(await whoami(server, token), 200);
});
