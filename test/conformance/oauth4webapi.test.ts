/** The authority as oauth4webapi sees it, an independent client that reads the RFCs strictly and follows them in each check. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, DEFAULT_AUDIENCE, startTestServer, type TestServer } from '@countersign/testkit';
import * as oauth from 'oauth4webapi';

const CALLBACK = 'https://app.example/callback';

let server: TestServer;
let browser: Browser;
let issuer: oauth.AuthorizationServer;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
  const url = new URL(server.issuer);
  const response = await oauth.discoveryRequest(url, { algorithm: 'oidc' });
  issuer = await oauth.processDiscoveryResponse(url, response);
});
after(() => server.close());

/** The user's part: logged in, agreeing. Returns where the client is called back. */
async function visit(url: URL): Promise<URL> {
  let page = await browser.get(url.href);
  if (page.status === 200) page = await browser.submit(page, { decision: 'allow' }, { action: '/consent' });
  return new URL(page.headers.get('location') ?? 'about:blank');
}

async function logIn(client: oauth.Client, authentication: oauth.ClientAuth) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const nonce = oauth.generateRandomNonce();
  const url = new URL(issuer.authorization_endpoint ?? '');
  url.search = new URLSearchParams({
    ...{ client_id: client.client_id, redirect_uri: CALLBACK, response_type: 'code', scope: 'openid email' },
    ...{ state, nonce, max_age: '3600', code_challenge_method: 'S256' },
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  }).toString();
  const callback = await visit(url);
  const parameters = oauth.validateAuthResponse(issuer, client, callback, state);
  const request = await oauth.authorizationCodeGrantRequest(
    ...([issuer, client, authentication, parameters, CALLBACK, verifier] as const),
  );
  const tokens = await oauth.processAuthorizationCodeResponse(issuer, client, request, {
    expectedNonce: nonce,
    maxAge: 3600,
    requireIdToken: true,
  });
  await oauth.validateApplicationLevelSignature(issuer, request);
  return { tokens, claims: oauth.getValidatedIdTokenClaims(tokens), callback, state };
}

test('MD-01 both discovery algorithms find the same authority', async () => {
  const url = new URL(server.issuer);
  const response = await oauth.discoveryRequest(url, { algorithm: 'oauth2' });
  assert.deepEqual(await oauth.processDiscoveryResponse(url, response), issuer);
});

for (const [name, authenticationOf] of [
  ['client_secret_basic', oauth.ClientSecretBasic],
  ['client_secret_post', oauth.ClientSecretPost],
] as const) {
  test(`PA-06 PK-01 JT-06 OI-02 code flow, userinfo, refresh, revocation by ${name}`, async () => {
    const { client: registered, secret } = await server.addClient({ authMethod: name });
    const client: oauth.Client = { client_id: registered.id };
    const authentication = authenticationOf(secret);
    const { tokens, claims } = await logIn(client, authentication);
    assert.ok(claims);
    const userinfo = await oauth.userInfoRequest(issuer, client, tokens.access_token);
    const user = await oauth.processUserInfoResponse(issuer, client, claims.sub, userinfo);
    assert.deepEqual({ ...user }, { sub: claims.sub, email: 'ada@example.com', email_verified: true });

    const refreshing = await oauth.refreshTokenGrantRequest(issuer, client, authentication, tokens.refresh_token ?? '');
    const refreshed = await oauth.processRefreshTokenResponse(issuer, client, refreshing);
    assert.equal(oauth.getValidatedIdTokenClaims(refreshed)?.sub, claims.sub);
    assert.notEqual(refreshed.refresh_token, tokens.refresh_token);

    const revoking = await oauth.revocationRequest(issuer, client, authentication, refreshed.refresh_token ?? '');
    await oauth.processRevocationResponse(revoking);
    const again = await oauth.refreshTokenGrantRequest(issuer, client, authentication, refreshed.refresh_token ?? '');
    await assert.rejects(oauth.processRefreshTokenResponse(issuer, client, again), { error: 'invalid_grant' });
  });

  test(`OA-25 IN-01 client_credentials and introspection by ${name}`, async () => {
    const machine = await server.addClient({ redirectUris: [], scopes: ['accounts:read'], authMethod: name });
    const client: oauth.Client = { client_id: machine.client.id };
    const parameters = { scope: 'accounts:read' };
    const authentication = authenticationOf(machine.secret);
    const request = await oauth.clientCredentialsGrantRequest(issuer, client, authentication, parameters);
    const tokens = await oauth.processClientCredentialsResponse(issuer, client, request);
    const { client: registered, secret } = await server.addResourceServer();
    const resourceServer: oauth.Client = { client_id: registered.id };
    const ask = async (token: string) => {
      const response = await oauth.introspectionRequest(issuer, resourceServer, authenticationOf(secret), token);
      return oauth.processIntrospectionResponse(issuer, resourceServer, response);
    };
    const answer = await ask(tokens.access_token);
    assert.equal(answer.active, true);
    assert.equal(answer.client_id, client.client_id);
    assert.equal((await ask('garbage')).active, false);
  });
}

test('a public client, by PKCE alone', async () => {
  const { client } = await server.addClient({ isConfidential: false });
  const { tokens } = await logIn({ client_id: client.id }, oauth.None());
  assert.equal(tokens.refresh_token, undefined);
  assert.equal(tokens.token_type, 'bearer');
});

test('PA-06 an error answer has the issuer and state that the library demands', async () => {
  const { client: registered } = await server.addClient();
  const client: oauth.Client = { client_id: registered.id };
  const url = new URL(issuer.authorization_endpoint ?? '');
  url.search = new URLSearchParams({
    ...{ client_id: client.client_id, redirect_uri: CALLBACK, response_type: 'code', state: 's', prompt: 'none' },
    ...{ code_challenge_method: 'S256', code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM' },
  }).toString();
  const callback = await visit(url);
  assert.throws(() => oauth.validateAuthResponse(issuer, client, callback, 's'), { error: 'consent_required' });
  callback.searchParams.set('iss', 'https://other.example');
  assert.throws(() => oauth.validateAuthResponse(issuer, client, callback, 's'), /iss/);
});

test('EB-05 JT-01 JT-02 JT-03 the library accepts an access token as RFC 9068 has it, for its own audience only', async () => {
  const { client, secret } = await server.addClient();
  const { tokens } = await logIn({ client_id: client.id }, oauth.ClientSecretPost(secret));
  const request = () =>
    new Request('https://api.example/x', { headers: { authorization: `Bearer ${tokens.access_token}` } });
  const claims = await oauth.validateJwtAccessToken(issuer, request(), DEFAULT_AUDIENCE);
  assert.equal(claims.client_id, client.id);
  await assert.rejects(oauth.validateJwtAccessToken(issuer, request(), 'https://other.example'), /aud/);
});

test('OA-16 BR-04 challenges are such as the library can read', async () => {
  const client: oauth.Client = { client_id: 'oauth2client_0000000000000000000000' };
  const wrong = await oauth.clientCredentialsGrantRequest(issuer, client, oauth.ClientSecretBasic('wrong'), {});
  await assert.rejects(oauth.processClientCredentialsResponse(issuer, client, wrong), (error) => {
    assert.ok(error instanceof oauth.WWWAuthenticateChallengeError);
    assert.equal(error.cause[0]?.scheme, 'basic');
    return true;
  });
  const response = await oauth.userInfoRequest(issuer, client, 'garbage');
  await assert.rejects(oauth.processUserInfoResponse(issuer, client, oauth.skipSubjectCheck, response), (error) => {
    assert.ok(error instanceof oauth.WWWAuthenticateChallengeError);
    assert.equal(error.cause[0]?.scheme, 'bearer');
    assert.equal(error.cause[0]?.parameters.error, 'invalid_token');
    return true;
  });
});
