import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lease } from './lease.ts';

const STALENESS_MS = 3_000;

function at(ms: number, wallAheadMs = 0) {
  return { wallMs: 1_800_000_000_000 + ms + wallAheadMs, monotonicMs: ms };
}

test('EB-09 a lease lasts from when its nonce was sent, however late the echo comes', () => {
  const lease = new Lease(STALENESS_MS);
  lease.sent('one', at(0));
  assert.equal(lease.isValid(at(2_900)), false);
  assert.equal(lease.echoed('one', at(2_900)), true);
  assert.equal(lease.isValid(at(STALENESS_MS)), true);
  assert.equal(lease.isValid(at(STALENESS_MS + 1)), false);
});

test('EB-09 a nonce counts once, on its own stream, and only if it was sent', () => {
  const lease = new Lease(STALENESS_MS);
  assert.equal(lease.echoed('never sent', at(0)), false);
  lease.sent('one', at(0));
  lease.streamEnded();
  assert.equal(lease.echoed('one', at(10)), false);
  lease.sent('two', at(20));
  assert.equal(lease.echoed('two', at(30)), true);
  assert.equal(lease.echoed('two', at(40)), false);
});

test('echoes in another order leave the lease of the newest', () => {
  const lease = new Lease(STALENESS_MS);
  lease.sent('one', at(0));
  lease.sent('two', at(1_000));
  lease.echoed('two', at(1_100));
  lease.echoed('one', at(1_200));
  assert.equal(lease.ageMs(at(1_200)), 200);
});

test('what was earned outlives its stream, and ends when it is ended', () => {
  const lease = new Lease(STALENESS_MS);
  lease.sent('one', at(0));
  lease.echoed('one', at(10));
  lease.streamEnded();
  assert.equal(lease.isValid(at(20)), true);
  lease.end();
  assert.equal(lease.isValid(at(20)), false);
  assert.equal(lease.ageMs(at(20)), Number.POSITIVE_INFINITY);
});

test('EB-09 a jump between the clocks ends the lease, also where they agree again later', () => {
  const lease = new Lease(STALENESS_MS);
  lease.sent('one', at(0));
  lease.echoed('one', at(10));
  assert.equal(lease.isValid(at(20, 60_000)), false, 'the machine was suspended, or its wall clock set');
  assert.equal(lease.isValid(at(30)), false);
});

test('nonces under way are few, and the oldest tells how long the stream has been silent', () => {
  const lease = new Lease(STALENESS_MS);
  assert.equal(lease.longestWaitMs(at(0)), 0);
  const taken = Array.from({ length: 20 }, (_, index) => lease.sent(`n${index}`, at(index)));
  assert.equal(taken.filter(Boolean).length, 16);
  assert.equal(lease.longestWaitMs(at(500)), 500);
  lease.echoed('n0', at(500));
  assert.equal(lease.longestWaitMs(at(500)), 499);
});
