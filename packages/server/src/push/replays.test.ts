import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogRead, LogRow } from './reading.ts';
import { MAX_KEPT, MAX_MADE_PER_ROUND, MAX_ROWS_PER_ROUND, Replays } from './replays.ts';

/** A read of a log in which one transaction has been open since then. */
const readTo = (cursor: number): LogRead => ({
  ...{
    state: { epoch: 1, head: cursor, newest: undefined, landmark: 'there', isForeign: false },
    rows: [],
    isComplete: true,
    sweptUpTo: 0,
  },
  seen: { upTo: cursor + 5, open: [cursor + 1] },
});
const row = (position: number, cursor = position): LogRow => ({
  ...{ position, cursor, atMs: 0, kind: 'user', subjectId: `user_${position}` },
});
const start = () => new Replays((clientId, subject, id) => `${clientId}/${subject}/${id}`);

test('a client’s streams share a message, from round to round, until nobody waits', () => {
  const replays = start();
  const message = replays.of('rs', row(5), readTo(9));
  assert.deepEqual(message, { kind: 'invalidate', cursor: 4, subject: 'user', handle: 'rs/user/user_5', final: false });
  replays.beginRound();
  assert.equal(replays.of('rs', row(5), readTo(9)), message);
  assert.equal(replays.of('other', row(5), readTo(9)).handle, 'other/user/user_5');
  replays.forget();
  assert.notEqual(replays.of('rs', row(5), readTo(9)), message);
});

test('a row that was brought early is said anew once its time has come, so that no cursor falls', () => {
  const replays = start();
  assert.equal(replays.of('rs', row(5, 8), readTo(3)).cursor, 3);
  assert.equal(replays.of('rs', row(5, 8), readTo(6)).cursor, 6);
  assert.equal(replays.of('rs', row(5, 8), readTo(9)).cursor, 7);
});

test('a round is full by what was looked at, and by what was made', () => {
  const replays = start();
  replays.looked(MAX_ROWS_PER_ROUND - 1);
  assert.equal(replays.isFull, false);
  replays.looked(1);
  assert.equal(replays.isFull, true);
  replays.beginRound();
  for (let made = 0; made < MAX_MADE_PER_ROUND; made++) {
    assert.equal(replays.isFull, false);
    replays.of('rs', row(made), readTo(MAX_MADE_PER_ROUND));
  }
  assert.equal(replays.isFull, true);
});

test('what is kept for those who wait is bounded', () => {
  const replays = start();
  const first = replays.of('rs', row(1), readTo(MAX_KEPT));
  for (let position = 2; position <= MAX_KEPT; position++) replays.of('rs', row(position), readTo(MAX_KEPT));
  replays.beginRound();
  assert.equal(replays.of('rs', row(1), readTo(MAX_KEPT)), first);
  replays.of('other', row(1), readTo(MAX_KEPT));
  replays.beginRound();
  assert.notEqual(replays.of('rs', row(1), readTo(MAX_KEPT)), first);
});
