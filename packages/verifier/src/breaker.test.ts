import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Breaker } from './breaker.ts';
import { AuthorityError } from './errors.ts';

const away = new AuthorityError('authority_unreachable', 'away');
const nonsense = new AuthorityError('authority_answer_invalid', 'nonsense');

function breaker(random = () => 1) {
  const clock = { nowMs: 0, now: () => 0, monotonicMs: () => clock.nowMs };
  return { clock, breaker: new Breaker({ clock, random }) };
}

function fail(given: Breaker, times: number): void {
  for (let i = 0; i < times; i++) given.failed(away);
}

test('two failures let the next call through, the third refuses it with the cause', () => {
  const { breaker: it } = breaker();
  assert.equal(it.refusal(), undefined);
  fail(it, 2);
  assert.equal(it.refusal(), undefined);
  fail(it, 1);
  assert.equal(it.refusal(), away);
});

test('failures that are not in a row never open it', () => {
  const { breaker: it } = breaker();
  for (let i = 0; i < 10; i++) {
    fail(it, 2);
    it.succeeded();
  }
  assert.equal(it.refusal(), undefined);
});

test('an authority that answers nonsense is there: that opens nothing', () => {
  const { breaker: it } = breaker();
  for (let i = 0; i < 10; i++) it.failed(nonsense);
  for (let i = 0; i < 10; i++) it.failed(new Error('a bug'));
  assert.equal(it.refusal(), undefined);
});

test('after the pause one call is the probe, and the others wait for what it finds', () => {
  const { clock, breaker: it } = breaker();
  fail(it, 3);
  clock.nowMs = 249;
  assert.equal(it.refusal(), away);
  clock.nowMs = 250;
  assert.equal(it.refusal(), undefined, 'the probe');
  for (let i = 0; i < 5; i++) assert.equal(it.refusal(), away);
  it.succeeded();
  for (let i = 0; i < 5; i++) assert.equal(it.refusal(), undefined);
});

test('a probe that finds an answer of any kind ends the outage: nobody is told of it any more', () => {
  const { clock, breaker: it } = breaker();
  fail(it, 3);
  clock.nowMs = 250;
  assert.equal(it.refusal(), undefined);
  it.failed(new AuthorityError('authority_credentials_refused', 'wrong secret'));
  for (let i = 0; i < 5; i++) assert.equal(it.refusal(), undefined);
  fail(it, 2);
  assert.equal(it.refusal(), undefined, 'it counts anew');
});

test('a probe that ends in a bug of ours gives its place to the next one', () => {
  const { clock, breaker: it } = breaker();
  fail(it, 3);
  clock.nowMs = 250;
  assert.equal(it.refusal(), undefined);
  it.failed(new Error('a bug'));
  assert.equal(it.refusal(), undefined);
  assert.equal(it.refusal(), away);
});

test('whoever waits for a call may ask without being the probe', () => {
  const { clock, breaker: it } = breaker();
  assert.equal(it.standingRefusal, undefined);
  fail(it, 3);
  assert.equal(it.standingRefusal, away);
  clock.nowMs = 250;
  for (let i = 0; i < 3; i++) assert.equal(it.standingRefusal, undefined);
  assert.equal(it.refusal(), undefined, 'the probe');
  assert.equal(it.standingRefusal, away);
});

test('pauses double with each failed probe up to two seconds, and end at a random moment of their second half', () => {
  for (const [chance, share] of [
    [0, 0.5],
    [1, 1],
  ] as const) {
    const { clock, breaker: it } = breaker(() => chance);
    fail(it, 3);
    for (const pauseMs of [250, 500, 1_000, 2_000, 2_000, 2_000]) {
      clock.nowMs += pauseMs * share - 1;
      assert.equal(it.refusal(), away);
      clock.nowMs += 1;
      assert.equal(it.refusal(), undefined, `after ${pauseMs * share}`);
      it.failed(away);
    }
  }
});
