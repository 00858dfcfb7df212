import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBearerCredentials } from './bearer.ts';

test('BR-01 the scheme is compared without case', () => {
  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR']) {
    assert.deepEqual(readBearerCredentials(`${scheme} a.b.c`), { kind: 'token', token: 'a.b.c' });
  }
});

test('BR-04 no header, or another scheme, is no credential', () => {
  for (const value of [undefined, null, '', 'Basic YTpi', 'Bearerx a', 'Digest username="a", realm="b"', 'a.b.c']) {
    assert.deepEqual(readBearerCredentials(value), { kind: 'none' });
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
    assert.deepEqual(readBearerCredentials(value), { kind: 'repeated' });
  }
});

test('a bearer header without a token, or with several words, is malformed', () => {
  for (const value of ['Bearer', 'Bearer ', 'Bearer a b']) {
    assert.deepEqual(readBearerCredentials(value), { kind: 'malformed' });
  }
});
