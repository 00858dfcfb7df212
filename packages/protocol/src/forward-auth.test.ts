import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IDENTITY_HEADERS, identityHeaders, readForwardAuthQuery } from './forward-auth.ts';

const CLAIMS = {
  sub: 'user_1',
  client_id: 'oauth2client_1',
  scope: 'accounts:read profile',
  jti: 'acctok_1',
  exp: 1_900_000_000,
  auth_time: 1_800_000_000,
  amr: ['otp', 'user'],
};

test('an answer says who the token is, in printable ASCII', () => {
  assert.deepEqual(identityHeaders(CLAIMS), {
    'Countersign-Subject': 'user_1',
    'Countersign-Client-Id': 'oauth2client_1',
    'Countersign-Scope': 'accounts:read profile',
    'Countersign-Token-Id': 'acctok_1',
    'Countersign-Expires': '1900000000',
    'Countersign-Authenticated-At': '1800000000',
    'Countersign-Authentication-Methods': 'otp user',
  });
});

test('every identity header stands in every answer, empty where the token does not say it', () => {
  const { auth_time: _, amr: __, ...machine } = CLAIMS;
  const headers = identityHeaders({ ...machine, scope: '' });
  assert.deepEqual(Object.keys(headers), IDENTITY_HEADERS);
  assert.equal(headers['Countersign-Scope'], '');
  assert.equal(headers['Countersign-Authenticated-At'], '');
  assert.equal(headers['Countersign-Authentication-Methods'], '');
});

test('a value that could end a header, or be read in two ways, is none', () => {
  for (const sub of ['a\r\nCountersign-Scope: all', 'a\nb', 'a\0', 'jürgen', 'a\x7f', 'a\tb']) {
    assert.throws(() => identityHeaders({ ...CLAIMS, sub }), /Countersign-Subject/);
  }
  assert.throws(() => identityHeaders({ ...CLAIMS, amr: ['pwd', 'é'] }), /Countersign-Authentication-Methods/);
});

test('a question names an audience and scopes', () => {
  assert.deepEqual(readForwardAuthQuery('audience=https://api.example&scope=accounts:read+profile'), {
    kind: 'asked',
    audience: 'https://api.example',
    scopes: ['accounts:read', 'profile'],
  });
  assert.deepEqual(readForwardAuthQuery('audience=https%3A%2F%2Fapi.example'), {
    kind: 'asked',
    audience: 'https://api.example',
    scopes: [],
  });
  assert.deepEqual(readForwardAuthQuery(''), { kind: 'asked', audience: undefined, scopes: [] });
});

test('a question with anything else, or with anything twice, is refused', () => {
  for (const query of [
    'audience=https://api.example&audience=https://other.example',
    'audience=a&scope=b&scope=c',
    'audience=a&scope=',
    'audience=a&scope=b++c',
    'audience=',
    'audience=a%20b',
    'audience=a%22b',
    'audience=a&scope=%22',
    'audience=a&Scope=b',
    'audience=a&scopes=b',
    'audience=a&__proto__=b',
    'audience=a&x',
    'audience=j%C3%BCrgen',
    `audience=${'a'.repeat(3000)}`,
  ]) {
    assert.equal(readForwardAuthQuery(query).kind, 'malformed', query);
  }
});
