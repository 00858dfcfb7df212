import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { TEST_SERVER } from '../../testing/testing.ts';
import { systemClock } from '../../world/clock.ts';
import type { Act } from '../store.ts';
import { MAX_STATEMENTS } from './connection.ts';
import { openPostgresStore } from './postgres.ts';
import { dropScratchDatabase, makeScratchDatabase } from './scratch.ts';

const url = await makeScratchDatabase(TEST_SERVER);
// One connection, so that every write meets what the one before left on it.
const store = await openPostgresStore({ url, clock: systemClock, journal: { kind: 'none' }, connections: 1 });
await store.write((tx) => tx.run('CREATE TABLE kept (id TEXT PRIMARY KEY, number BIGINT, bytes BYTEA)'));
after(async () => {
  await store.close();
  await dropScratchDatabase(TEST_SERVER, url);
});

const INSERT = 'INSERT INTO kept (id, number, bytes) VALUES ($1, $2, $3)';
const added = (id: string, number: number | bigint | null = 1, bytes: Uint8Array | null = null): Act => ({
  steps: [{ text: INSERT, values: [id, number, bytes] }],
});

test('an act writes texts, numbers, bytes and nothing as they were given', async () => {
  const bytes = new Uint8Array([9, 0, 255, 92, 120, 9]).subarray(1, 5); // a part of a larger buffer
  await store.commit(added('ä "quoted" \\ name', 9_007_199_254_740_991n, bytes));
  await store.commit(added('nothing', null, null));
  const [one, other] = await store.read.all('SELECT * FROM kept ORDER BY id DESC');
  assert.deepEqual(one, { id: 'ä "quoted" \\ name', number: 9_007_199_254_740_991, bytes });
  assert.deepEqual(other, { id: 'nothing', number: null, bytes: null });
});

test('the same statement is sent as an act and within a transaction, in either order', async () => {
  await store.commit(added('act'));
  await store.write((tx) => tx.run(INSERT, 'work', 1, null));
  await store.commit(added('act again'));
  const UPDATE = 'UPDATE kept SET number = 2 WHERE id = $1';
  assert.equal(await store.write((tx) => tx.run(UPDATE, 'work')), 1);
  await store.commit({ steps: [{ text: UPDATE, values: ['act'] }] });
  const found = await store.read.all<{ number: number }>("SELECT number FROM kept WHERE id IN ('work', 'act')");
  assert.deepEqual(found, [{ number: 2 }, { number: 2 }]);
});

test('a broken constraint is told, and the connection goes on', async () => {
  await store.commit(added('once'));
  await assert.rejects(store.commit(added('once')), /constraint kept_pkey/);
  assert.deepEqual(await store.commit(added('after it')), { kind: 'done' });
});

test('acts that are refused again and again leave no more than one statement on their connection', async () => {
  const refused: Act = {
    steps: [
      { text: 'SELECT id FROM kept WHERE id = $1', values: ['nobody'], must: { rows: 1, why: 'nobody' } },
      { text: INSERT, values: ['never', 1, null] },
    ],
  };
  for (let time = 0; time < 5; time++) {
    assert.deepEqual(await store.commit(refused), { kind: 'refused', why: 'nobody' });
  }
  assert.equal(await prepared('WITH s0%kept%'), 1);
});

const prepared = async (like: string) => {
  const text = 'SELECT count(*) AS count FROM pg_prepared_statements WHERE statement LIKE $1';
  return (await store.write((tx) => tx.get<{ count: number }>(text, like)))?.count;
};

test('what a statement fails with leaves no more than one statement on the connection, in acts and in works', async () => {
  await store.commit(added('taken'));
  const clashing = "INSERT INTO kept (id, number) VALUES ('taken', $1)";
  const dividing = 'UPDATE kept SET number = 1 / $1::bigint';
  for (let time = 0; time < 5; time++) {
    await assert.rejects(store.commit({ steps: [{ text: clashing, values: [1] }] }), /constraint kept_pkey/);
    await assert.rejects(
      store.write((tx) => tx.run(dividing, 0)),
      /22012/,
    );
  }
  assert.equal(await prepared("%('taken', $1)"), 1);
  assert.equal(await prepared('%1 / $1::bigint'), 1);
});

test('statements that the server never parsed are forgotten without harm, also within a transaction', async () => {
  for (let number = 0; number < MAX_STATEMENTS; number++) {
    await assert.rejects(store.commit({ steps: [{ text: `DELETE FROM nowhere_${number}`, values: [] }] }), /42P01/);
  }
  await store.write(async (tx) => {
    for (let number = 0; number < 3; number++) await tx.all(`SELECT ${number} FROM kept`);
  });
  assert.deepEqual(await store.commit(added('after all of them')), { kind: 'done' });
});

test('no more statements are prepared on a connection than it may have', async () => {
  for (let number = 0; number <= MAX_STATEMENTS; number++) {
    await store.commit({
      steps: [{ text: `DELETE FROM kept WHERE number = -1 AND ${number} = ${number}`, values: [] }],
    });
  }
  assert.equal(await prepared('%'), MAX_STATEMENTS);
});
