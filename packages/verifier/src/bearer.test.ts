import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTokenCredentials } from './bearer.ts';

test('BR-01 the scheme is compared without case', () => {
  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR']) {
    assert.deepEqual(readTokenCredentials(`${scheme} a.b.c`), { kind: 'token', scheme: 'Bearer', token: 'a.b.c' });
  }
});

test('BR-04 no header, or another scheme, is no credential', () => {
  for (const value of [undefined, null, '', 'Basic YTpi', 'Bearerx a', 'Digest username="a", realm="b"', 'a.b.c']) {
    assert.deepEqual(readTokenCredentials(value), { kind: 'none' });
  }
});

test('BR-03 a comma beside a bearer token means two credentials', () => {
  for (const value of [
    'Bearer a, Bearer b',
    'Bearer a,Bearer a',
    'Bearer a,',
    ', bearer a',
    'Basic YTpi, Bearer a',
    'Bearer a, b',
  ]) {
    assert.deepEqual(readTokenCredentials(value), { kind: 'repeated' });
  }
});

test('a bearer header without a token, or with several words, is malformed', () => {
  for (const value of ['Bearer', 'Bearer ', 'Bearer a b']) {
    assert.deepEqual(readTokenCredentials(value), { kind: 'malformed' });
  }
});

test('SC-02 both schemes are read, without case, and told apart', () => {
  for (const [value, scheme] of [
    ['Bearer a.b.c', 'Bearer'],
    ['bEARER a.b.c', 'Bearer'],
    ['DPoP a.b.c', 'DPoP'],
    ['dpop a.b.c', 'DPoP'],
    ['DPOP   a.b.c', 'DPoP'],
  ] as const) {
    assert.deepEqual(readTokenCredentials(value), { kind: 'token', scheme, token: 'a.b.c' });
    assert.deepEqual(readTokenCredentials([value]), { kind: 'token', scheme, token: 'a.b.c' });
  }
});

test('BR-03 two credentials are repeated, in one header or two, whatever their schemes', () => {
  for (const value of [
    'Bearer a, DPoP b',
    'DPoP a,DPoP a',
    'DPoP a,',
    'Basic YTpi, DPoP a',
    ['Bearer a', 'DPoP a'],
    ['DPoP a', 'DPoP a'],
    ['Basic YTpi', 'Bearer a'],
    ['Bearer a', ''],
  ]) {
    assert.deepEqual(readTokenCredentials(value), { kind: 'repeated' });
  }
});

test('BR-04 no header, or another scheme, is no token', () => {
  for (const value of [
    undefined,
    null,
    '',
    [],
    [''],
    'Basic YTpi',
    'DPoPx a',
    'dpop+jwt a',
    ['Basic YTpi', 'Digest a=b'],
  ]) {
    assert.deepEqual(readTokenCredentials(value), { kind: 'none' });
  }
});

test('a scheme without a token, or with several words, is malformed', () => {
  for (const value of ['DPoP', 'DPoP ', 'DPoP a b', ['Bearer'], 'Bearer a DPoP']) {
    assert.deepEqual(readTokenCredentials(value), { kind: 'malformed' });
  }
});

test('hostile headers are read in linear time', () => {
  const startedAtMs = performance.now();
  for (const hostile of [' '.repeat(1_000_000), 'DPoP, '.repeat(200_000), `DPoP ${' '.repeat(1_000_000)}a b`]) {
    assert.notEqual(readTokenCredentials(hostile).kind, 'token');
  }
  assert.ok(performance.now() - startedAtMs < 5_000);
});
