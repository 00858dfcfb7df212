import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestServer, type TestServer } from '@countersign/testkit';
import { type Application, opened } from './oauth-calls.ts';
import { linesOf, type RawAnswer, rawRequest } from './raw-request.ts';

const LOOPBACK = ['127.0.0.0/8', '::1/128'];
const WANTED = '/forward-auth?audience=https://api.example&scope=accounts:read';
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

let server: TestServer;
let machine: Application;
before(async () => {
  server = await startTestServer({ settings: { trustedProxies: LOOPBACK } });
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

test('SC-08 only a trusted proxy may ask, whatever it says of itself', async (t) => {
  const other = await startTestServer({ settings: { trustedProxies: ['192.0.2.1/32'] }, jobs: false });
  t.after(() => other.close());
  for (const method of METHODS) {
    const headers = {
      'x-forwarded-for': '192.0.2.1',
      'x-real-ip': '192.0.2.1',
      authorization: `Bearer ${await obtain()}`,
    };
    const answered = await rawRequest(other.tlsOrigin, { path: WANTED, method, headers });
    assert.equal(answered.status, 403, method);
    if (method !== 'HEAD') assert.equal(codeOf(answered), 'forbidden.not_a_proxy');
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
  await store.write((tx) => tokens.record(tx, prepared));
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
