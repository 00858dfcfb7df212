import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entryLine, headerLine, mustSync, parseEntry, parseHeader } from './journal-line.ts';
import type { JournalEntry } from './store.ts';

const ENTRIES: JournalEntry[] = [
  { kind: 'grant_ended', grantId: 'grant_1', atMs: 5, reason: 'logout' },
  {
    kind: 'grant_rotated',
    grantId: 'grant_1',
    generation: 3,
    record: new Uint8Array([0, 255, 62, 63]),
    bucketVersion: 1,
    atMs: 6,
  },
  { kind: 'user_disabled', userId: 'user_1', atMs: 7 },
  { kind: 'client_disabled', clientId: 'oauth2client_1', atMs: 8 },
];

test('every kind of entry reads back as it was written, one line each', () => {
  for (const entry of ENTRIES) {
    const line = entryLine(entry);
    assert.equal(line.indexOf('\n'), line.length - 1);
    assert.deepEqual(parseEntry(line), entry);
  }
});

test('a line that is not an entry is undefined, never a guess', () => {
  const wrong = [
    '',
    'null',
    '[]',
    '{}',
    '{"kind":"grant_ended","grantId":"","atMs":1,"reason":"x"}',
    '{"kind":"grant_ended","grantId":"grant_1","atMs":"1","reason":"x"}',
    '{"kind":"grant_rotated","grantId":"grant_1","atMs":1,"generation":-1,"record":"AA","bucketVersion":1}',
    '{"kind":"other","atMs":1}',
    '{"kind":"grant_ended","gra',
  ];
  for (const line of wrong) assert.equal(parseEntry(line), undefined, line);
});

test('a header reads back, and an entry is not taken for one', () => {
  const header = { segment: 2, epoch: 3, startedAtMs: 4 };
  assert.deepEqual(parseHeader(headerLine(header)), header);
  assert.equal(parseHeader('{"kind":"segment","format":2,"segment":2,"epoch":3,"startedAtMs":4}'), undefined);
  for (const entry of ENTRIES) assert.equal(parseHeader(entryLine(entry)), undefined);
  assert.equal(parseEntry(headerLine(header)), undefined);
});

test('only a rotation may wait for the disk', () => {
  assert.deepEqual(ENTRIES.map(mustSync), [true, false, true, true]);
});
