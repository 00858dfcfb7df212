import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreUnavailable } from '../errors.ts';
import { ATTEMPTS_WITHIN_MS, type Attempt, attempts, MAX_ATTEMPTS } from './attempts.ts';
import { Overtaken } from './failures.ts';

const random = { bytes: (count: number) => new Uint8Array(count) };
const because = new Overtaken('40001', {});

/** Attempts that each take so long, and never end. Returns how many there were. */
async function made(eachMs: number): Promise<number> {
  let [nowMs, count] = [1_000, 0];
  const attempt = async (): Promise<Attempt<never>> => {
    nowMs += eachMs;
    count += 1;
    return { kind: 'again', because };
  };
  const trying = attempts({ random, stopwatch: { monotonicMs: () => nowMs } }, attempt);
  await assert.rejects(trying, (error: Error) => error instanceof StoreUnavailable && error.cause === because);
  return count;
}

test('what is overtaken again and again ends after so many attempts', async () => {
  assert.equal(await made(1), MAX_ATTEMPTS);
});

test('no attempt begins when the time for all of them is over', async () => {
  assert.equal(await made(ATTEMPTS_WITHIN_MS), 1);
  assert.equal(await made(ATTEMPTS_WITHIN_MS / 2), 2);
  assert.equal(await made(ATTEMPTS_WITHIN_MS / 2 - 1), 3);
});
