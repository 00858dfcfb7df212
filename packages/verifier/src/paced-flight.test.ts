import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacedFlight } from './paced-flight.ts';

test('callers share one run, and its outcome until the pause is over', async () => {
  let nowMs = 1_000_000;
  let runs = 0;
  const flight = new PacedFlight({
    work: async () => ++runs,
    pauseMs: 1000,
    clock: { now: () => nowMs, monotonicMs: () => nowMs },
  });
  assert.deepEqual(await Promise.all([flight.run(), flight.run()]), [1, 1]);
  nowMs += 999;
  assert.equal(await flight.run(), 1);
  nowMs += 1;
  assert.equal(await flight.run(), 2);
});

test('a failure is an outcome too', async () => {
  let nowMs = 0;
  let runs = 0;
  const work = async () => {
    throw new Error(`run ${++runs}`);
  };
  const flight = new PacedFlight({ work, pauseMs: 1000, clock: { now: () => nowMs, monotonicMs: () => nowMs } });
  await assert.rejects(flight.run(), { message: 'run 1' });
  await assert.rejects(flight.run(), { message: 'run 1' });
  nowMs += 1000;
  await assert.rejects(flight.run(), { message: 'run 2' });
});

test('the pause of a failure may be shorter', async () => {
  let nowMs = 0;
  let runs = 0;
  const work = async () => {
    if (++runs === 1) throw new Error('away');
    return runs;
  };
  const clock = { now: () => nowMs, monotonicMs: () => nowMs };
  const flight = new PacedFlight({ work, pauseMs: 30_000, failurePauseMs: 1_000, clock });
  await assert.rejects(flight.run());
  nowMs += 999;
  await assert.rejects(flight.run());
  nowMs += 1;
  assert.equal(await flight.run(), 2);
  nowMs += 29_999;
  assert.equal(await flight.run(), 2);
  nowMs += 1;
  assert.equal(await flight.run(), 3);
});

test('run now, it runs whatever the pause, and joins a run that is under way', async () => {
  let runs = 0;
  const clock = { now: () => 0, monotonicMs: () => 0 };
  const flight = new PacedFlight({ work: async () => ++runs, pauseMs: 1_000, clock });
  assert.equal(await flight.run(), 1);
  assert.deepEqual(await Promise.all([flight.runNow(), flight.runNow(), flight.run()]), [2, 2, 2]);
  assert.equal(await flight.run(), 2);
});

test('a run that outlasts the pause is still the only one', async () => {
  let nowMs = 0;
  let runs = 0;
  let finish: () => void = () => {};
  const work = () => {
    runs++;
    return new Promise<void>((resolve) => {
      finish = resolve;
    });
  };
  const flight = new PacedFlight({ work, pauseMs: 1000, clock: { now: () => nowMs, monotonicMs: () => nowMs } });
  const first = flight.run();
  nowMs += 5000;
  const second = flight.run();
  finish();
  await Promise.all([first, second]);
  assert.equal(runs, 1);
});
