import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_AT_ONCE, MAX_KINDS, Uncounted, VOUCHES_MS } from './uncounted.ts';

const NOW_MS = 1_800_000_000_000;
const event = { type: 'alarm.forged' as const, keyId: 'key_1' };
/** Numbers given out, by kind. */
const taken = (uncounted: Uncounted, nowMs: number) =>
  Object.fromEntries(uncounted.take(nowMs).map(({ kind, event: { occurrences } }) => [kind, occurrences]));

test('what is seen counts behind the event that rang, once', () => {
  const uncounted = new Uncounted();
  uncounted.rang('a', event, NOW_MS);
  uncounted.seen('a', 3, NOW_MS);
  uncounted.seen('a', 4, NOW_MS + VOUCHES_MS);
  uncounted.seen('b', 5, NOW_MS);
  assert.deepEqual(uncounted.take(NOW_MS), [{ kind: 'a', event: { ...event, occurrences: 7 } }]);
  assert.deepEqual(uncounted.take(NOW_MS), []);
});

test('a token vouches for a minute, and for nothing seen before it rang, wherever the clock is set', () => {
  const uncounted = new Uncounted();
  uncounted.rang('a', event, NOW_MS);
  uncounted.seen('a', 1, NOW_MS + VOUCHES_MS + 1);
  uncounted.seen('a', 1, NOW_MS - 1);
  assert.deepEqual(uncounted.take(NOW_MS), []);
});

test('one that rings again takes along what waits, and vouches anew', () => {
  const uncounted = new Uncounted();
  uncounted.rang('a', event, NOW_MS);
  uncounted.seen('a', 3, NOW_MS);
  uncounted.rang('a', { ...event, tokenId: 'acctok_2' }, NOW_MS + VOUCHES_MS);
  uncounted.seen('a', 4, NOW_MS + 2 * VOUCHES_MS);
  const [due] = uncounted.take(NOW_MS + 2 * VOUCHES_MS);
  assert.deepEqual(due?.event, { ...event, tokenId: 'acctok_2', occurrences: 7 });
});

test('of a reporter’s numbers a million are believed', () => {
  const uncounted = new Uncounted();
  uncounted.rang('a', event, NOW_MS);
  uncounted.seen('a', MAX_AT_ONCE - 1, NOW_MS);
  uncounted.seen('a', 2, NOW_MS);
  assert.deepEqual(taken(uncounted, NOW_MS), { a: MAX_AT_ONCE });
});

test('no more kinds than there is room for: whichever rang longest ago is forgotten', () => {
  const uncounted = new Uncounted();
  for (let kind = 0; kind < MAX_KINDS; kind++) uncounted.rang(`k${kind}`, event, NOW_MS);
  uncounted.rang('k1', event, NOW_MS); // which needs no more room
  for (const kind of ['k0', 'k1']) uncounted.seen(kind, 1, NOW_MS);
  assert.deepEqual(taken(uncounted, NOW_MS), { k0: 1, k1: 1 });
  for (const kind of ['one more', 'two more']) uncounted.rang(kind, event, NOW_MS);
  for (const kind of ['k0', 'k1', 'k2', 'k3', 'one more', 'two more']) uncounted.seen(kind, 1, NOW_MS);
  assert.deepEqual(taken(uncounted, NOW_MS), { k1: 1, k3: 1, 'one more': 1, 'two more': 1 });
});

test('a kind is forgotten a minute after it rang, so that it never vouches again, also when the clock is set back', () => {
  const uncounted = new Uncounted();
  uncounted.rang('a', event, NOW_MS);
  assert.deepEqual(uncounted.take(NOW_MS + VOUCHES_MS + 1), []);
  uncounted.seen('a', 1, NOW_MS);
  assert.deepEqual(uncounted.take(NOW_MS), []);
});

test('what could not be recorded is given out again, with what came meanwhile, also after the minute', () => {
  const uncounted = new Uncounted();
  uncounted.rang('a', event, NOW_MS);
  uncounted.seen('a', 3, NOW_MS);
  const laterMs = NOW_MS + VOUCHES_MS + 1;
  const [due] = uncounted.take(laterMs);
  assert.ok(due);
  uncounted.giveBack(due);
  assert.deepEqual(taken(uncounted, laterMs), { a: 3 });
  uncounted.giveBack(due);
  uncounted.seen('a', MAX_AT_ONCE, NOW_MS);
  uncounted.giveBack(due);
  assert.deepEqual(taken(uncounted, laterMs), { a: MAX_AT_ONCE });
  assert.deepEqual(uncounted.take(laterMs), []);
  uncounted.giveBack(due);
  assert.deepEqual(uncounted.take(laterMs), [], 'its kind was forgotten');
});
