import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, startTestServer, type TestServer } from '@countersign/testkit';
import { type Application, authorizationQuery, authorize, sentOn } from './oauth-calls.ts';

const CALLBACK = 'https://app.example/callback';

let server: TestServer;
let browser: Browser;
let app: Application;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
  app = await server.addClient();
  await server.obtainCode({ browser, client: app.client }); // so that consent is remembered and a good request answers at once
});
after(() => server.close());

/** The error went to the client, with state and issuer, and nothing else. */
async function assertSent(changes: Record<string, string | null>, error: string): Promise<void> {
  const { page, answer } = await authorize(browser, app, changes);
  assert.equal(page.status, 303);
  assert.ok(page.headers.get('location')?.startsWith(`${CALLBACK}?`), error);
  assert.equal(answer?.get('error'), error);
  assert.equal(answer?.get('state'), 'the-state');
  assert.equal(answer?.get('iss'), server.issuer);
  assert.match(answer?.get('error_description') ?? '', /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/);
  assert.deepEqual([...(answer?.keys() ?? [])].sort(), ['error', 'error_description', 'iss', 'state']);
}

/** The user is told; nothing went anywhere. */
async function assertShown(changes: Record<string, string | null>, status = 400): Promise<void> {
  const { page, answer } = await authorize(browser, app, changes);
  assert.equal(answer, undefined, JSON.stringify(changes));
  assert.equal(page.status, status, JSON.stringify(changes));
  assert.match(page.headers.get('content-type') ?? '', /^text\/html/);
}

test('PA-06 OA-09 a good request answers with code, state and iss', async () => {
  const { answer } = await authorize(browser, app);
  assert.deepEqual([...(answer?.keys() ?? [])].sort(), ['code', 'iss', 'state']);
  assert.equal(answer?.get('iss'), server.issuer);
});

test('OA-05 no redirect for an unknown, missing or disabled client', async () => {
  const off = await server.addClient({ name: 'Off' });
  await server.authority.revocation.disableClient(off.client.id);
  for (const id of [null, '', 'nobody', 'oauth2client_0000000000000000000000', off.client.id]) {
    await assertShown({ client_id: id });
    await assertShown({ client_id: id, response_type: 'token' });
  }
});

test('OA-06 OA-05 a redirect URI is the registered string or none', async () => {
  const mutations = [
    `${CALLBACK}/`,
    `${CALLBACK}?`,
    `${CALLBACK}?a=1`,
    `${CALLBACK}#`,
    `${CALLBACK}#f`,
    'https://app.example/Callback',
    'https://APP.example/callback',
    'https://app.example/x/../callback',
    'https://app.example/%63allback',
    'https://app.example:443/callback',
    'https://app.example:8443/callback',
    'https://user@app.example/callback',
    'https://app.example@evil.example/callback',
    'https://app.example.evil.example/callback',
    'https://evil.example/callback',
    'http://app.example/callback',
    'HTTPS://app.example/callback',
    '//app.example/callback',
    '/callback',
    `${CALLBACK} `,
    ` ${CALLBACK}`,
    `${CALLBACK}\r\nx: y`,
    `${CALLBACK}\\`,
    'javascript:alert(1)',
  ];
  for (const redirectUri of mutations) await assertShown({ redirect_uri: redirectUri });
});

test('OA-06 with several registered URIs one must be named', async () => {
  const two = await server.addClient({ redirectUris: [CALLBACK, 'https://app.example/two'] });
  const missing = await authorize(browser, two, { redirect_uri: null });
  assert.deepEqual([missing.page.status, missing.answer], [400, undefined]);
  const named = await authorize(browser, two, { redirect_uri: 'https://app.example/two', prompt: 'none' });
  assert.ok(named.page.headers.get('location')?.startsWith('https://app.example/two?'));
  const single = await authorize(browser, app, { redirect_uri: null });
  assert.equal(typeof single.answer?.get('code'), 'string');
});

test('OA-07 a query of the registered URI is kept', async () => {
  const uri = 'https://app.example/cb?a=1&b=%20x';
  const app = await server.addClient({ redirectUris: [uri] });
  const { location } = await server.obtainCode({ browser, client: app.client });
  assert.ok(location.href.startsWith(`${uri}&code=`));
  const { page } = await authorize(browser, app, { response_type: 'token' });
  assert.ok(page.headers.get('location')?.startsWith(`${uri}&error=`));
});

test('OA-07 ND-02 URIs that cannot be registered', async () => {
  const refused = [
    'http://app.example/cb',
    'https://app.example/cb#f',
    'javascript:alert(1)',
    'data:text/html,x',
    'myapp:/cb',
    '/cb',
    'https://u:p@app.example/cb',
    'https://*.app.example/cb',
    'https:app.example/cb',
    'https://app.example/../cb',
    '',
  ];
  for (const uri of refused) {
    await assert.rejects(server.addClient({ redirectUris: [uri] }), { code: 'bad_registration.redirect_uris' }, uri);
  }
  for (const uri of ['com.example.app:/cb', 'http://127.0.0.1/cb', 'http://[::1]/cb', 'https://app.example']) {
    await server.addClient({ isConfidential: false, redirectUris: [uri] });
  }
});

test('OA-08 no response type returns a token from this endpoint', async () => {
  await assertSent({ response_type: null }, 'invalid_request');
  await assertSent({ response_type: '' }, 'invalid_request');
  for (const type of ['token', 'id_token', 'id_token token', 'code token', 'code id_token', 'none', 'CODE', 'code ']) {
    await assertSent({ response_type: type }, 'unsupported_response_type');
  }
});

test('PK-02 PK-03 PK-06 a challenge by S256 is required', async () => {
  await assertSent({ code_challenge: null, code_challenge_method: null }, 'invalid_request');
  await assertSent({ code_challenge: null }, 'invalid_request');
  for (const method of [null, '', 'plain', 's256', 'S512']) {
    await assertSent({ code_challenge_method: method }, 'invalid_request');
  }
  for (const challenge of ['x', 'a'.repeat(42), 'a'.repeat(44), `${'a'.repeat(42)}=`, `${'a'.repeat(42)}+`]) {
    await assertSent({ code_challenge: challenge }, 'invalid_request');
  }
});

test('PK-02 a public client cannot be registered without PKCE', async () => {
  const registration = { isConfidential: false, isPkceRequired: false };
  await assert.rejects(server.addClient(registration), { code: 'bad_registration.pkce' });
});

test('OA-21 BC-02 no scope and no resource beyond the registration', async () => {
  for (const scope of ['admin', 'openid admin', 'openid  email', ' openid', 'a"b']) {
    await assertSent({ scope }, 'invalid_scope');
  }
  await assertSent({ resource: 'https://other.example' }, 'invalid_target');
  await assertSent({ resource: `${app.client.audience}#f` }, 'invalid_target');
  const { answer } = await authorize(browser, app, { resource: app.client.audience });
  assert.equal(typeof answer?.get('code'), 'string');
});

test('OA-21 without a scope parameter the client gets what it is registered for', async () => {
  for (const changes of [{}, { scope: '' }] as Record<string, string>[]) {
    const flow = { browser, client: app.client, secret: app.secret, parameters: changes };
    assert.equal((await server.obtainTokens(flow)).scope, 'openid email offline_access accounts:read');
  }
});

test('OI-08 PA-05 request objects and registration are refused by name', async () => {
  await assertSent({ request: 'e30.e30.' }, 'request_not_supported');
  await assertSent({ request_uri: 'http://169.254.169.254/' }, 'request_uri_not_supported');
  await assertSent({ registration: '{}' }, 'registration_not_supported');
});

test('OI-05 prompt and max_age are read strictly', async () => {
  for (const prompt of ['none login', 'login none consent', 'nonsense', 'none nonsense', 'None']) {
    await assertSent({ prompt }, 'invalid_request');
  }
  for (const maxAge of ['-1', 'x', '1.5', '1e3', '9'.repeat(30)]) {
    await assertSent({ max_age: maxAge }, 'invalid_request');
  }
});

test('OA-03 a parameter that comes twice is refused, with a page: nobody knows which one is meant', async () => {
  for (const [name, value] of [
    ['client_id', app.client.id],
    ['redirect_uri', CALLBACK],
    ['scope', 'openid'],
    ['state', 'other'],
  ] as const) {
    const query = authorizationQuery(app, { scope: 'openid' });
    query.append(name, value);
    const { page, answer } = sentOn(await browser.get(`/oauth2/authorize?${query}`));
    assert.deepEqual([page.status, answer], [400, undefined], name);
  }
});

test('OA-04 OI-06 empty and unknown parameters change nothing', async () => {
  const unknown = {
    foo: 'bar',
    __proto__x: '1',
    constructor: '1',
    audience: 'x',
    display: 'popup',
    ui_locales: 'de xx',
  };
  const hints = { claims_locales: 'fr', acr_values: 'urn:x 9', login_hint: 'bob@example.com', claims: '{}' };
  const empty = { scope: '', prompt: '', nonce: '', max_age: '', request: '', resource: '', response_mode: '' };
  const longHint = { login_hint: 'b'.repeat(300) };
  for (const changes of [unknown, hints, longHint, empty]) {
    const { answer } = await authorize(browser, app, changes);
    assert.equal(typeof answer?.get('code'), 'string', JSON.stringify(changes));
  }
});

test('OA-09 state comes back byte for byte on success and refusal, and is absent when not sent', async () => {
  const states = [
    'ünï—код 🦊',
    'a+b%26c&d=e#f',
    'x'.repeat(2_048),
    '%',
    '%2',
    '\u2028"\'<>\\',
    ' leading and trailing ',
  ];
  for (const state of states) {
    assert.equal((await authorize(browser, app, { state })).answer?.get('state'), state);
    assert.equal((await authorize(browser, app, { state, response_type: 'token' })).answer?.get('state'), state);
    const shown = await authorize(browser, app, { state, prompt: 'consent' });
    const denied = sentOn(await browser.submit(shown.page, { decision: 'deny' }, { action: '/consent' }));
    assert.equal(denied.answer?.get('error'), 'access_denied');
    assert.equal(denied.answer?.get('state'), state);
  }
  assert.equal((await authorize(browser, app, { state: null })).answer?.has('state'), false);
  assert.equal((await authorize(browser, app, { state: null, scope: 'admin' })).answer?.has('state'), false);
  const long = (await authorize(browser, app, { state: 'x'.repeat(4_097) })).answer;
  assert.deepEqual([long?.get('error'), long?.has('state')], ['invalid_request', false]);
});

test('PA-06 a denied consent names the issuer', async () => {
  const { page } = await authorize(browser, app, { prompt: 'consent' });
  const { answer } = sentOn(await browser.submit(page, { decision: 'deny' }, { action: '/consent' }));
  assert.deepEqual([answer?.get('error'), answer?.get('iss')], ['access_denied', server.issuer]);
  assert.equal(answer?.has('code'), false);
});

test('BC-05 the authorization endpoint has no CORS, for no origin', async (t) => {
  const spa = await server.addClient({ isConfidential: false, allowedOrigins: ['https://spa.example'] });
  server.clock.advance(6_000);
  const url = `${server.issuer}/oauth2/authorize?${authorizationQuery(spa)}`;
  const preflight = { 'access-control-request-method': 'GET' };
  for (const init of [{}, { method: 'OPTIONS', headers: preflight }]) {
    const headers = { ...init.headers, origin: 'https://spa.example' };
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    assert.equal(response.headers.get('access-control-allow-origin'), null);
    await response.body?.cancel();
  }
  await t.test('BC-06 the token endpoint has it for registered origins', async () => {
    for (const [origin, allowed] of [
      ['https://spa.example', 'https://spa.example'],
      ['https://spa.example.evil.example', null],
      ['https://evil.example', null],
      ['null', null],
    ] as const) {
      for (const path of ['/oauth2/token', '/oauth2/revoke', '/userinfo']) {
        const response = await server.post(path, {}, { headers: { origin } });
        assert.equal(response.headers.get('access-control-allow-origin'), allowed, `${path} ${origin}`);
        assert.equal(response.headers.get('access-control-allow-credentials'), null);
        assert.match(response.headers.get('vary') ?? '', /Origin/);
        await response.body?.cancel();
      }
    }
  });
});

test('the limit of authorization requests is per network and tells when to come again', async (t) => {
  const limited = await startTestServer({ limits: { authorizePerNetwork: { points: 3 } } });
  t.after(() => limited.close());
  const app = await limited.addClient();
  const statuses: number[] = [];
  for (let request = 0; request < 4; request++) {
    const url = `${limited.issuer}/oauth2/authorize?${authorizationQuery(app)}`;
    const response = await fetch(url, { redirect: 'manual' });
    statuses.push(response.status);
    if (response.status === 429) assert.ok(Number(response.headers.get('retry-after')) > 0);
    await response.body?.cancel();
  }
  assert.deepEqual(statuses, [303, 303, 303, 429]);
});

test('a request that is continued again and again makes no more codes than the limit lets through', async (t) => {
  const limited = await startTestServer({ limits: { authorizePerNetwork: { points: 5 } } });
  t.after(() => limited.close());
  const app = await limited.addClient();
  const browser = await limited.logIn('ada@example.com');
  const { page } = await authorize(browser, app);
  const sealed = /name="request" value="([^"]+)"/.exec(page.text)?.[1];
  await browser.submit(page, { decision: 'allow' }, { action: '/consent' });
  const statuses: number[] = [];
  for (let again = 0; again < 4; again++) {
    statuses.push((await browser.get(`/oauth2/authorize/continue?request=${sealed}`)).status);
  }
  assert.deepEqual(statuses, [303, 303, 303, 429]);
  const codes = await limited.authority.store.read.get<{ made: number }>(
    'SELECT count(*) AS made FROM authorization_code',
  );
  assert.equal(codes?.made, 4);
});
