import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { environmentName, FIELDS } from './fields.ts';

test('docs/operating/settings.md has every setting, under both its names, and no other', () => {
  const page = readFileSync(new URL('../../../../docs/operating/settings.md', import.meta.url), 'utf8');
  const documented = [...page.matchAll(/^\| `(\w+)` \| `(\w+)` \|/gm)].map(([, name, variable]) => ({
    name,
    variable,
  }));
  const known = Object.keys(FIELDS).map((name) => ({ name, variable: environmentName(name) }));
  assert.deepEqual(documented, known);
});
