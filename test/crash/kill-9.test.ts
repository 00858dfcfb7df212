/**
 * kill -9 at random moments, twenty times on the same data folder: nothing that was acknowledged is lost, nothing that was
 * ended comes back, and the journal knows of every end. A kill cannot show a missing sync of the disk; for that the pragmas of
 * every handle are asserted beside the store. `KILL_SEED` replays the moments of a run.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  defaultJournalFolder,
  openSqliteStore,
  readJournal,
  type Store,
} from '../../packages/server/src/store/store.ts';

const ROUNDS = 20;
/** From the first acknowledged write on. Long enough for checkpoints of the write-ahead log to fall into it. */
const LONGEST_LIFE_MS = 250;

const writer = fileURLToPath(new URL('./writer.ts', import.meta.url));
const dataFolder = mkdtempSync(join(tmpdir(), 'countersign-kill-'));
const journalFolder = defaultJournalFolder(dataFolder);

after(() => rmSync(dataFolder, { recursive: true }));

test('kill -9, 20 rounds: nothing acknowledged is lost, nothing ended comes back', { timeout: 60_000 }, async (t) => {
  const seed = Number(process.env.KILL_SEED ?? Date.now() % 2 ** 31);
  t.diagnostic(`KILL_SEED=${seed}`);
  const random = seededRandom(seed);
  const acknowledged = { events: new Set<string>(), rotated: new Set<string>(), ended: new Set<string>() };
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const line of await writeUntilKilled(round, random() * LONGEST_LIFE_MS)) {
      const [kind, id] = line.split(' ');
      if (id === undefined) continue;
      if (kind === 'e') acknowledged.events.add(id);
      if (kind === 'r') acknowledged.rotated.add(id);
      if (kind === 'g') acknowledged.ended.add(id);
    }
    await check(acknowledged);
  }
  const { events, rotated, ended } = acknowledged;
  assert.ok(
    ended.size > ROUNDS,
    `only ${ended.size} ends were acknowledged: the rounds are too short to show anything`,
  );
  t.diagnostic(`${events.size} events, ${rotated.size} rotations and ${ended.size} ends were acknowledged, none lost`);
});

/** Starts the writer, kills it `lifeMs` after its flows began, and returns the whole lines it had printed. */
async function writeUntilKilled(round: number, lifeMs: number): Promise<string[]> {
  const child = spawn(process.execPath, [writer, dataFolder, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  let _timer: NodeJS.Timeout | undefined;
  child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
    output += chunk;
    if (output.startsWith('ready\n')) _timer ??= setTimeout(() => child.kill('SIGKILL'), lifeMs);
  });
  const [code, signal] = await once(child, 'close');
  assert.deepEqual([code, signal], [null, 'SIGKILL'], 'the writer ended by itself');
  const lines = output.split('\n');
  // What follows the last newline was cut off while it was printed.
  return lines.slice(1, -1);
}

async function check(acknowledged: { events: Set<string>; rotated: Set<string>; ended: Set<string> }): Promise<void> {
  const store = openSqliteStore({
    dataFolder,
    clock: { now: () => 0 },
    journal: { kind: 'folder', folder: journalFolder },
  });
  try {
    const events = await column(store, 'SELECT id FROM event');
    const rotated = await column(store, 'SELECT id FROM oauth_grant WHERE generation = 2');
    const ended = await column(store, 'SELECT id FROM oauth_grant WHERE ended_at_ms IS NOT NULL');
    const journal = { grant_ended: new Set<string>(), grant_rotated: new Set<string>() };
    for await (const entry of readJournal({ folder: journalFolder, fromSegment: 1 })) {
      if (entry.kind === 'grant_ended' || entry.kind === 'grant_rotated') journal[entry.kind].add(entry.grantId);
    }
    assert.deepEqual([...acknowledged.events.difference(events)], [], 'acknowledged events that are gone');
    assert.deepEqual([...acknowledged.rotated.difference(rotated)], [], 'acknowledged rotations that are gone');
    assert.deepEqual([...acknowledged.ended.difference(ended)], [], 'ended grants that came back');
    assert.deepEqual([...ended.difference(journal.grant_ended)], [], 'ends the journal does not know');
    assert.deepEqual([...rotated.difference(journal.grant_rotated)], [], 'rotations the journal does not know');
  } finally {
    await store.close();
  }
  const database = new DatabaseSync(join(dataFolder, 'countersign.db'));
  assert.equal(database.prepare('PRAGMA quick_check').get()?.quick_check, 'ok');
  database.close();
}

async function column(store: Store, text: string): Promise<Set<string>> {
  return new Set((await store.read.all<{ id: string }>(text)).map((row) => row.id));
}

/** mulberry32: small, seeded, good enough to choose moments. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
