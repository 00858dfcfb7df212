/** The authority as openid-client sees it: the certified relying party that most Node applications use. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, startTestServer, type TestServer } from '@countersign/testkit';
import * as openid from 'openid-client';

const CALLBACK = 'https://app.example/callback';

let server: TestServer;
let browser: Browser;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
});
after(() => server.close());

async function configure(
  { client, secret }: Awaited<ReturnType<TestServer['addClient']>>,
  authentication: (secret: string) => openid.ClientAuth = openid.ClientSecretPost,
): Promise<openid.Configuration> {
  const config = await openid.discovery(new URL(server.issuer), client.id, {}, authentication(secret));
  openid.enableNonRepudiationChecks(config); // ID tokens are verified by the key set, though TLS has said whose they are
  return config;
}

async function logIn(config: openid.Configuration, more: Record<string, string> = {}) {
  const pkceCodeVerifier = openid.randomPKCECodeVerifier();
  const expectedState = openid.randomState();
  const expectedNonce = openid.randomNonce();
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: CALLBACK,
    scope: 'openid email offline_access',
    code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    nonce: expectedNonce,
    ...more,
  });
  let page = await browser.get(url.href);
  if (page.status === 200) page = await browser.submit(page, { decision: 'allow' }, { action: '/consent' });
  const callback = new URL(page.headers.get('location') ?? 'about:blank');
  return { callback, checks: { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true } };
}

for (const [name, authentication] of [
  ['client_secret_basic', openid.ClientSecretBasic],
  ['client_secret_post', openid.ClientSecretPost],
] as const) {
  test(`OI-02 OI-09 PA-06 the whole life of a login by ${name}`, async () => {
    const config = await configure(await server.addClient({ authMethod: name }), authentication);
    const { callback, checks } = await logIn(config, { max_age: '3600' });
    const tokens = await openid.authorizationCodeGrant(config, callback, { ...checks, maxAge: 3600 });
    const claims = tokens.claims();
    assert.ok(claims);
    assert.equal(tokens.expires_in, 900);
    const user = await openid.fetchUserInfo(config, tokens.access_token, claims.sub);
    assert.equal(user.email, 'ada@example.com');

    const refreshed = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '');
    assert.equal(refreshed.claims()?.sub, claims.sub);
    await openid.tokenRevocation(config, refreshed.access_token);
    await assert.rejects(openid.fetchUserInfo(config, refreshed.access_token, claims.sub), { status: 401 });
    await openid.tokenRevocation(config, refreshed.refresh_token ?? '');
    await assert.rejects(openid.refreshTokenGrant(config, refreshed.refresh_token ?? ''), { error: 'invalid_grant' });
  });
}

test('OA-25 IN-01 client_credentials, and a resource server that asks', async () => {
  const machine = await configure(await server.addClient({ redirectUris: [], scopes: ['accounts:read'] }));
  const tokens = await openid.clientCredentialsGrant(machine, { scope: 'accounts:read' });
  const resourceServer = await configure(await server.addResourceServer(), openid.ClientSecretBasic);
  const answer = await openid.tokenIntrospection(resourceServer, tokens.access_token);
  assert.equal(answer.active, true);
  assert.equal(answer.scope, 'accounts:read');
  await openid.tokenRevocation(machine, tokens.access_token);
  assert.deepEqual({ ...(await openid.tokenIntrospection(resourceServer, tokens.access_token)) }, { active: false });
});

test('MD-05 a public client authenticates by nothing', async () => {
  const config = await configure(await server.addClient({ isConfidential: false }), () => openid.None());
  const { callback, checks } = await logIn(config);
  const tokens = await openid.authorizationCodeGrant(config, callback, checks);
  assert.ok(tokens.claims()?.sub);
  assert.equal(tokens.refresh_token, undefined);
});

test('the library’s own checks fail on a changed answer, so they were made', async () => {
  const config = await configure(await server.addClient());
  const { callback, checks } = await logIn(config);
  const foreign = new URL(callback);
  foreign.searchParams.set('iss', 'https://evil.example');
  await assert.rejects(openid.authorizationCodeGrant(config, foreign, checks));
  const silent = new URL(callback);
  silent.searchParams.delete('iss');
  await assert.rejects(openid.authorizationCodeGrant(config, silent, checks));
  await assert.rejects(openid.authorizationCodeGrant(config, callback, { ...checks, expectedState: 'other' }));
  assert.ok((await openid.authorizationCodeGrant(config, callback, checks)).access_token);
  const next = await logIn(config);
  const wrongNonce = { ...next.checks, expectedNonce: 'other' };
  await assert.rejects(openid.authorizationCodeGrant(config, next.callback, wrongNonce));
});

test('OI-05 errors arrive as the library’s own error, with the word of the specification', async () => {
  const config = await configure(await server.addClient());
  const { callback, checks } = await logIn(config, { prompt: 'none' });
  await assert.rejects(openid.authorizationCodeGrant(config, callback, checks), { error: 'consent_required' });
});
