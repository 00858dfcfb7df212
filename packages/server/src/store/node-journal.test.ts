import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { journalOfNodes, readJournal } from './journal-reading.ts';
import { NodeJournal } from './node-journal.ts';
import type { JournalEntry } from './store.ts';

function setup(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'countersign-journals-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const now = { epoch: 5, nowMs: 1_800_000_000_000 };
  const open = (node: string) => {
    const journal = new NodeJournal({ folder: join(root, node), describe: () => ({ ...now }) });
    t.after(() => journal.close());
    return journal;
  };
  return { root, now, open };
}

const ended = (grantId: string, atMs = 1_800_000_000_000): JournalEntry => ({
  ...{ kind: 'grant_ended', grantId, atMs, reason: 'user' },
});
const rotated = (grantId: string): JournalEntry => ({
  ...{ kind: 'grant_rotated', grantId, generation: 2, bucketVersion: 1, atMs: 1_800_000_000_000 },
  record: new Uint8Array(32),
});

async function idsIn(folder: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const entry of readJournal({ folder, fromSegment: 0 })) if ('grantId' in entry) ids.push(entry.grantId);
  return ids;
}

test('lines of commits that run at once share syncs, and all of them can be read when each is told', async (t) => {
  const { root, open } = setup(t);
  const journal = open('one');
  const wanted = Array.from({ length: 200 }, (_, index) => `grant_${index}`);
  await Promise.all(
    wanted.map(async (id) => {
      await journal.append([ended(id)]);
      assert.ok(readFileSync(join(root, 'one', '000001.jsonl'), 'utf8').includes(`"${id}"`));
    }),
  );
  assert.deepEqual(await idsIn(join(root, 'one')), wanted);
  assert.ok(journal.syncs >= 1 && journal.syncs < 20, `${journal.syncs} syncs for 200 lines`);
  const before = journal.syncs;
  await journal.append([rotated('grant_200')]);
  assert.equal(journal.syncs, before, 'a rotation waits for no disk');
  assert.equal(statSync(join(root, 'one', '000001.jsonl')).mode & 0o777, 0o600);
});

test('one that comes while a sync runs waits for the next', async (t) => {
  const { open } = setup(t);
  const journal = open('one');
  const first = journal.append([ended('a')]);
  await new Promise((resolve) => setImmediate(resolve)); // its sync has begun
  assert.equal(journal.syncs, 1);
  await Promise.all([first, journal.append([ended('b')]), journal.append([ended('c')])]);
  assert.equal(journal.syncs, 2);
});

test('several programs of one node each write a segment of their own, and a day begins a new one', async (t) => {
  const { root, now, open } = setup(t);
  const [server, command] = [open('one'), open('one')];
  await server.append([ended('a')]);
  await command.append([ended('b')]);
  await server.append([ended('c')]);
  assert.deepEqual(readdirSync(join(root, 'one')).sort(), ['000001.jsonl', '000002.jsonl']);
  now.nowMs += 24 * 60 * 60 * 1_000;
  await server.append([ended('d')]);
  assert.deepEqual((await idsIn(join(root, 'one'))).sort(), ['a', 'b', 'c', 'd']);
  assert.equal(readdirSync(join(root, 'one')).length, 3);
  rmSync(join(root, 'one', '000003.jsonl'));
  await server.append([ended('e')]);
  assert.ok((await idsIn(join(root, 'one'))).includes('e'), 'a segment that was deleted takes nothing more');
});

test('the journals of all nodes are read together, every entry of them', async (t) => {
  const { root, now, open } = setup(t);
  const hour = 60 * 60 * 1_000;
  await open('one').append([ended('old', now.nowMs - 1_000 * hour), ended('a', now.nowMs + 24 * hour)]);
  now.epoch = 9;
  await open('two').append([rotated('b')]);
  const { epoch, journal } = journalOfNodes(root);
  assert.equal(epoch, 9);
  assert.ok(journal.kind === 'complete');
  const ids: string[] = [];
  for await (const entry of journal.entries()) if ('grantId' in entry) ids.push(entry.grantId);
  assert.deepEqual(ids, ['old', 'a', 'b'], 'whatever clocks said');
});

test('journals with a gap, or none at all, are refused', async (t) => {
  const { root, open } = setup(t);
  const read = () => journalOfNodes(root);
  assert.throws(read, { code: 'journal_damaged', message: /no folder of a node/ });
  for (const id of ['a', 'b', 'c']) await open('one').append([ended(id)]);
  read();
  rmSync(join(root, 'one', '000002.jsonl'));
  assert.throws(read, { code: 'journal_damaged', message: /segment 2 of one is missing/ });
  rmSync(join(root, 'one', '000001.jsonl'));
  read(); // older ones may be deleted
});
