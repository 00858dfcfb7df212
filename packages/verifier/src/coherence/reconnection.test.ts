import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reconnection } from './reconnection.ts';

function at(monotonicMs: number) {
  return { wallMs: 1_800_000_000_000 + monotonicMs, monotonicMs };
}

test('waits twice as long after each failure, up to ten seconds', () => {
  const reconnection = new Reconnection(() => 1);
  const waits = Array.from({ length: 8 }, () => {
    reconnection.schedule(at(1_000));
    return (reconnection.dueMs ?? 0) - 1_000;
  });
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000, 10_000]);
  for (let failure = 0; failure < 2_000; failure++) reconnection.schedule(at(0));
  assert.equal(reconnection.dueMs, 10_000);
  reconnection.succeeded();
  reconnection.schedule(at(0));
  assert.equal(reconnection.dueMs, 1_000);
});

test('EB-10 the moment is by chance, so that verifiers do not come back together', () => {
  for (const random of [0, 0.25, 0.999]) {
    const reconnection = new Reconnection(() => random);
    reconnection.schedule(at(100));
    assert.equal(reconnection.dueMs, 100 + random * 1_000);
  }
});

test('is due once its moment has come, and never while an attempt is under way', () => {
  const reconnection = new Reconnection(() => 1);
  assert.equal(reconnection.isDue(at(1_000_000)), false);
  reconnection.schedule(at(0));
  assert.equal(reconnection.isDue(at(999)), false);
  assert.equal(reconnection.isDue(at(1_000)), true);
  reconnection.started();
  assert.equal(reconnection.isDue(at(1_000_000)), false);
});
