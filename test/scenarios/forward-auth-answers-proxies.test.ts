import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { startTestServer, type TestServer } from '@countersign/testkit';
import { type Application, opened } from './oauth-calls.ts';
import { linesOf, type RawAnswer, rawRequest } from './raw-request.ts';

const LOOPBACK = ['127.0.0.0/8', '::1/128'];
const WANTED = '/forward-auth?audience=https://api.example&scope=accounts:read';
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

let server: TestServer;
let machine: Application;
before(async () => {
  server = await startTestServer({ settings: { forwardAuthProxies: LOOPBACK } });
  machine = await server.addClient({ redirectUris: [], scopes: ['accounts:read', 'profile'] });
});
after(() => server.close());

async function obtain(scope = 'accounts:read', { client, secret }: Application = machine): Promise<string> {
  const form = { grant_type: 'client_credentials', scope, client_id: client.id, client_secret: secret };
  return ((await (await server.post('/oauth2/token', form)).json()) as { access_token: string }).access_token;
}

function ask(authorization: string | undefined, more: { path?: string; method?: string; headers?: object } = {}) {
  const { path = WANTED, method = 'GET', headers = {} } = more;
  return rawRequest(server.tlsOrigin, {
    ...{ path, method },
    headers: { ...(authorization !== undefined && { authorization }), ...headers },
  });
}

const codeOf = ({ body }: RawAnswer): unknown => JSON.parse(body).code;
const identityOf = ({ headers }: RawAnswer) => headers.filter(([name]) => name.startsWith('countersign-'));

test('a proxy learns whose a good token is, by any method, and keeps nothing', async () => {
  const token = await obtain();
  const { claims } = opened(token);
  for (const method of METHODS) {
    const answered = await ask(`Bearer ${token}`, { method });
    assert.equal(answered.status, 200, method);
    assert.equal(answered.body, '');
    assert.deepEqual(linesOf(answered, 'cache-control'), ['no-store']);
    assert.deepEqual(Object.fromEntries(identityOf(answered)), {
      'countersign-subject': claims.sub,
      'countersign-client-id': machine.client.id,
      'countersign-scope': 'accounts:read',
      'countersign-token-id': claims.jti,
      'countersign-expires': String(claims.exp),
      'countersign-authenticated-at': '',
      'countersign-authentication-methods': '',
    });
  }
});

/** All that somebody may say to be taken for the proxy at 192.0.2.1. */
const CLAIMING = {
  'x-forwarded-for': '192.0.2.1',
  'x-forwarded-proto': 'https',
  'x-real-ip': '192.0.2.1',
  forwarded: 'for=192.0.2.1;proto=https',
  via: '1.1 192.0.2.1',
};

async function assertNobodyIsTold(
  settings: { trustedProxies?: string[]; forwardAuthProxies?: string[] },
  t: TestContext,
) {
  const other = await startTestServer({ settings, jobs: false });
  t.after(() => other.close());
  const application = await other.addClient({ redirectUris: [], scopes: ['accounts:read'] });
  const form = {
    grant_type: 'client_credentials',
    client_id: application.client.id,
    client_secret: application.secret,
  };
  const { access_token: token } = (await (await other.post('/oauth2/token', form)).json()) as { access_token: string };
  for (const method of METHODS) {
    for (const credential of [token, 'nonsense']) {
      for (const claiming of [{}, CLAIMING, { ...CLAIMING, 'x-forwarded-for': '203.0.113.9, 192.0.2.1, 127.0.0.1' }]) {
        const headers = { ...claiming, authorization: `Bearer ${credential}` };
        const answered = await rawRequest(other.tlsOrigin, { path: WANTED, method, headers });
        assert.equal(answered.status, 403, method);
        if (method !== 'HEAD')
          assert.equal(codeOf(answered), 'forbidden.not_a_proxy', 'a good token is told like a bad one');
        assert.deepEqual(identityOf(answered), []);
      }
    }
  }
}

test('SC-08 unless somebody is named to ask, nobody is told who a token is', async (t) => {
  await assertNobodyIsTold({}, t);
});

test('SC-08 attack: through the trusted proxy in front of the authority a stranger is told nothing, whatever he says of himself', async (t) => {
  await assertNobodyIsTold({ trustedProxies: LOOPBACK, forwardAuthProxies: ['192.0.2.1/32'] }, t);
});

test('SC-08 attack: a proxy that passes strangers on is told nothing, also where it is named to ask', async (t) => {
  await assertNobodyIsTold({ trustedProxies: LOOPBACK, forwardAuthProxies: [...LOOPBACK, '192.0.2.1/32'] }, t);
});

test('SC-08 whoever only asks is believed of others nowhere else', async (t) => {
  const other = await startTestServer({ settings: { forwardAuthProxies: LOOPBACK }, jobs: false });
  t.after(() => other.close());
  for (const [path, status] of [
    ['/login', 200],
    ['/livez', 200],
    ['/forward-auth/x', 404],
  ] as const) {
    const headers = { 'x-forwarded-proto': 'http', 'x-forwarded-for': '203.0.113.9' };
    assert.equal((await rawRequest(other.tlsOrigin, { path, headers })).status, status, `${path} is https, as it came`);
  }
  assert.ok(!other.logLines.some((line) => line.includes('203.0.113')));
});

test('what is no question is refused as on every path, and passes no proxy', async () => {
  const headers = { authorization: `Bearer ${await obtain()}` };
  const large = { method: 'POST', headers, path: WANTED, body: 'x'.repeat(100_000) };
  const long = { headers, path: `/forward-auth?audience=${'a'.repeat(11_000)}` };
  const strange = { method: 'PROPFIND', headers, path: WANTED };
  for (const [asked, status] of [
    [large, 413],
    [long, 414],
    [strange, 405],
  ] as const) {
    const answered = await rawRequest(server.tlsOrigin, asked);
    assert.equal(answered.status, status);
    assert.deepEqual(identityOf(answered), []);
  }
});

test('what is wanted stands in the address, once, and nowhere else', async () => {
  const token = await obtain('profile');
  for (const query of [
    '',
    '?',
    '?scope=profile',
    '?audience=',
    '?audience=https://api.example&audience=https://api.example',
    '?audience=https://api.example&scope=profile&scope=profile',
    '?audience=https://api.example&scope=',
    '?audience=https://api.example&other=1',
    '?audience=https://api.example&access_token=x',
  ]) {
    const answered = await ask(`Bearer ${token}`, { path: `/forward-auth${query}` });
    assert.equal(answered.status, 403, query);
    assert.equal(codeOf(answered), 'forbidden.forward_auth_query', query);
  }
  const headers = { 'x-original-uri': '/?scope=profile', 'countersign-required-scope': 'profile' };
  assert.equal((await ask(`Bearer ${token}`, { headers })).status, 403, 'no header loosens it');
});

test('Envoy’s way of asking is no question here: behind the address there is nothing', async () => {
  const token = await obtain();
  for (const behind of ['/x', '/x?audience=https://api.example', '/../forward-authx']) {
    assert.equal((await ask(`Bearer ${token}`, { path: `/forward-auth${behind}` })).status, 404, behind);
  }
});

test('BR-04 whatever is wrong with a credential is 401 with one challenge, which names no error where there is none', async () => {
  const token = await obtain();
  const refused: [string | undefined, unknown][] = [
    [undefined, 'unauthorized.missing_token'],
    ['Basic YTpi', 'unauthorized.missing_token'],
    ['Bearer nonsense', 'unauthorized.bad_access_token'],
    [`Bearer ${token}, Bearer ${token}`, 'bad_request.authorization_header'],
    [`Bearer ${token} x`, 'bad_request.authorization_header'],
  ];
  for (const [authorization, code] of refused) {
    const answered = await ask(authorization);
    assert.equal(answered.status, 401, authorization);
    assert.equal(codeOf(answered), code);
    const challenges = linesOf(answered, 'www-authenticate');
    assert.equal(challenges.length, 1);
    assert.match(challenges[0] ?? '', /^Bearer realm="countersign"/);
    assert.equal(challenges[0]?.includes('error='), code !== 'unauthorized.missing_token');
    assert.ok(!answered.body.includes(token));
  }
});

test('a token for another audience, of another scope, or revoked, is refused', async () => {
  const elsewhere = await server.addClient({
    redirectUris: [],
    scopes: ['accounts:read'],
    audience: 'https://other.example',
  });
  const foreign = await ask(`Bearer ${await obtain('accounts:read', elsewhere)}`);
  assert.deepEqual([foreign.status, codeOf(foreign)], [401, 'unauthorized.bad_access_token']);
  const poor = await ask(`Bearer ${await obtain('profile')}`);
  assert.deepEqual([poor.status, codeOf(poor)], [403, 'forbidden.insufficient_scope']);
  assert.match(linesOf(poor, 'www-authenticate')[0] ?? '', /error="insufficient_scope".*scope="accounts:read"/);
  const token = await obtain();
  const { authority } = server;
  await authority.store.write((tx) => authority.tokens.revoke(tx, String(opened(token).claims.jti)));
  assert.equal((await ask(`Bearer ${token}`)).status, 401);
});

test('a token that is bound to a key is refused: its proof is for a request that is not seen here', async () => {
  const { tokens, store } = server.authority;
  const prepared = await tokens.prepare({
    client: machine.client,
    user: undefined,
    scope: ['accounts:read'],
    confirmation: { jkt: 'A'.repeat(43) },
  });
  await store.commit(tokens.recording(prepared));
  const answered = await ask(`Bearer ${prepared.token}`);
  assert.equal(answered.status, 401);
  assert.equal(codeOf(answered), 'unauthorized.bad_access_token.bound');
});

test('a forgery rings here as everywhere, with the address that the proxy names', async () => {
  const { claims } = opened(await obtain());
  const forged = await server.authority.keys.sign({
    purpose: 'access',
    typ: 'at+jwt',
    claims: { ...claims, scope: 'accounts:read admin' },
  });
  const headers = { 'x-forwarded-for': '203.0.113.7' };
  assert.equal((await ask(`Bearer ${forged.token}`, { headers })).status, 401);
  const rung = (await server.alarms()).map((alarm) => [alarm.type, 'address' in alarm && alarm.address]);
  assert.deepEqual(rung, [['alarm.tampered', '203.0.113.7']]);
});

test('a token that reached the proxy over plain http is revoked', async () => {
  const token = await obtain();
  const marked = await ask(`Bearer ${token}`, { headers: { 'x-forwarded-proto': 'http' } });
  assert.deepEqual([marked.status, codeOf(marked)], [403, 'forbidden.cleartext']);
  assert.equal((await ask(`Bearer ${token}`)).status, 401);
});
