import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Statistics } from './statistics.ts';

test('codes are counted each by itself, and what is handed out is a copy', () => {
  const statistics = new Statistics();
  statistics.refused('token_revoked');
  statistics.refused('token_revoked');
  statistics.unavailable('verification_stale');
  statistics.hits++;
  const counts = statistics.counts();
  counts.refused.token_revoked = 7;
  assert.deepEqual(statistics.counts(), {
    accepted: 0,
    refused: { token_revoked: 2 },
    unavailable: { verification_stale: 1 },
    hits: 1,
    misses: 0,
  });
});

test('one verification in sixteen is timed', () => {
  const statistics = new Statistics();
  const sampled = Array.from({ length: 64 }, () => statistics.isSampled());
  assert.equal(sampled.filter(Boolean).length, 4);
});

test('percentiles are of what was timed, of the newest thousand and some', () => {
  const statistics = new Statistics();
  assert.equal(statistics.latency(), undefined);
  statistics.took(7);
  assert.deepEqual(statistics.latency(), { p50Ms: 7, p99Ms: 7 });
  for (let ms = 1; ms <= 100; ms++) statistics.took(ms);
  assert.deepEqual(statistics.latency(), { p50Ms: 50, p99Ms: 99 });
  for (let i = 0; i < 1_024; i++) statistics.took(3);
  assert.deepEqual(statistics.latency(), { p50Ms: 3, p99Ms: 3 });
});
