import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ageMs, MAX_CLOCK_GAP_MS } from './moment.ts';

const since = { wallMs: 1_800_000_000_000, monotonicMs: 5_000 };

function later(by: { wallMs: number; monotonicMs: number }) {
  return { wallMs: since.wallMs + by.wallMs, monotonicMs: since.monotonicMs + by.monotonicMs };
}

test('EB-08 the larger of the two ages counts', () => {
  assert.equal(ageMs(since, later({ wallMs: 700, monotonicMs: 400 })), 700);
  assert.equal(ageMs(since, later({ wallMs: 400, monotonicMs: 700 })), 700);
});

test('clocks that differ by more than drift explains tell of no age at all', () => {
  for (const gapMs of [MAX_CLOCK_GAP_MS, -MAX_CLOCK_GAP_MS]) {
    assert.equal(ageMs(since, later({ wallMs: 5_000 + gapMs, monotonicMs: 5_000 })), 5_000 + Math.max(gapMs, 0));
    const past = gapMs + Math.sign(gapMs);
    assert.equal(ageMs(since, later({ wallMs: 5_000 + past, monotonicMs: 5_000 })), Number.POSITIVE_INFINITY);
  }
});
