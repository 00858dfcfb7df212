import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS, nextAttempt } from './backoff.ts';

const NOW_MS = 1_800_000_000_000;
const patient = { nowMs: NOW_MS, giveUpAtMs: NOW_MS + 86_400_000 };

test('the pause doubles from a minute to an hour and stays there', () => {
  const pauses = [1, 2, 3, 6, 7, 50].map(
    (attempts) => (nextAttempt({ ...patient, attempts, jitter: 0 }) ?? 0) - NOW_MS,
  );
  assert.deepEqual(
    pauses,
    [1, 2, 4, 32, 60, 60].map((minutes) => minutes * 60_000),
  );
  assert.equal(pauses[0], FIRST_PAUSE_MS);
  assert.equal(pauses.at(-1), LONGEST_PAUSE_MS);
});

test('jitter takes off at most a quarter', () => {
  assert.equal(nextAttempt({ ...patient, attempts: 1, jitter: 1 }), NOW_MS + 45_000);
});

test('a mail that would arrive too late is given up', () => {
  const late = { nowMs: NOW_MS, giveUpAtMs: NOW_MS + FIRST_PAUSE_MS, jitter: 0 };
  assert.equal(nextAttempt({ ...late, attempts: 1 }), undefined);
});
