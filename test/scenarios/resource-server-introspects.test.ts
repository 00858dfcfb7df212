import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, startTestServer, type TestServer } from '@countersign/testkit';
import { leakOf } from '../attacks/leak.ts';
import { type Application, credentials, introspect, isActive, opened, read, refresh, revoke } from './oauth-calls.ts';

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

const obtain = (scope = 'openid accounts:read') =>
  server.obtainTokens({ browser, client: app.client, secret: app.secret, scope });

/** Signs claims with the authority's own access key, as a thief of that key would. */
async function signed(claims: object, typ = 'at+jwt'): Promise<string> {
  return (await server.authority.keys.sign({ purpose: 'access', typ, claims })).token;
}

test('IN-01 only a resource server may ask', async () => {
  const { access_token: token } = await obtain();
  assert.equal(await isActive(server, resourceServer, token), true);
  const anonymous = await read(await server.post('/oauth2/introspect', { token }));
  assert.equal(anonymous.status, 401);
  assert.equal(anonymous.body.error, 'invalid_client');
  const ordinary = await introspect(server, app, token);
  assert.equal(ordinary.status, 403);
  assert.equal(ordinary.body.code, 'forbidden.not_a_resource_server');
  assert.equal('active' in ordinary.body, false);
});

test('IN-07 JT-02 an active answer has these members and no others', async () => {
  const { access_token: token } = await obtain();
  const { claims } = opened(token);
  const { body, headers } = await introspect(server, resourceServer, token);
  const { iss, sub, aud, client_id, jti, iat, exp, scope, auth_time, amr } = claims;
  const members = { iss, sub, aud, client_id, jti, iat, exp, scope, auth_time, amr };
  assert.deepEqual(body, { active: true, token_type: 'Bearer', ...members });
  for (const [name, value] of Object.entries(members)) assert.notEqual(value, undefined, name);
  assert.equal(scope, 'openid accounts:read');
  assert.equal(iss, server.issuer);
  assert.equal(aud, app.client.audience);
  assert.equal(client_id, app.client.id);
  assert.equal(headers.get('cache-control'), 'no-store');
});

test('IN-02 IN-03 a dead token is nothing but inactive, whatever killed it', async () => {
  const elsewhere = await server.addClient({ audience: 'https://other.example' });
  const foreign = await server.obtainTokens({ browser, client: elsewhere.client, secret: elsewhere.secret });
  const revoked = await obtain();
  await revoke(server, app, revoked.access_token);
  const superseded = await obtain();
  await refresh(server, app, superseded.refresh_token);
  const ofDisabledClient = await server.addClient({ name: 'Off' });
  const off = await server.obtainTokens({ browser, client: ofDisabledClient.client, secret: ofDisabledClient.secret });
  await server.authority.revocation.disableClient(ofDisabledClient.client.id);
  const ofUser = await server.logIn('gone@example.com');
  const gone = await server.obtainTokens({ browser: ofUser, client: app.client, secret: app.secret });
  await server.authority.revocation.disableUser(String(opened(gone.access_token).claims.sub));
  server.clock.advance(11_000);
  const live = await obtain();
  const { claims } = opened(live.access_token);
  const [head = '', body = '', signature = ''] = live.access_token.split('.');
  const dead: Record<string, string> = {
    'for another audience': foreign.access_token,
    revoked: revoked.access_token,
    superseded: superseded.access_token,
    'of a disabled client': off.access_token,
    'of a disabled user': gone.access_token,
    'refresh token': live.refresh_token ?? '',
    'ID token': live.id_token ?? '',
    garbage: 'garbage',
    'with another signature': `${head}.${body}.${signature.slice(0, -4)}AAAA`,
    'with another eb': await signed({ ...claims, eb: 'A'.repeat(64) }),
    'with another scope': await signed({ ...claims, scope: 'openid accounts:write' }),
    'not valid yet': await signed({ ...claims, iat: Number(claims.iat) + 300, exp: Number(claims.exp) + 300 }),
  };
  for (const [name, token] of Object.entries(dead)) {
    const answer = await introspect(server, resourceServer, token);
    assert.equal(answer.status, 200, name);
    assert.deepEqual(answer.body, { active: false }, name);
  }
  assert.equal(await isActive(server, resourceServer, live.access_token), true);
  server.clock.advance(15 * 60_000 + 1_000);
  assert.deepEqual((await introspect(server, resourceServer, live.access_token)).body, { active: false });
});

test('IN-02 JT-03 a resource server learns nothing of tokens for others', async () => {
  const other = await server.addResourceServer('https://other.example');
  const { access_token: token } = await obtain();
  assert.deepEqual((await introspect(server, other, token)).body, { active: false });
  assert.equal(await isActive(server, resourceServer, token), true);
});

test('a wrong or unknown hint changes no answer', async () => {
  const { access_token: token } = await obtain();
  for (const hint of ['refresh_token', 'access_token', 'nonsense']) {
    const form = { token, token_type_hint: hint, ...credentials(resourceServer) };
    assert.equal((await read(await server.post('/oauth2/introspect', form))).body.active, true, hint);
  }
});

test('IN-04 tokens are introspected by POST of a form alone', async () => {
  const { access_token: token } = await obtain();
  const query = new URLSearchParams({ token, ...credentials(resourceServer) });
  const get = await fetch(`${server.issuer}/oauth2/introspect?${query}`);
  assert.equal(get.status, 405);
  assert.equal(get.headers.get('allow'), 'POST');
  await get.body?.cancel();
  const inQuery = await read(await server.post(`/oauth2/introspect?token=${token}`, credentials(resourceServer)));
  assert.equal(inQuery.body.code, 'bad_request.secret_in_query');
});

test('EB-01 an eb has 48 bytes, is fresh for each token and shares nothing with the jti', async () => {
  const machine = await server.addClient({ redirectUris: [], scopes: [] });
  const form = { grant_type: 'client_credentials', ...credentials(machine) };
  const answers = await Promise.all(
    Array.from({ length: 50 }, async () => read(await server.post('/oauth2/token', form))),
  );
  const claims = answers.map(({ body }) => opened(body.access_token ?? '').claims);
  for (const { eb, jti } of claims) {
    assert.match(String(eb), /^[A-Za-z0-9_-]{64}$/);
    assert.equal(String(eb).includes(String(jti).slice(-11)), false);
  }
  for (const part of [[1, 43] as const, [44, 64] as const]) {
    assert.equal(new Set(claims.map(({ eb }) => String(eb).slice(...part))).size, 50, `characters ${part}`);
  }
});

test('EB-03 a leaked key does not let a token’s owner give it another user, scope, audience or life', async () => {
  const { access_token: token } = await obtain();
  const { claims } = opened(token);
  const { access_token: stranger } = await server.obtainTokens({
    browser: await server.logIn('victim@example.com'),
    client: app.client,
    secret: app.secret,
  });
  const changes: Record<string, unknown>[] = [
    { sub: opened(stranger).claims.sub },
    { scope: 'openid accounts:read admin' },
    { client_id: resourceServer.client.id },
    { exp: Number(claims.exp) + 60 },
    { jti: opened(stranger).claims.jti },
    { eb: opened(stranger).claims.eb },
    { cnf: { jkt: 'x' } },
  ];
  for (const change of changes) {
    const answer = await introspect(server, resourceServer, await signed({ ...claims, ...change }));
    assert.deepEqual(answer.body, { active: false }, Object.keys(change).join());
  }
  assert.equal(await isActive(server, resourceServer, token), true);
  assert.equal(await isActive(server, resourceServer, await signed(claims)), true, 'the same bytes, signed anew');
});

test('EB-04 an eb that is missing or of another form rings as a forgery', async () => {
  const { access_token: token } = await obtain();
  const { claims } = opened(token);
  const { eb: own, ...without } = claims;
  const text = String(own);
  const wrong = [undefined, null, '', text.slice(1), `${text}A`, [text], { 0: text }, 0, true, `${text.slice(0, -1)}=`];
  const rung = async () => (await server.alarms()).filter(({ type }) => type === 'alarm.forged').length;
  for (const eb of wrong) {
    const before = await rung();
    const forged = await signed(eb === undefined ? without : { ...claims, eb });
    assert.deepEqual((await introspect(server, resourceServer, forged)).body, { active: false }, JSON.stringify(eb));
    server.clock.advance(4_000); // twenty alarms of a kind a minute have rows of their own
    assert.equal(await rung(), before + 1, JSON.stringify(eb));
  }
});

test('JT-01 JT-04 JT-05 JT-08 JT-09 JT-10 JT-18 what fails before the signature is refused and rings nothing', async () => {
  const { access_token: token } = await obtain();
  const [head = '', body = '', signature = ''] = token.split('.');
  const { header } = opened(token);
  const withHeader = (changed: object) =>
    `${Buffer.from(JSON.stringify(changed)).toString('base64url')}.${body}.${signature}`;
  const before = (await server.alarms()).length;
  const tokens = [
    ...['none', 'None', 'nOnE'].flatMap((alg) => [
      withHeader({ ...header, alg }),
      withHeader({ ...header, alg }).replace(/[^.]*$/, ''),
    ]),
    ...['HS256', 'RS256', 'ES384'].map((alg) => withHeader({ ...header, alg })),
    ...[undefined, 'JWT', 'rt+jwt', 'AT+JWT ', 'dpop+jwt'].map((typ) => withHeader({ ...header, typ })),
    withHeader({ ...header, jku: 'https://evil.example/jwks' }),
    withHeader({ ...header, jwk: {} }),
    withHeader({ ...header, x5u: 'https://evil.example' }),
    withHeader({ ...header, x5c: [] }),
    withHeader({ ...header, crit: ['x'] }),
    withHeader({ ...header, kid: '../../etc/passwd' }),
    withHeader({ ...header, kid: "' OR 1=1 --" }),
    withHeader({ alg: header.alg, typ: header.typ }),
    await signed(opened(token).claims, 'JWT'),
    `${token}=`,
    ` ${token}`,
    `${token}\n`,
    `${token}.`,
    `${token}.e30.e30`,
    `${head}..${signature}`,
    JSON.stringify({ protected: head, payload: body, signature }),
    token.repeat(20).slice(0, 16_000),
  ];
  for (const bad of tokens) {
    assert.deepEqual((await introspect(server, resourceServer, bad)).body, { active: false }, bad.slice(0, 60));
  }
  assert.equal((await server.alarms()).length, before);
  assert.equal(await isActive(server, resourceServer, token), true);
});

test('JT-04 JT-05 JT-08 JT-09 JT-11 a good signature under a header that the authority never writes is worth nothing', async () => {
  const { access_token: token } = await obtain();
  const [, body = ''] = token.split('.');
  const { header } = opened(token);
  const leak = await leakOf(server);
  const signedUnder = (changed: object, key = leak.active('access')) => {
    const input = `${Buffer.from(JSON.stringify(changed)).toString('base64url')}.${body}`;
    return `${input}.${Buffer.from(key.sign(input)).toString('base64url')}`;
  };
  const other = leak.active('id', 'ES256');
  const tokens = [
    ...[{ jku: 'https://evil.example/jwks' }, { jwk: {} }, { x5u: 'https://evil.example' }, { x5c: [] }].map((extra) =>
      signedUnder({ ...header, ...extra }),
    ),
    ...[{ crit: ['x'], x: 1 }, { crit: ['b64'], b64: true }, { zip: 'DEF' }, { cty: 'JWT' }].map((extra) =>
      signedUnder({ ...header, ...extra }),
    ),
    ...['JWT', 'rt+jwt', undefined].map((typ) => signedUnder({ ...header, typ })),
    ...['none', 'RS256', 'Ed25519', 'ES384'].map((alg) => signedUnder({ ...header, alg })),
    signedUnder({ ...header, kid: other.id }, other),
    signedUnder({ ...header, kid: other.id }),
    signedUnder({ kid: header.kid, alg: header.alg, typ: header.typ, eb: 1 }),
  ];
  const before = (await server.alarms()).length;
  for (const bad of tokens) {
    assert.deepEqual((await introspect(server, resourceServer, bad)).body, { active: false }, bad.slice(0, 80));
  }
  assert.equal((await server.alarms()).length, before, 'refused before the claims were read');
  assert.equal(await isActive(server, resourceServer, signedUnder(header)), true);
  // The other spelling of the type is one that verifiers take (RFC 9068 §4): other bytes under a good signature, so it rings.
  const respelled = signedUnder({ ...header, typ: 'application/at+jwt' });
  assert.deepEqual((await introspect(server, resourceServer, respelled)).body, { active: false });
  assert.deepEqual(
    (await server.alarms()).slice(before).map(({ type }) => type),
    ['alarm.tampered'],
  );
});

test('JT-13 a thousand unknown kids are refused without an alarm', async () => {
  const { access_token: token } = await obtain();
  const [, body = '', signature = ''] = token.split('.');
  const tokens = Array.from({ length: 1_000 }, (_, index) => {
    const header = { ...opened(token).header, kid: `key_${String(index).padStart(22, '0')}` };
    return `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${body}.${signature}`;
  });
  const judged = await Promise.all(tokens.map((bad) => server.authority.tokens.judge(bad, { address: '127.0.0.1' })));
  assert.deepEqual(new Set(judged.map(({ kind, why }) => `${kind} ${why}`)), new Set(['refused unknown_key']));
  assert.equal(await isActive(server, resourceServer, token), true);
});

test('JT-12 exp is exact at the authority', async () => {
  const { access_token: token } = await obtain();
  const expiresAtMs = Number(opened(token).claims.exp) * 1_000;
  server.clock.advance(expiresAtMs - server.clock.now() - 1_500);
  assert.equal(await isActive(server, resourceServer, token), true);
  server.clock.advance(expiresAtMs - server.clock.now());
  assert.equal(await isActive(server, resourceServer, token), false);
});

test('IN-05 an active answer names exp, so that no cache needs to outlive it', async () => {
  const { access_token: token } = await obtain();
  const { body } = await introspect(server, resourceServer, token);
  assert.equal(body.exp, opened(token).claims.exp);
});

test('EB-12 an eb appears in no log, answer, event or mail', async () => {
  const tokens = await obtain();
  const next = (await refresh(server, app, tokens.refresh_token)).body;
  const answers = [
    await introspect(server, resourceServer, tokens.access_token),
    await introspect(server, resourceServer, `${tokens.access_token}x`),
    await revoke(server, app, tokens.access_token),
    await introspect(server, resourceServer, await signed({ ...opened(tokens.access_token).claims, scope: 'admin' })),
  ];
  const events = await server.authority.store.read.all('SELECT * FROM event');
  const places = [answers.map(({ body, headers }) => [body, [...headers]]), events, server.logLines, server.mails];
  const text = JSON.stringify(places);
  for (const token of [tokens.access_token, tokens.refresh_token ?? '', next.access_token ?? '']) {
    assert.equal(text.includes(String(opened(token).claims.eb)), false);
    assert.equal(text.includes(token), false);
  }
  assert.equal(text.includes(String(opened(tokens.access_token).claims.jti)), true, 'ids are named');
});
