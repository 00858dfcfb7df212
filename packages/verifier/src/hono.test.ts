import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Hono } from 'hono';
import { guard } from './hono.ts';
import { AUDIENCE, type FakeAuthority, startFakeAuthority } from './testing/fake-authority.ts';
import { createVerifier, type Verifier } from './verifier.ts';

let authority: FakeAuthority;
let verifier: Verifier;
let token: string;
let api: ReturnType<typeof createApi>;

before(async () => {
  authority = await startFakeAuthority();
  verifier = createVerifier(authority.options());
  token = await authority.issue();
  api = createApi();
});
after(() => authority.close());

function createApi() {
  return new Hono()
    .get('/me', guard(verifier), (c) => c.json(c.var.token))
    .post('/me', guard(verifier), async (c) => c.json(await c.req.parseBody()))
    .get('/pay', guard(verifier, { scopes: ['pay'] }), (c) => c.text('paid'))
    .get('/moved', guard(verifier), () => Response.redirect('https://elsewhere.example/'))
    .get('/cached', guard(verifier), (c) => c.text('x', 200, { 'cache-control': 'private, max-age=5' }));
}

function get(path: string, authorization?: string) {
  return api.request(path, authorization === undefined ? {} : { headers: { authorization } });
}

async function assertAnswer(
  response: Response,
  expected: { status: number; challenge: string | null; error: string; code: string },
): Promise<void> {
  const body = await response.json();
  assert.equal(response.status, expected.status);
  assert.equal(response.headers.get('www-authenticate'), expected.challenge);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.deepEqual(Object.keys(body), ['error', 'error_description', 'code']);
  assert.equal(body.error, expected.error);
  assert.equal(body.code, expected.code);
}

const realm = `realm="${AUDIENCE}"`;
const INVALID = {
  status: 401,
  challenge: `Bearer ${realm}, error="invalid_token", error_description="The access token is not valid."`,
  error: 'invalid_token',
  code: 'token_invalid',
};

test('BR-01 a good token passes, whatever the case of the scheme, and handlers find claims and handles', async () => {
  for (const scheme of ['Bearer', 'bEaReR']) {
    const response = await get('/me', `${scheme} ${token}`);
    assert.equal(response.status, 200);
    const body = await response.json();
    assert.equal(body.claims.sub, 'user_1');
    assert.equal(body.claims.eb, undefined);
    assert.equal(body.handles.client, 'c1');
    assert.equal(response.headers.get('cache-control'), 'no-store');
  }
  assert.equal((await get('/cached', `Bearer ${token}`)).headers.get('cache-control'), 'private, max-age=5');
});

test('BR-02 BR-04 without credentials, or with a token elsewhere, the challenge names no error', async () => {
  const missing = { status: 401, challenge: `Bearer ${realm}`, error: 'invalid_token', code: 'token_missing' };
  await assertAnswer(await get('/me'), missing);
  await assertAnswer(await get('/me', 'Basic YTpi'), missing);
  await assertAnswer(await get(`/me?access_token=${token}`), missing);
  const form = await api.request('/me', { method: 'POST', body: new URLSearchParams({ access_token: token }) });
  await assertAnswer(form, missing);
});

test('BR-03 more than one credential is an invalid request', async () => {
  const challenge = (description: string) =>
    `Bearer ${realm}, error="invalid_request", error_description="${description}"`;
  const repeated = {
    status: 400,
    challenge: challenge('The request carries more than one access token. Send one, in the Authorization header.'),
    error: 'invalid_request',
    code: 'credentials_repeated',
  };
  await assertAnswer(await get('/me', `Bearer ${token}, Bearer ${token}`), repeated);
  await assertAnswer(await get(`/me?access_token=${token}`, `Bearer ${token}`), repeated);
  const headers = new Headers({ authorization: `Bearer ${token}` });
  headers.append('authorization', 'Basic YTpi');
  await assertAnswer(await api.request('/me', { headers }), repeated);
  await assertAnswer(await get('/me', 'Bearer'), {
    ...repeated,
    challenge: challenge('The Authorization header must be the word Bearer, one space and the access token.'),
    code: 'credentials_malformed',
  });
});

test('BR-05 bad tokens look alike, expired ones and missing scope are named', async () => {
  const revoked = await authority.issue();
  authority.record(revoked, 'revoked');
  const forged = authority.forge(authority.claims());
  const wrongAudience = await authority.issue({ aud: 'https://other.example' });
  for (const bad of ['x', 'a.b.c', revoked, forged, wrongAudience]) {
    await assertAnswer(await get('/me', `Bearer ${bad}`), INVALID);
  }
  const expired = await authority.issue();
  authority.record(expired, 'expired');
  await assertAnswer(await get('/me', `Bearer ${expired}`), {
    ...INVALID,
    challenge: `Bearer ${realm}, error="invalid_token", error_description="The access token has expired."`,
    code: 'token_expired',
  });
  await assertAnswer(await get('/pay', `Bearer ${token}`), {
    status: 403,
    challenge: `Bearer ${realm}, error="insufficient_scope", error_description="The access token does not carry the scope this resource needs.", scope="pay"`,
    error: 'insufficient_scope',
    code: 'scope_insufficient',
  });
});

test('a form is left to the handler, unread', async () => {
  const response = await api.request('/me', {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: new URLSearchParams({ amount: '5' }),
  });
  assert.deepEqual(await response.json(), { amount: '5' });
});

test('an authority that is away closes the door with 503', async () => {
  authority.intercept = () => ({ status: 500 });
  await assertAnswer(await get('/me', `Bearer ${token}`), {
    status: 503,
    challenge: null,
    error: 'temporarily_unavailable',
    code: 'verification_unavailable',
  });
  authority.intercept = () => undefined;
});

test('scopes that no token can carry stop the start', () => {
  assert.throws(() => guard(verifier, { scopes: ['a b'] }), TypeError);
});

test('a handler may answer with a response whose headers cannot be changed, as of a proxied fetch', async () => {
  const response = await get('/moved', `Bearer ${token}`);
  assert.equal(response.status, 302);
  assert.equal(response.headers.get('location'), 'https://elsewhere.example/');
  assert.equal(response.headers.get('cache-control'), 'no-store');
});
