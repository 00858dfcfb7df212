import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { systemTimers } from './timers.ts';

describe('timers', () => {
  test('steps never overlap, errors are handed on and do not end the series, stop ends it', async () => {
    const errors: unknown[] = [];
    const timers = systemTimers({ onError: (error) => errors.push(error) });
    let running = 0;
    let most = 0;
    let steps = 0;
    const timer = timers.every(1, async () => {
      running++;
      most = Math.max(most, running);
      steps++;
      await wait(5);
      running--;
      throw new Error('one step failed');
    });
    while (steps < 3) await wait(5);
    timer.stop();
    const stoppedAt = steps;
    await wait(20);
    assert.equal(steps, stoppedAt);
    assert.equal(most, 1);
    assert.equal(errors.length, steps);
  });
});
