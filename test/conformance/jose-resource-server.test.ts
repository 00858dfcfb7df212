/** A resource server that knows nothing of entropy buckets: jose, the published keys, RFC 9068. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, DEFAULT_AUDIENCE, startTestServer, type TestServer } from '@countersign/testkit';
import { createRemoteJWKSet, decodeProtectedHeader, type JWTVerifyOptions, jwtVerify } from 'jose';

let server: TestServer;
let browser: Browser;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
});
after(() => server.close());

const keySet = () => createRemoteJWKSet(new URL(`${server.issuer}/.well-known/jwks.json`));
const expected = (): JWTVerifyOptions => ({
  issuer: server.issuer,
  audience: DEFAULT_AUDIENCE,
  typ: 'at+jwt',
  algorithms: ['ES256'],
  requiredClaims: ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti', 'scope'],
});

async function obtain(on = server, who = browser) {
  const { client, secret } = await on.addClient();
  return on.obtainTokens({ browser: who, client, secret });
}

test('EB-05 JT-01 JT-02 an access token is a good RFC 9068 token to whoever ignores its eb', async () => {
  const { access_token: token } = await obtain();
  const { payload, protectedHeader } = await jwtVerify(token, keySet(), expected());
  assert.equal(protectedHeader.typ, 'at+jwt');
  assert.deepEqual(Object.keys(protectedHeader).sort(), ['alg', 'kid', 'typ']);
  assert.match(String(payload.sub), /^user_/);
});

test('JT-03 JT-11 it is refused for another audience, issuer, type or time', async () => {
  const tokens = await obtain();
  const verify = (token: string, change: JWTVerifyOptions) => jwtVerify(token, keySet(), { ...expected(), ...change });
  await verify(tokens.access_token, {});
  const claim = { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED' };
  await assert.rejects(verify(tokens.access_token, { audience: 'https://other.example' }), claim);
  await assert.rejects(verify(tokens.access_token, { issuer: 'https://other.example' }), claim);
  const late = new Date(Date.now() + 16 * 60_000);
  await assert.rejects(verify(tokens.access_token, { currentDate: late }), { code: 'ERR_JWT_EXPIRED' });
  await assert.rejects(verify(tokens.id_token ?? '', { algorithms: ['RS256'], audience: [] }), claim);
  await assert.rejects(verify(tokens.refresh_token ?? '', { typ: 'rt+jwt' }), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
});

test('JT-06 JT-17 ID tokens by RS256, access tokens by Ed25519 where that is set', async (t) => {
  const other = await startTestServer({ settings: { accessAlgorithm: 'Ed25519' } });
  t.after(() => other.close());
  const tokens = await obtain(other, await other.logIn('ada@example.com'));
  const keys = createRemoteJWKSet(new URL(`${other.issuer}/.well-known/jwks.json`));
  const access = await jwtVerify(tokens.access_token, keys, { algorithms: ['Ed25519'], issuer: other.issuer });
  assert.equal(access.protectedHeader.alg, 'Ed25519');
  const id = await jwtVerify(tokens.id_token ?? '', keys, { algorithms: ['RS256'], issuer: other.issuer });
  assert.equal(id.protectedHeader.alg, 'RS256');
});

test('JT-16 a resource server that cached the key set verifies across a rotation without asking again', async () => {
  const local = createRemoteJWKSet(new URL(`${server.issuer}/.well-known/jwks.json`), { cooldownDuration: 0 });
  const before = await obtain();
  await jwtVerify(before.access_token, local, expected());
  const cached = local.jwks()?.keys.length ?? 0;
  await server.authority.keys.rotate({ now: 'access' });
  const afterwards = await obtain();
  const kid = (token: string) => decodeProtectedHeader(token).kid;
  assert.notEqual(kid(afterwards.access_token), kid(before.access_token));
  await jwtVerify(afterwards.access_token, local, expected());
  assert.equal(local.jwks()?.keys.length, cached, 'still the set of before the rotation');
  await jwtVerify(before.access_token, keySet(), expected());
});
