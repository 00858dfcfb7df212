import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FORGETTING_STEP_MS, Forgotten } from './forgotten.ts';

const TTL_MS = 90_000;

test('a proof counts as forgotten from the end of its time, with all that are as old', () => {
  const forgotten = new Forgotten(TTL_MS);
  forgotten.note(1_000, 0);
  assert.equal(forgotten.mayHold(1_000, TTL_MS - 1), false);
  assert.equal(forgotten.mayHold(1_000, TTL_MS), true);
  assert.equal(forgotten.mayHold(1, TTL_MS), true);
  assert.equal(forgotten.mayHold(1_000.5, TTL_MS), false);
});

test('the newest of a step counts, and an older one that is used later takes nothing back', () => {
  const forgotten = new Forgotten(TTL_MS);
  forgotten.note(1_000, 0);
  forgotten.note(1_005, 1);
  forgotten.note(1_001, 2);
  assert.equal(forgotten.mayHold(1_005, TTL_MS), true);
  forgotten.note(900, TTL_MS);
  assert.equal(forgotten.mayHold(1_005, 3 * TTL_MS), true);
});

test('nothing that a memory may have forgotten passes for new, and nothing counts before its step is over', () => {
  const uses = fc.array(fc.record({ waitMs: fc.nat(40_000), iatSeconds: fc.nat(1_000) }), { maxLength: 50 });
  fc.assert(
    fc.property(uses, (list) => {
      const forgotten = new Forgotten(TTL_MS);
      const noted: { iatSeconds: number; atMs: number }[] = [];
      let nowMs = 0;
      for (const { waitMs, iatSeconds } of list) {
        nowMs += waitMs;
        const mustHold = noted.some((use) => nowMs - use.atMs >= TTL_MS && iatSeconds <= use.iatSeconds);
        const mayHold = noted.some(
          (use) => nowMs - use.atMs > TTL_MS - FORGETTING_STEP_MS && iatSeconds <= use.iatSeconds,
        );
        const holds = forgotten.mayHold(iatSeconds, nowMs);
        if (mustHold) assert.equal(holds, true);
        if (!mayHold) assert.equal(holds, false);
        forgotten.note(iatSeconds, nowMs);
        noted.push({ iatSeconds, atMs: nowMs });
      }
    }),
  );
});
