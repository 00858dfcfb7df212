import assert from 'node:assert/strict';
import { test } from 'node:test';
import { iso, pairs, printable, table, when } from './output.ts';

test('a name from outside can neither move the cursor, recolour, nor reorder what is read', () => {
  assert.equal(printable('a\u001b[31mb\u009bc\u202ed\r\ne'), 'a\\u001b[31mb\\u009bc\\u202ed\\u000d\ne');
  assert.equal(printable('Zoë 漢字 🙂'), 'Zoë 漢字 🙂');
  const json = JSON.stringify({ name: '\u009b31m\u{E0001}' });
  assert.deepEqual(JSON.parse(printable(json)), JSON.parse(json), 'a document stays the same document');
  assert.equal(table(['A'], [['x\ny']], ''), 'A\nx y');
});

test('columns are as wide as their widest cell; an empty table says so', () => {
  assert.equal(
    table(
      ['ID', 'NAME'],
      [
        ['1', 'a'],
        ['22222', ''],
      ],
      'none',
    ),
    'ID     NAME\n1      a\n22222',
  );
  assert.equal(table(['ID'], [], 'None.'), 'None.');
  assert.equal(pairs({ a: 1, long: 'x', gone: undefined }), '  a     1\n  long  x');
});

test('times are UTC', () => {
  assert.equal(when(0), '1970-01-01 00:00:00Z');
  assert.equal(iso(1), '1970-01-01T00:00:00.001Z');
  assert.equal(when(undefined), '');
  assert.equal(iso(undefined), null);
});
