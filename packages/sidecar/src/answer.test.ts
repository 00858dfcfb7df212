import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IDENTITY_HEADERS } from '@countersign/protocol';
import type { Verifier, VerifyResult } from '@countersign/verifier';
import { answer, isQuestion } from './answer.ts';

const CLAIMS = {
  iss: 'https://login.example',
  sub: 'user_1',
  aud: 'https://api.example',
  client_id: 'oauth2client_1',
  jti: 'acctok_1',
  iat: 1_800_000_000,
  exp: 1_800_000_900,
  scope: 'accounts:read',
};

const ACCEPTED: VerifyResult = { kind: 'accepted', basis: 'record', claims: CLAIMS, expiresAtMs: 1_800_000_900_000 };

type Asked = Parameters<Verifier['verify']>;

/** Asks with these header lines, and keeps what the verifier was given. */
async function ask(
  target: string,
  headers: Record<string, string[]> = {},
  more: { method?: string; scopes?: string[]; result?: VerifyResult; origin?: string | undefined } = {},
) {
  const verified: Asked[] = [];
  const answered = await answer(
    { method: more.method ?? 'GET', target, lines: (name) => headers[name] ?? [] },
    {
      scopes: more.scopes ?? [],
      onResult: () => {},
      verifier: {
        audience: 'https://api.example',
        origin: 'origin' in more ? more.origin : 'https://api.example',
        verify: async (...asked) => {
          verified.push(asked);
          return more.result ?? ACCEPTED;
        },
      },
    },
  );
  const [[token, wanted] = []] = verified;
  return { answered, token, wanted, isVerified: verified.length > 0 };
}

const TOKEN = { authorization: ['Bearer x.y.z'] };
const BOUND = { authorization: ['DPoP x.y.z'], dpop: ['a.b.c'] };

test('a good token is answered by all identity headers, without a body, for nobody to keep', async () => {
  const { answered } = await ask('/forward-auth', TOKEN);
  assert.equal(answered.status, 200);
  assert.equal(answered.body, '');
  assert.equal(answered.headers['Cache-Control'], 'no-store');
  for (const name of IDENTITY_HEADERS) assert.equal(typeof answered.headers[name], 'string', name);
  assert.equal(answered.headers['Countersign-Subject'], 'user_1');
  assert.equal(answered.headers['Countersign-Authenticated-At'], '');
});

test('the question stands at its path or behind it, read as it was sent', () => {
  for (const target of [
    '/forward-auth',
    '/forward-auth?x',
    '/forward-auth/',
    '/forward-auth/../readyz',
    '/forward-auth//x',
  ])
    assert.ok(isQuestion(target), target);
  for (const target of [
    '/forward-authx',
    '/forward-aut',
    '/x/../forward-auth',
    '//forward-auth',
    '/forward-auth%2f',
    '*',
    '',
  ])
    assert.ok(!isQuestion(target), target);
});

test('what is wanted comes from the start, the address and the header, all together', async () => {
  const { wanted } = await ask(
    '/forward-auth?scope=a+b&audience=https://api.example',
    { ...TOKEN, 'countersign-required-scope': ['c d', 'a'] },
    { scopes: ['z'] },
  );
  assert.deepEqual(wanted?.scopes, ['z', 'a', 'b', 'c', 'd']);
});

test('behind an appended path the query is the client’s, and changes nothing', async () => {
  for (const target of [
    '/forward-auth/x?scope=profile',
    '/forward-auth/?scope=profile&audience=https://evil.example',
    '/forward-auth//?scope=profile',
    '/forward-auth/../readyz?scope=profile',
    '/forward-auth/%3Fscope=profile',
  ]) {
    const { answered, wanted } = await ask(target, { ...TOKEN, 'countersign-required-scope': ['accounts:read'] });
    assert.equal(answered.status, 200, target);
    assert.deepEqual(wanted?.scopes, ['accounts:read'], target);
  }
});

test('a question that is none is refused before the token is looked at', async () => {
  for (const [target, header] of [
    ['/forward-auth?scope=a&scope=b', []],
    ['/forward-auth?scope=', []],
    ['/forward-auth?other=a', []],
    ['/forward-auth?audience=https://other.example', []],
    ['/forward-auth', ['']],
    ['/forward-auth/x', ['a"b']],
  ] as [string, string[]][]) {
    const { answered, isVerified } = await ask(target, { ...TOKEN, 'countersign-required-scope': header });
    assert.equal(answered.status, 403, target);
    assert.equal(JSON.parse(answered.body).code, 'forward_auth_query');
    assert.ok(!isVerified);
  }
});

test('two credentials are 401, with a challenge, and neither is looked at', async () => {
  for (const authorization of [
    ['Bearer x.y.z', 'Bearer x.y.z'],
    ['Bearer x.y.z, Bearer u.v.w'],
    ['Basic YTpi', 'Bearer x.y.z'],
    ['DPoP x.y.z, Bearer x.y.z'],
    ['Bearer'],
    ['Bearer x y'],
  ]) {
    const { answered, isVerified } = await ask('/forward-auth', { authorization });
    assert.equal(answered.status, 401);
    assert.match(
      answered.headers['WWW-Authenticate'] ?? '',
      /^Bearer realm="https:\/\/api\.example", error="invalid_request"/,
    );
    assert.ok(!isVerified);
  }
  assert.equal((await ask('/forward-auth', { authorization: ['Basic YTpi'] })).token, undefined);
});

test('a refusal is passed on with its challenge; what cannot be known is 503, and neither says more', async () => {
  const challenge = 'Bearer realm="r", error="insufficient_scope"';
  const lacking = await ask('/forward-auth', TOKEN, {
    result: { kind: 'refused', code: 'scope_insufficient', status: 403, challenge },
  });
  assert.equal(lacking.answered.status, 403);
  assert.equal(lacking.answered.headers['WWW-Authenticate'], challenge);
  const revoked = await ask('/forward-auth', TOKEN, {
    result: { kind: 'refused', code: 'token_revoked', status: 401, challenge },
  });
  assert.equal(JSON.parse(revoked.answered.body).code, 'token_invalid', 'causes are not told apart');
  const away = await ask('/forward-auth', TOKEN, {
    result: { kind: 'unavailable', code: 'authority_unreachable', status: 503, message: 'for the operator' },
  });
  assert.equal(away.answered.status, 503);
  assert.ok(!away.answered.body.includes('operator'));
  for (const { answered } of [lacking, revoked, away]) {
    assert.equal(answered.headers['Cache-Control'], 'no-store');
    assert.ok(!Object.keys(answered.headers).some((name) => name.startsWith('Countersign')));
  }
});

test('SC-08 a proof is for the one request that the proxy names', async () => {
  const proof = { jwt: 'a.b.c', method: 'PUT', url: 'https://api.example/a%2Fb/../c' };
  const original = { 'x-original-method': ['PUT'], 'x-original-uri': ['/a%2Fb/../c?d=e'] };
  const forwarded = { 'x-forwarded-method': ['PUT'], 'x-forwarded-uri': ['/a%2Fb/../c#d'] };
  assert.deepEqual((await ask('/forward-auth', { ...BOUND, ...original })).wanted, { scheme: 'DPoP', proof });
  assert.deepEqual((await ask('/forward-auth?scope=a', { ...BOUND, ...forwarded })).wanted?.proof, proof);
  assert.deepEqual((await ask('/forward-auth/a%2Fb/../c?d', BOUND, { method: 'PUT' })).wanted?.proof, proof);
  const evil = await ask('/forward-auth', {
    ...BOUND,
    'x-original-method': ['GET'],
    'x-original-uri': ['//evil.example/x'],
  });
  assert.equal(evil.wanted?.proof?.url, 'https://api.example//evil.example/x');
});

test('SC-08 a request that is named in two ways, twice, by half or not at all takes no proof', async () => {
  const original = { 'x-original-method': ['PUT'], 'x-original-uri': ['/a'] };
  const forwarded = { 'x-forwarded-method': ['PUT'], 'x-forwarded-uri': ['/a'] };
  const unclear: [string, Record<string, string[]>][] = [
    ['/forward-auth', {}],
    ['/forward-auth', { ...original, ...forwarded }],
    ['/forward-auth/a', original],
    ['/forward-auth/a', { 'x-forwarded-uri': ['/b'] }],
    ['/forward-auth', { ...original, 'x-original-uri': ['/a', '/b'] }],
    ['/forward-auth', { ...original, 'x-original-method': ['PUT', 'GET'] }],
    ['/forward-auth', { 'x-original-uri': ['/a'] }],
    ['/forward-auth', { ...original, 'x-forwarded-method': ['GET'] }],
    ['/forward-auth', { ...original, 'x-original-uri': ['https://evil.example/a'] }],
    ['/forward-auth', { ...original, 'x-original-uri': ['/a b'] }],
    ['/forward-auth', { ...original, 'x-original-method': ['P UT'] }],
    ['/forward-auth', { ...original, 'x-original-method': [''] }],
  ];
  for (const [target, headers] of unclear) {
    const { wanted } = await ask(target, { ...BOUND, ...headers }, { method: 'PUT' });
    assert.deepEqual(wanted, { scheme: 'DPoP' }, JSON.stringify([target, headers]));
  }
  assert.equal((await ask('/forward-auth', { ...BOUND, ...original }, { origin: undefined })).wanted?.proof, undefined);
  assert.equal((await ask('/forward-auth', { ...TOKEN, ...original, dpop: ['a.b.c'] })).wanted?.proof, undefined);
  assert.equal(
    (await ask('/forward-auth', { ...BOUND, ...original, dpop: ['a.b.c', 'd.e.f'] })).wanted?.proof?.jwt,
    'a.b.c, d.e.f',
  );
});
