import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { StoreRefusal } from './errors.ts';
import { JournalFolder, segmentFile, segmentNumbers } from './journal.ts';
import { journalEpoch, journalSince, readJournal } from './journal-reading.ts';
import type { JournalEntry } from './store.ts';

const root = mkdtempSync(join(tmpdir(), 'countersign-journal-'));
const openJournals: JournalFolder[] = [];
let folder = root;
let journal = openJournal();

after(() => {
  for (const open of openJournals) open.close();
  rmSync(root, { recursive: true });
});

beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'));
  journal = openJournal();
});

function openJournal(): JournalFolder {
  const opened = new JournalFolder({ folder, describe: () => ({ epoch: 3, nowMs: 100 }) });
  openJournals.push(opened);
  return opened;
}

function entry(atMs: number): JournalEntry {
  return { kind: 'user_disabled', userId: 'user_1', atMs };
}

async function times(fromSegment = 1): Promise<number[]> {
  return timesOf(readJournal({ folder, fromSegment }));
}

async function timesOf(entries: AsyncIterable<JournalEntry>): Promise<number[]> {
  const read: number[] = [];
  for await (const each of entries) read.push(each.atMs);
  return read;
}

function damaged(error: unknown): boolean {
  return error instanceof StoreRefusal && error.code === 'journal_damaged';
}

test('what is appended reads back in order; files are their owner’s alone', async () => {
  journal.append([entry(1), entry(2)]);
  journal.append([]);
  journal.append([entry(3)]);
  assert.deepEqual(await times(), [1, 2, 3]);
  if (process.platform !== 'win32') assert.equal(statSync(segmentFile(folder, 1)).mode & 0o777, 0o600);
});

test('lines after the folder was emptied go where a restore finds them, also when another process began anew there', async () => {
  journal.append([entry(1)]);
  rmSync(segmentFile(folder, 1));
  openJournal().startSegment({ startedAtMs: 7, epoch: 3 });
  journal.append([entry(2)]);
  assert.deepEqual(await times(), [2]);
  rmSync(folder, { recursive: true });
  assert.throws(() => journal.append([entry(3)]), { code: 'ENOENT' });
});

test('lines of a refused commit go again', async () => {
  journal.append([entry(1)]);
  const takeBack = journal.append([entry(2), entry(3)]);
  takeBack();
  journal.append([entry(4)]);
  assert.deepEqual(await times(), [1, 4]);
});

test('reading from a segment on leaves out the older ones', async () => {
  journal.append([entry(1)]);
  assert.equal(journal.startSegment({ startedAtMs: 5, epoch: 3 }), 2);
  journal.append([entry(2)]);
  assert.deepEqual(await times(2), [2]);
  assert.deepEqual(await times(1), [1, 2]);
});

test('a second process that starts a segment is followed by the first', async () => {
  journal.append([entry(1)]);
  const other = openJournal();
  other.append([entry(2)]);
  journal.append([entry(3)]);
  other.startSegment({ startedAtMs: 5, epoch: 3 });
  journal.append([entry(4)]);
  other.append([entry(5)]);
  assert.deepEqual(await times(1), [1, 2, 3, 4, 5]);
  assert.deepEqual(await times(2), [4, 5]);
});

test('a torn last line is passed over, and what follows goes to a new segment', async () => {
  journal.append([entry(1), entry(2)]);
  truncateSync(segmentFile(folder, 1), statSync(segmentFile(folder, 1)).size - 5);
  assert.deepEqual(await times(), [1]);
  openJournal().append([entry(3)]);
  assert.deepEqual(segmentNumbers(folder), [1, 2]);
  assert.deepEqual(await times(), [1, 3]);
});

test('a whole last entry that lacks only its newline counts', async () => {
  journal.append([entry(1), entry(2)]);
  truncateSync(segmentFile(folder, 1), statSync(segmentFile(folder, 1)).size - 1);
  assert.deepEqual(await times(), [1, 2]);
});

test('a segment torn within its header is empty, and is not written to', async () => {
  writeFileSync(segmentFile(folder, 1), '{"kind":"seg');
  assert.deepEqual(await times(), []);
  journal.append([entry(1)]);
  assert.deepEqual(segmentNumbers(folder), [1, 2]);
  assert.deepEqual(await times(), [1]);
});

test('garbage in the middle, a foreign header or an endless line is refused', async () => {
  journal.append([entry(1)]);
  const good = readFileSync(segmentFile(folder, 1), 'utf8');
  appendFileSync(segmentFile(folder, 1), '\0\0\0\0\n');
  journal.append([entry(2)]);
  await assert.rejects(times(), damaged);
  writeFileSync(segmentFile(folder, 1), good.replace('"segment":1', '"segment":2'));
  await assert.rejects(times(), damaged);
  writeFileSync(segmentFile(folder, 1), good + 'x'.repeat(5000));
  await assert.rejects(times(), damaged);
});

test('the journal since a backup is complete only if every segment since is there and begun by it', async () => {
  journal.startSegment({ startedAtMs: 40, epoch: 3 });
  journal.append([entry(0)]);
  assert.equal(journal.startSegment({ startedAtMs: 50, epoch: 3 }), 2);
  journal.append([entry(1)]);
  journal.startSegment({ startedAtMs: 60, epoch: 4 });
  journal.append([entry(2)]);
  journal.startSegment({ startedAtMs: 70, epoch: 4 });

  const since = (fromSegment: number, startedAtMs: number) => journalSince({ folder, fromSegment, startedAtMs });
  const complete = since(2, 50);
  assert.ok(complete.kind === 'complete');
  assert.equal(complete.toSegment, 4);
  journal.startSegment({ startedAtMs: 80, epoch: 5 });
  journal.append([entry(3)]);
  assert.deepEqual(await timesOf(complete.entries()), [1, 2], 'what is written while it is read is not part of it');

  assert.equal(since(2, 51).kind, 'missing');
  assert.equal(since(1, 50).kind, 'missing');
  assert.equal(since(9, 50).kind, 'missing');
  rmSync(segmentFile(folder, 3));
  assert.equal(since(2, 50).kind, 'missing');
  assert.equal(journalSince({ folder: join(folder, 'none'), fromSegment: 1, startedAtMs: 0 }).kind, 'missing');
});

test('the journal names the highest epoch it was written in', () => {
  assert.equal(journalEpoch(folder), 0);
  assert.equal(journalEpoch(join(folder, 'none')), 0);
  journal.startSegment({ startedAtMs: 1, epoch: 9 });
  journal.startSegment({ startedAtMs: 1, epoch: 8 });
  writeFileSync(segmentFile(folder, 3), '');
  assert.equal(journalEpoch(folder), 9);
});
