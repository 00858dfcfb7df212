import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { REFUSALS } from './errors.ts';

test('docs/errors.md has every code that the guard of an API answers, with its status, and no other', () => {
  const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
  const guard = readFileSync(new URL('./guard/guard.ts', import.meta.url), 'utf8');
  const documented = [...page.matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm)].map(([, code, status]) => `${code} ${status}`);
  const ofTokens = Object.values(REFUSALS).map(({ publicCode, status }) => `${publicCode} ${status}`);
  const ofGuard = [...guard.matchAll(/code: '(\w+)'/g)].map(
    ([, code]) => `${code} ${code?.startsWith('cred') ? 400 : 503}`,
  );
  assert.deepEqual(documented.sort(), [...new Set([...ofTokens, ...ofGuard])].sort());
});
