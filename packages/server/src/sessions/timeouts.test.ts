import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isInForce, LAST_SEEN_STEP_MS, lastSeenIsDue, SESSION_ABSOLUTE_MS, SESSION_IDLE_MS } from './timeouts.ts';

const START_MS = 1_800_000_000_000;
const session = {
  createdAtMs: START_MS,
  lastSeenMs: START_MS,
  expiresAtMs: START_MS + SESSION_ABSOLUTE_MS,
  endedAtMs: undefined,
};
const user = { disabled: false, deadBeforeMs: 0 };

test('SE-03 a session ends when left alone for eight hours', () => {
  assert.equal(isInForce(session, user, START_MS + SESSION_IDLE_MS - 1), true);
  assert.equal(isInForce(session, user, START_MS + SESSION_IDLE_MS), false);
});

test('SE-03 a session ends after thirty days, however busy', () => {
  const busy = { ...session, lastSeenMs: START_MS + SESSION_ABSOLUTE_MS - 1 };
  assert.equal(isInForce(busy, user, START_MS + SESSION_ABSOLUTE_MS - 1), true);
  assert.equal(isInForce(busy, user, START_MS + SESSION_ABSOLUTE_MS), false);
});

test('an ended session is over, and so is one of a disabled user', () => {
  assert.equal(isInForce({ ...session, endedAtMs: START_MS }, user, START_MS), false);
  assert.equal(isInForce(session, { disabled: true, deadBeforeMs: 0 }, START_MS), false);
});

test('SE-05 what began at or before the disabling stays dead after enabling', () => {
  assert.equal(isInForce(session, { disabled: false, deadBeforeMs: START_MS }, START_MS + 1), false);
  assert.equal(isInForce(session, { disabled: false, deadBeforeMs: START_MS - 1 }, START_MS + 1), true);
});

test('last seen is written once a minute', () => {
  assert.equal(lastSeenIsDue(session, START_MS + LAST_SEEN_STEP_MS - 1), false);
  assert.equal(lastSeenIsDue(session, START_MS + LAST_SEEN_STEP_MS), true);
});
