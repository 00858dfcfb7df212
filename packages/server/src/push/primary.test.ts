import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONFIRM_MS, MAX_UNCONFIRMED_MS, Primary } from './primary.ts';

function start({ hasOtherServers = true } = {}) {
  let wallMs = 1_000_000;
  let monotonicMs = 50;
  let woken = 0;
  const writes: { acknowledge: () => void; lose: () => void }[] = [];
  const primary = new Primary({
    invalidations: {
      hasOtherServers,
      confirm: () =>
        new Promise((resolve, reject) =>
          writes.push({ acknowledge: resolve, lose: () => reject(new Error('not acknowledged')) }),
        ),
    },
    clock: { now: () => wallMs },
    stopwatch: { monotonicMs: () => monotonicMs },
    onConfirmed: () => void woken++,
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return {
    ...{ primary, writes, turn },
    woken: () => woken,
    pass(ms: number) {
      wallMs += ms;
      monotonicMs += ms;
    },
    suspend: (ms: number) => {
      wallMs += ms;
    },
  };
}

test('an echo rests on a write that was acknowledged, and began a short while ago', async () => {
  const { primary, writes, turn, pass, woken } = start();
  assert.equal(primary.isConfirmed(), false);
  assert.equal(primary.isConfirmed(), false);
  assert.equal(writes.length, 1, 'one at a time');
  pass(2_000);
  writes[0]?.acknowledge();
  await turn();
  assert.deepEqual([primary.isConfirmed(), woken()], [true, 1]);
  pass(CONFIRM_MS - 2_000 - 1);
  assert.deepEqual([primary.isConfirmed(), writes.length], [true, 1]);
  pass(1);
  assert.deepEqual([primary.isConfirmed(), writes.length], [true, 2]);
  pass(MAX_UNCONFIRMED_MS - CONFIRM_MS - 1);
  assert.equal(primary.isConfirmed(), true);
  pass(1);
  assert.equal(primary.isConfirmed(), false, 'counted from when the write began, not from when it was acknowledged');
  writes[1]?.lose();
  await turn();
  assert.deepEqual([primary.isConfirmed(), writes.length, woken()], [false, 3, 1]);
  writes[2]?.acknowledge();
  await turn();
  assert.deepEqual([primary.isConfirmed(), woken()], [true, 2]);
});

test('a machine that was suspended knows nothing of the primary when it wakes', async () => {
  const { primary, writes, turn, suspend } = start();
  primary.isConfirmed();
  writes[0]?.acknowledge();
  await turn();
  assert.equal(primary.isConfirmed(), true);
  suspend(MAX_UNCONFIRMED_MS);
  assert.equal(primary.isConfirmed(), false);
});

test('a database file has no successor', () => {
  const { primary, writes } = start({ hasOtherServers: false });
  assert.deepEqual([primary.isConfirmed(), writes.length], [true, 0]);
});
