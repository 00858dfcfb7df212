import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numberedPlaceholders } from './placeholders.ts';

test('placeholders become positional, repeated ones keep their number', () => {
  assert.deepEqual(numberedPlaceholders('SELECT $2, $1, $2 FROM t WHERE a = $10'), {
    text: 'SELECT ?2, ?1, ?2 FROM t WHERE a = ?10',
    count: 10,
  });
});

test('placeholders inside literals, quoted names and comments are text', () => {
  const text = `SELECT 'it''s $1', "a$2" -- and $3\n FROM t`;
  assert.deepEqual(numberedPlaceholders(text), { text, count: 0 });
});
