import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestServer, type TestServer } from '@countersign/testkit';
import { authorize, type Body, basic, credentials, read, redeem } from './oauth-calls.ts';

const OAUTH = '/.well-known/oauth-authorization-server';
const OPENID = '/.well-known/openid-configuration';

let server: TestServer;
let metadata: Body;
before(async () => {
  server = await startTestServer();
  metadata = await documentAt(OPENID);
});
after(() => server.close());

async function documentAt(path: string): Promise<Body> {
  const { status, headers, body } = await read(await fetch(new URL(path, server.issuer)));
  assert.equal(status, 200);
  assert.match(headers.get('content-type') ?? '', /^application\/json/);
  return body;
}

const list = (name: string): string[] => {
  const value = metadata[name];
  assert.ok(Array.isArray(value), name);
  return value.map(String);
};

test('MD-01 both documents are served and agree', async () => {
  assert.deepEqual(await documentAt(OAUTH), metadata);
});

test('MD-03 required members are there, and no list is empty', () => {
  for (const name of ['issuer', 'authorization_endpoint', 'token_endpoint', 'jwks_uri']) {
    assert.match(String(metadata[name]), /^https:\/\//, name);
  }
  assert.deepEqual(list('response_types_supported'), ['code']);
  assert.deepEqual(list('subject_types_supported'), ['public']);
  assert.ok(list('id_token_signing_alg_values_supported').includes('RS256'));
  for (const [name, value] of Object.entries(metadata)) {
    if (Array.isArray(value)) assert.ok(value.length > 0, name);
  }
});

test('MD-02 the issuer is one and the same in metadata, tokens and the answer to the client', async () => {
  assert.equal(metadata.issuer, server.issuer);
  const url = new URL(server.issuer);
  assert.deepEqual([url.protocol, url.search, url.hash], ['https:', '', '']);
  const browser = await server.logIn('ada@example.com');
  const { client } = await server.addClient();
  const { location } = await server.obtainCode({ browser, client });
  assert.equal(location.searchParams.get('iss'), server.issuer);
});

test('MD-02 with a path in the issuer RFC 8414 inserts, OpenID appends the well-known segment', async (t) => {
  const below = await startTestServer({ issuerPath: '/t1' });
  t.after(() => below.close());
  const origin = new URL(below.issuer).origin;
  assert.equal(below.issuer, `${origin}/t1`);
  for (const url of [`${origin}${OAUTH}/t1`, `${origin}/t1${OPENID}`]) {
    const { status, body } = await read(await fetch(url));
    assert.equal(status, 200, url);
    assert.equal(body.issuer, below.issuer);
  }
  const browser = await below.logIn('ada@example.com');
  const app = await below.addClient();
  const tokens = await below.obtainTokens({ browser, client: app.client, secret: app.secret });
  const userinfo = await fetch(`${below.issuer}/userinfo`, {
    headers: { authorization: `Bearer ${tokens.access_token}` },
  });
  assert.equal(userinfo.status, 200);
  await userinfo.body?.cancel();
});

test('MD-04 every announced endpoint exists, and every other well-known OAuth endpoint does not', async () => {
  for (const [name, value] of Object.entries(metadata)) {
    if (!/_endpoint$|^jwks_uri$/.test(name)) continue;
    const response = await fetch(String(value), { method: 'OPTIONS' });
    assert.notEqual(response.status, 404, name);
    await response.body?.cancel();
  }
  const unannounced = { registration: 'register', device_authorization: 'device_authorization', par: 'par' };
  for (const [name, path] of Object.entries(unannounced)) {
    assert.equal(metadata[`${name}_endpoint`], undefined);
    const response = await server.post(`/oauth2/${path}`, {});
    assert.equal(response.status, 404, path);
    await response.body?.cancel();
  }
});

test('MD-04 every announced grant and authentication method works, all others are refused', async () => {
  assert.deepEqual(list('grant_types_supported').sort(), ['authorization_code', 'client_credentials', 'refresh_token']);
  assert.deepEqual(list('token_endpoint_auth_methods_supported').sort(), [
    'client_secret_basic',
    'client_secret_post',
    'none',
  ]);
  const browser = await server.logIn('ada@example.com');
  const app = await server.addClient();
  const machine = await server.addClient({ redirectUris: [], scopes: [] });
  const publicApp = await server.addClient({ isConfidential: false });
  const tokens = await server.obtainTokens({ browser, client: app.client, secret: app.secret });
  const works: [string, Record<string, string>, Record<string, string>][] = [
    ['client_secret_basic', { grant_type: 'client_credentials' }, basic(machine.client.id, machine.secret)],
    ['client_secret_post', { grant_type: 'client_credentials', ...credentials(machine) }, {}],
    [
      'refresh_token',
      { grant_type: 'refresh_token', refresh_token: tokens.refresh_token ?? '', ...credentials(app) },
      {},
    ],
  ];
  for (const [name, form, headers] of works) {
    assert.equal((await read(await server.post('/oauth2/token', form, { headers }))).status, 200, name);
  }
  const code = await server.obtainCode({ browser, client: publicApp.client });
  assert.equal((await redeem(server, publicApp, code)).status, 200, 'none');
  for (const grantType of [
    'password',
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
  ]) {
    const answer = await read(await server.post('/oauth2/token', { grant_type: grantType, ...credentials(machine) }));
    assert.equal(answer.body.error, 'unsupported_grant_type', grantType);
  }
  const assertion = {
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: 'e30.e30.e30',
  };
  const form = { grant_type: 'client_credentials', client_id: machine.client.id, ...assertion };
  assert.equal((await read(await server.post('/oauth2/token', form))).body.error, 'invalid_client');
});

test('MD-04 PK-01 announced response modes, prompts and challenge methods work, others are refused', async () => {
  assert.deepEqual(list('code_challenge_methods_supported'), ['S256']);
  assert.deepEqual(list('response_modes_supported'), ['query']);
  const browser = await server.logIn('ada@example.com');
  const app = await server.addClient();
  await server.obtainCode({ browser, client: app.client });
  const errorFor = async (changes: Record<string, string>) =>
    (await authorize(browser, app, changes)).answer?.get('error') ?? undefined;
  assert.equal(await errorFor({ response_mode: 'query' }), undefined);
  for (const mode of ['fragment', 'form_post', 'jwt']) {
    assert.equal(await errorFor({ response_mode: mode }), 'invalid_request', mode);
  }
  for (const prompt of list('prompt_values_supported')) assert.equal(await errorFor({ prompt }), undefined, prompt);
  assert.equal(await errorFor({ prompt: 'create' }), 'invalid_request');
  assert.equal(metadata.request_parameter_supported, false);
  assert.equal(metadata.request_uri_parameter_supported, false);
  assert.equal(await errorFor({ request: 'e30.e30.' }), 'request_not_supported');
  assert.equal(await errorFor({ request_uri: 'https://app.example/r' }), 'request_uri_not_supported');
});

test('MD-05 JWT client authentication is not announced, so it names no algorithms', () => {
  for (const endpoint of ['token', 'revocation', 'introspection']) {
    const methods = list(`${endpoint}_endpoint_auth_methods_supported`);
    assert.equal(
      methods.some((method) => method.endsWith('_jwt')),
      false,
    );
    assert.equal(metadata[`${endpoint}_endpoint_auth_signing_alg_values_supported`], undefined);
  }
  assert.equal(list('introspection_endpoint_auth_methods_supported').includes('none'), false);
});

test('OA-24 neither implicit nor password grant is announced', () => {
  assert.equal(JSON.stringify(metadata).includes('"password"'), false);
  assert.equal(JSON.stringify(metadata).includes('"token"'), false);
  assert.equal(JSON.stringify(metadata).includes('implicit'), false);
  assert.equal(JSON.stringify(metadata).includes('"plain"'), false);
});

test('MD-08 metadata and keys may be read by any page and kept for as long as a key waits', async () => {
  for (const path of [OAUTH, OPENID, '/.well-known/jwks.json']) {
    const response = await fetch(new URL(path, server.issuer), { headers: { origin: 'https://anywhere.example' } });
    assert.equal(response.headers.get('access-control-allow-origin'), '*');
    assert.equal(response.headers.get('access-control-allow-credentials'), null);
    assert.equal(response.headers.get('cross-origin-resource-policy'), 'cross-origin');
    assert.equal(response.headers.get('cache-control'), 'public, max-age=600');
    assert.deepEqual(response.headers.getSetCookie(), []);
    await response.body?.cancel();
    const preflight = await fetch(new URL(path, server.issuer), {
      method: 'OPTIONS',
      headers: { origin: 'https://anywhere.example', 'access-control-request-method': 'GET' },
    });
    assert.equal(preflight.status, 204);
    assert.match(preflight.headers.get('access-control-allow-methods') ?? '', /GET/);
  }
});

test('JT-14 JT-15 JT-05 the key set is public halves alone, each for one algorithm, none of them weak', async () => {
  const { body } = await read(await fetch(String(metadata.jwks_uri)));
  const keys = body.keys;
  assert.ok(Array.isArray(keys));
  assert.ok(keys.length >= 6, 'an active key and a standby for access, RS256 and ES256');
  assert.equal(new Set(keys.map(({ kid }) => kid)).size, keys.length);
  for (const key of keys) {
    const { kty, alg, use } = key;
    assert.equal(use, 'sig');
    assert.ok(['ES256', 'RS256'].includes(alg), alg);
    for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth']) assert.equal(secret in key, false, secret);
    if (kty === 'RSA') assert.ok(Buffer.from(key.n, 'base64url').length >= 256);
    else assert.deepEqual([kty, key.crv], ['EC', 'P-256']);
  }
});
