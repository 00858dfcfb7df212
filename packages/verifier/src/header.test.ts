import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAccessTokenHeader } from './header.ts';

test('JT-04 the algorithm is allowed here, before any key is looked up', () => {
  const header = { alg: 'ES256', typ: 'at+jwt', kid: 'k' };
  assert.deepEqual(readAccessTokenHeader(header), { kind: 'header', alg: 'ES256', kid: 'k' });
  for (const alg of ['none', 'HS256', 'PS256', 'ES512', 'es256', undefined, ['ES256']]) {
    assert.deepEqual(readAccessTokenHeader({ ...header, alg }), { kind: 'refused', code: 'token_algorithm_refused' });
  }
});
