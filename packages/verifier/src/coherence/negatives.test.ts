import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NEGATIVE_LIFE_MS, Negatives } from './negatives.ts';

function at(monotonicMs: number) {
  return { wallMs: 1_800_000_000_000 + monotonicMs, monotonicMs };
}

test('EB-08 a dead verdict is remembered for a moment, each token its own', () => {
  const negatives = new Negatives();
  negatives.put('one', 'revoked', at(0));
  negatives.put('two', 'unknown', at(0));
  assert.equal(negatives.get('one', at(NEGATIVE_LIFE_MS - 1)), 'revoked');
  assert.equal(negatives.get('two', at(NEGATIVE_LIFE_MS - 1)), 'unknown');
  assert.equal(negatives.get('three', at(0)), undefined);
  assert.equal(negatives.get('one', at(NEGATIVE_LIFE_MS)), undefined);
});

test('EB-08 dead verdicts are bounded, the oldest goes first, and all go at once', () => {
  const negatives = new Negatives();
  for (let index = 0; index < 10_001; index++) negatives.put(`t${index}`, 'revoked', at(0));
  assert.equal(negatives.get('t0', at(1)), undefined);
  assert.equal(negatives.get('t1', at(1)), 'revoked');
  negatives.put('t1', 'revoked', at(1));
  negatives.put('one more', 'revoked', at(1));
  assert.equal(negatives.get('t1', at(1)), 'revoked', 'what came again is new again');
  negatives.clear();
  assert.equal(negatives.get('t1', at(1)), undefined);
});
