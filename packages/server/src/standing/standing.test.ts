import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Landmark, LogState } from '../revocation/revocation.ts';
import { StoreUnavailable } from '../store/store.ts';
import { openStore } from '../testing/testing.ts';
import { requireStanding } from './routes.ts';
import { LOOK_MS, MAX_LOOK_AGE_MS, type Memory, type Seen, Standing } from './standing.ts';

const rowAt = (head: number): Landmark => ({ cursor: head, position: head, atMs: 1_000 + head, subjectId: `s${head}` });
const seenAt = (epoch: number, head: number): Seen => ({ epoch, head, newest: rowAt(head) });

async function setup(t: TestContext, remembered?: Seen) {
  const opened = await openStore();
  t.after(() => opened.close());
  const { store } = opened;
  const log: Omit<LogState, 'newest'> = { epoch: 3, head: 7, landmark: 'there', isForeign: false };
  const asked: (Landmark | undefined)[] = [];
  const written: Seen[] = [];
  const lines: string[] = [];
  const epochs: number[] = [];
  let nowMs = 0;
  let isAway = false;
  let looks = 0;
  let silence: Promise<void> | undefined;
  const memory: Memory = { read: () => remembered, write: (seen) => void written.push(seen) };
  const note = (message: string) => void lines.push(message);
  const standing = new Standing({
    ...{ store, memory },
    invalidations: {
      state: async (landmark) => {
        looks += 1;
        await silence;
        if (isAway) throw new Error('away');
        asked.push(landmark);
        return { ...log, newest: rowAt(log.head) };
      },
    },
    log: { info: note, warn: note, error: note },
    stopwatch: { monotonicMs: () => nowMs },
    onEpoch: async () => void epochs.push(log.epoch),
  });
  const fence = (kind: string | undefined) =>
    store.write(async (tx) => {
      await tx.run('DELETE FROM store_fence');
      if (kind === undefined) return;
      await tx.run(
        'INSERT INTO store_fence (singleton, kind, transfer_id, fenced_at_ms, rows_done) VALUES (1, $1, $2, 0, 0)',
        ...[kind, 'x'],
      );
    });
  return {
    ...{ standing, log, written, lines, epochs, fence, asked },
    pass: (ms: number) => {
      nowMs += ms;
    },
    looks: () => looks,
    /** Until the result is called. */
    fallSilent: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      silence = promise;
      return resolve;
    },
    goAway: (away: boolean) => {
      isAway = away;
    },
  };
}

test('a store that falls behind what was seen of it is not served from, until its epoch rises', async (t) => {
  const { standing, log, lines, epochs, pass } = await setup(t);
  await standing.requireGood();
  const after = async (change: Partial<LogState>) => {
    Object.assign(log, change);
    pass(LOOK_MS);
    await standing.look();
    return standing.trouble();
  };
  assert.equal(await after({ head: 9 }), undefined);
  assert.equal(await after({ head: 8 }), 'behind');
  assert.equal(standing.isGood, false);
  assert.equal(await after({ head: 9 }), undefined, 'again where it was');
  assert.equal(await after({ epoch: 2, head: 100 }), 'behind');
  assert.deepEqual(epochs, []);
  assert.equal(await after({ epoch: 4, head: 1 }), undefined);
  assert.deepEqual(epochs, [4], 'what is held in memory is read again');
  assert.equal(lines.filter((line) => line.includes('older copy')).length, 2);
});

test('an older copy stays one, however much is written to it, until the row is there or the epoch rises', async (t) => {
  const { standing, log, asked, epochs } = await setup(t);
  await standing.requireGood();
  const after = async (change: Partial<LogState>) => {
    Object.assign(log, change);
    await standing.look();
    return standing.trouble();
  };
  assert.equal(await after({ head: 9 }), undefined);
  assert.equal(await after({ head: 10, landmark: 'swept' }), undefined, 'what was swept while all was well was there');
  assert.deepEqual(asked.at(-1), rowAt(9));
  assert.equal(await after({ head: 12, landmark: 'missing' }), 'behind', 'as far in numbers before anybody looked');
  assert.deepEqual(asked.at(-1), rowAt(10));
  assert.equal(await after({ head: 90, landmark: 'swept' }), 'behind', 'the copy has swept as far, too');
  assert.deepEqual(asked.at(-1), rowAt(10), 'nothing of the copy is taken for seen');
  assert.equal(await after({ head: 10, landmark: 'there' }), undefined);
  assert.equal(await after({ head: 11, landmark: 'missing' }), 'behind');
  assert.equal(await after({ epoch: 4, head: 2 }), undefined);
  assert.deepEqual(epochs, [4]);
});

test('a store that a dump brought is not served from until its epoch rises, though its numbers grow', async (t) => {
  const { standing, log, lines, epochs } = await setup(t);
  await standing.requireGood();
  const after = async (change: Partial<LogState>) => {
    Object.assign(log, change);
    await standing.look();
    return standing.trouble();
  };
  assert.equal(await after({ isForeign: true }), 'copied');
  assert.equal(standing.isGood, false);
  await assert.rejects(standing.requireGood(), { code: 'store_copied', message: /countersign restore-point/ });
  assert.equal(await after({ isForeign: false, head: 100 }), 'copied');
  assert.equal(await after({ epoch: 4 }), undefined);
  assert.deepEqual(epochs, [4]);
  assert.equal(lines.filter((line) => line.includes('brought from another server')).length, 1);
});

test('a node remembers across its restarts, and starts on no older copy', async (t) => {
  const { standing } = await setup(t, { epoch: 3, head: 8 });
  await assert.rejects(standing.requireGood(), { code: 'store_behind', message: /countersign restore-point/ });
  const { standing: of } = await setup(t, { epoch: 4, head: 0 });
  await assert.rejects(of.requireGood(), { code: 'store_behind' });
  const same = await setup(t, { epoch: 3, head: 7 });
  await same.standing.requireGood();
  const written = await setup(t, seenAt(3, 5));
  written.log.landmark = 'missing';
  await assert.rejects(written.standing.requireGood(), { code: 'store_behind' });
  assert.deepEqual(written.asked, [rowAt(5)]);
});

test('what was seen is written down now and then, at once where the epoch rose, and at a stop', async (t) => {
  const { standing, log, written, pass } = await setup(t);
  await standing.requireGood();
  assert.deepEqual(written, [], 'a start that is refused later changes nothing');
  await standing.look();
  assert.deepEqual(written, [seenAt(3, 7)]);
  log.head = 8;
  await standing.look();
  assert.equal(written.length, 1);
  log.epoch = 4;
  await standing.look();
  assert.deepEqual(written.at(-1), seenAt(4, 8));
  log.head = 9;
  pass(5_000);
  await standing.look();
  assert.deepEqual(written.at(-1), seenAt(4, 9));
  log.head = 10;
  await standing.end();
  await standing.end();
  assert.deepEqual(written.slice(3), [seenAt(4, 10)]);
});

test('a fence is seen, by whatever name, and a raised epoch behind it is not taken for good', async (t) => {
  const { standing, log, fence, epochs } = await setup(t);
  await standing.requireGood();
  for (const kind of ['leaving', 'arriving', 'restoring']) {
    await fence(kind);
    log.epoch += 1;
    await standing.look();
    assert.equal(await standing.trouble(), kind);
    await assert.rejects(standing.requireGood(), { code: 'store_fenced' });
  }
  assert.deepEqual(epochs, []);
  await fence(undefined);
  await standing.look();
  assert.equal(await standing.trouble(), undefined);
  assert.deepEqual(epochs, [6]);
});

test('after a pause nothing is answered before a new look, and where it fails not at all', async (t) => {
  const { standing, fence, pass, goAway, looks } = await setup(t);
  await standing.requireGood();
  await fence('leaving');
  assert.equal(await standing.trouble(), undefined, 'the last look is fresh');
  pass(MAX_LOOK_AGE_MS + 1);
  goAway(true);
  const before = looks();
  assert.equal(await standing.trouble(), 'away');
  assert.equal(await standing.trouble(), 'away');
  assert.equal(looks(), before + 1, 'nobody waits for a store that was away just now');
  goAway(false);
  await standing.look();
  assert.equal(await standing.trouble(), 'leaving');
  goAway(true);
  pass(MAX_LOOK_AGE_MS + 1);
  assert.equal(await standing.trouble(), 'leaving', 'what was wrong stays so until a look says otherwise');
  goAway(false);
  pass(MAX_LOOK_AGE_MS + 1);
  await fence(undefined);
  assert.equal(await standing.trouble(), undefined, 'also where no timer looks');
});

test('a store that is silent is waited for, but not for ever', async (t) => {
  const { standing, pass, fallSilent } = await setup(t);
  await standing.requireGood();
  pass(MAX_LOOK_AGE_MS + 1);
  const speak = fallSilent();
  assert.equal(await standing.trouble(), 'away');
  speak();
});

test('a request is refused by what is wrong, and passes where nothing is', async () => {
  const codes: Record<string, string> = {
    behind: 'unavailable.store_behind',
    copied: 'unavailable.store_copied',
    leaving: 'unavailable.store_moved',
    arriving: 'unavailable.store',
    restoring: 'unavailable.store',
  };
  for (const [trouble, code] of Object.entries(codes)) {
    const middleware = requireStanding({ trouble: async () => trouble as 'behind' });
    await assert.rejects(async () => middleware({} as never, async () => assert.fail()), { code, status: 503 });
  }
  let passed = 0;
  const pass = async () => {
    passed += 1;
  };
  await requireStanding({ trouble: async () => undefined })({} as never, pass);
  assert.equal(passed, 1);
  const away = { trouble: async () => 'away' as const };
  await assert.rejects(async () => requireStanding(away)({} as never, pass), StoreUnavailable);
  await requireStanding(away, { isByHeart: true })({} as never, pass);
  assert.equal(passed, 2);
});
