import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, linkIn, startTestServer, type TestServer } from '@countersign/testkit';
import { type Answer, type Application, credentials, opened, read, refresh, revoke, userinfo } from './oauth-calls.ts';

let server: TestServer;
let browser: Browser;
let app: Application;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
  app = await server.addClient();
});
after(() => server.close());

const obtain = (scope = 'openid email') =>
  server.obtainTokens({ browser, client: app.client, secret: app.secret, scope });
const get = async (path: string, headers: Record<string, string> = {}) =>
  read(await fetch(`${server.issuer}${path}`, { headers }));

function assertInvalid(answer: Answer, code = 'unauthorized.bad_access_token'): void {
  assert.equal(answer.status, 401);
  assert.equal(answer.body.error, 'invalid_token');
  assert.equal(answer.body.code, code);
  assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm="[^"]+", error="invalid_token"/);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
}

test('BR-01 the scheme is read in any case', async () => {
  const { access_token: token } = await obtain();
  for (const scheme of ['Bearer', 'bearer', 'bEaReR']) {
    assert.equal((await get('/userinfo', { authorization: `${scheme} ${token}` })).status, 200, scheme);
  }
});

test('BR-02 a token in the query is ignored', async () => {
  const { access_token: token } = await obtain();
  const answer = await get(`/userinfo?access_token=${token}`);
  assert.equal(answer.status, 401);
  assert.equal(answer.body.error, undefined);
  assert.equal((await get('/userinfo?x=1', { authorization: `Bearer ${token}` })).status, 200);
});

test('BR-03 OI-09 header or form, never both', async () => {
  const { access_token: token } = await obtain();
  const authorization = `Bearer ${token}`;
  assert.equal((await server.post('/userinfo', { access_token: token })).status, 200);
  assert.equal((await server.post('/userinfo', {}, { headers: { authorization } })).status, 200);
  const both = await read(await server.post('/userinfo', { access_token: token }, { headers: { authorization } }));
  assert.equal(both.status, 400);
  assert.equal(both.body.error, 'invalid_request');
  assert.equal(both.body.code, 'bad_request.two_access_tokens');
});

test('BR-04 without credentials the challenge names a realm and no error', async () => {
  for (const path of ['/userinfo', '/ping/whoami']) {
    const answer = await get(path);
    assert.equal(answer.status, 401);
    assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm="[^"]+"$/);
    assert.equal(answer.body.error, undefined);
  }
});

test('BR-05 expired, superseded, revoked and malformed tokens are invalid_token; two of these are told apart', async () => {
  const superseded = await obtain();
  await refresh(server, app, superseded.refresh_token);
  const revoked = await obtain();
  await revoke(server, app, revoked.access_token);
  server.clock.advance(11_000);
  assertInvalid(await userinfo(server, superseded.access_token), 'unauthorized.bad_access_token.evicted');
  assertInvalid(await userinfo(server, revoked.access_token));
  assertInvalid(await userinfo(server, 'malformed'));
  const expired = await obtain();
  server.clock.advance(15 * 60_000 + 1_000);
  assertInvalid(await userinfo(server, expired.access_token), 'unauthorized.bad_access_token.expired');
  server.clock.advance(60_000);
  assertInvalid(await userinfo(server, expired.access_token), 'unauthorized.bad_access_token.expired');
});

test('BR-05 a scope that is missing is 403 and named', async () => {
  const { access_token: token } = await obtain('accounts:read');
  const answer = await userinfo(server, token);
  assert.equal(answer.status, 403);
  assert.equal(answer.body.error, 'insufficient_scope');
  assert.match(answer.headers.get('www-authenticate') ?? '', /error="insufficient_scope".*scope="openid"/);
});

test('BR-06 a challenge repeats nothing of the request', async () => {
  for (const token of ['canary', 'canary.canary.canary', `${'canary'.repeat(1_000)}`]) {
    const { headers } = await userinfo(server, token);
    assert.doesNotMatch(headers.get('www-authenticate') ?? '', /canary/);
    assert.doesNotMatch(headers.get('www-authenticate') ?? '', /[\r\n\\]/);
  }
  const malformed = await get('/userinfo', { authorization: 'Bearer canary", error="x' });
  assert.equal(malformed.status, 400);
  assert.doesNotMatch(JSON.stringify(malformed.body), /canary/);
});

test('JT-11 each kind of token is refused wherever another is expected', async () => {
  const tokens = await obtain();
  const mails = server.mails.length;
  const other = server.browser();
  await other.submit(await other.get('/login'), { email: 'ada@example.com' });
  const link = new URL(linkIn(await server.mailTo('ada@example.com', mails))).searchParams.get('token') ?? '';
  const kinds: Record<string, string> = {
    access: tokens.access_token,
    refresh: tokens.refresh_token ?? '',
    id: tokens.id_token ?? '',
    magicLink: link,
  };
  assert.deepEqual(
    Object.values(kinds).map((token) => opened(token).header.typ),
    ['at+jwt', 'rt+jwt', 'JWT', 'ml+jwt'],
  );
  const resourceServer = await server.addResourceServer();
  const places: Record<string, (token: string) => Promise<boolean>> = {
    access: async (token) => (await userinfo(server, token)).status === 200,
    id: async (token) => {
      const query = new URLSearchParams({
        response_type: 'code',
        client_id: app.client.id,
        redirect_uri: app.client.redirectUris[0] ?? '',
        code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
        code_challenge_method: 'S256',
        id_token_hint: token,
      });
      const location = (await browser.get(`/oauth2/authorize?${query}`)).headers.get('location');
      return !(location ?? '').includes('error=invalid_request');
    },
    magicLink: async (token) => (await other.get(`/login/link?token=${token}`)).status === 200,
    refresh: async (token) => (await refresh(server, app, token)).status === 200, // last: it uses the token up
  };
  for (const [place, isAccepted] of Object.entries(places)) {
    for (const [kind, token] of Object.entries(kinds)) {
      assert.equal(await isAccepted(token), kind === place, `${kind} token as ${place}`);
    }
  }
  for (const kind of ['refresh', 'id', 'magicLink']) {
    const form = { token: kinds[kind] ?? '', ...credentials(resourceServer) };
    assert.deepEqual((await read(await server.post('/oauth2/introspect', form))).body, { active: false }, kind);
  }
});

test('JT-07 what others read is signed asymmetrically', async () => {
  const tokens = await obtain();
  assert.equal(opened(tokens.access_token).header.alg, 'ES256');
  assert.equal(opened(tokens.id_token ?? '').header.alg, 'RS256');
  assert.equal(opened(tokens.refresh_token ?? '').header.alg, 'ES256');
  for (const token of [tokens.access_token, tokens.id_token ?? '', tokens.refresh_token ?? '']) {
    assert.match(String(opened(token).header.kid), /^key_/);
  }
});

test('who am I: the client and the user of a token', async () => {
  const { access_token: token } = await obtain();
  const answer = await get('/ping/whoami', { authorization: `Bearer ${token}` });
  const { sub } = opened(token).claims;
  assert.deepEqual(answer.body, { authenticated: true, client_id: app.client.id, user_id: sub });
});
