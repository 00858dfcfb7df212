import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ERROR_CODES } from './error-codes.ts';

test('docs/errors.md has every code of the authority, in its words, and no other', () => {
  const page = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');
  const [, ours = ''] = page.split(/^## .*$/m);
  const documented = [...ours.matchAll(/^\| `([\w.<>]+)` \| (.*) \|$/gm)].map(([, code, meaning]) => [code, meaning]);
  const known = Object.entries(ERROR_CODES).map(([code, meaning]) => [code, meaning.replace(/^page: /, '')]);
  assert.deepEqual(documented.sort(), known.sort());
});
