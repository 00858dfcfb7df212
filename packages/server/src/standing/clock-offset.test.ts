import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStore } from '../testing/testing.ts';
import { systemClock } from '../world/clock.ts';
import { ClockOffset, MAX_OFFSET_MS, NOTED_OFFSET_MS } from './clock-offset.ts';
import { selectDatabaseNowMs } from './table.ts';

const NOW_MS = 1_800_000_000_000;

function setup() {
  const lines: string[] = [];
  const state = { nowMs: NOW_MS, theirsMs: NOW_MS, answerMs: 0, isAway: false };
  const note = (level: string) => (_: string, fields?: { aheadMs?: unknown }) =>
    void lines.push(`${level} ${fields?.aheadMs}`);
  const offset = new ClockOffset({
    clock: { now: () => state.nowMs },
    log: { info: note('info'), warn: note('warn'), error: note('error') },
    databaseNow: async () => {
      if (state.isAway) throw new Error('away');
      state.nowMs += state.answerMs;
      return state.theirsMs;
    },
  });
  const lookAt = async (aheadMs: number, answerMs = 0) => {
    Object.assign(state, { nowMs: NOW_MS, theirsMs: NOW_MS - aheadMs, answerMs });
    await offset.look();
    return offset.isSmall;
  };
  return { offset, lines, lookAt, state };
}

test('a clock that is off is said once, and too far off makes a node unready until it is mended', async () => {
  const { lines, lookAt } = setup();
  for (const sign of [1, -1]) {
    lines.length = 0;
    assert.equal(await lookAt(sign * NOTED_OFFSET_MS), true);
    assert.deepEqual(lines, []);
    assert.equal(await lookAt(sign * (NOTED_OFFSET_MS + 1)), true);
    assert.equal(await lookAt(sign * MAX_OFFSET_MS), true);
    assert.deepEqual(lines, [`warn ${sign * (NOTED_OFFSET_MS + 1)}`]);
    assert.equal(await lookAt(sign * (MAX_OFFSET_MS + 1)), false);
    assert.equal(await lookAt(sign * 60_000), false);
    assert.equal(await lookAt(0), true);
    assert.deepEqual(lines.slice(1), [`error ${sign * (MAX_OFFSET_MS + 1)}`, 'info 0']);
  }
});

test('how long an answer took is not held against a clock, and one that took too long decides nothing', async () => {
  const { lookAt, lines, state, offset } = setup();
  // Read at the end of the time that the answer took: then the clocks agree.
  assert.equal(await lookAt(-900, 900), true);
  assert.deepEqual(lines, []);
  assert.equal(await lookAt(60_000, 1_001), true);
  assert.equal(await lookAt(60_000, 1_000), false);
  assert.equal(await lookAt(0, 1_001), false, 'what was known holds on');
  assert.equal(await lookAt(0, -50), false, 'the clock was set meanwhile');
  state.isAway = true;
  await assert.rejects(offset.look());
  assert.equal(offset.isSmall, false);
});

test("PostgreSQL's clock is read in milliseconds", async (t) => {
  const { store, close } = await openStore();
  t.after(close);
  if (store.engine === 'sqlite') return t.skip('the clock of an embedded database is that of its only node');
  const before = systemClock.now();
  const theirs = await selectDatabaseNowMs(store.read);
  assert.ok(Number.isInteger(theirs) && Math.abs(theirs - before) < 60_000, String(theirs - before));
});
