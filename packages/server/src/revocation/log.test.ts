import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { IS_POSTGRES, openAuthority } from '../testing/testing.ts';
import { INVALIDATION_RETENTION_MS, InvalidationLog, Revocation, wakeUpsWithinProcess } from './revocation.ts';

const opened = await openAuthority();
after(opened.close);
const { authority, clock, store } = opened;
const { revocation } = authority;
const log = new InvalidationLog(store);

/** Where transactions have numbers, test/coherence/log-on-postgres.test.ts says the same in them. */
const byPosition = { skip: IS_POSTGRES && 'it counts positions' };
const upTo = (cursor: number) => ({ upTo: cursor, open: [] });

let head = 0;
beforeEach(async () => {
  await append('user', 1);
  head = (await log.state()).head;
});

async function append(kind: 'user' | 'token', count: number, untilMs?: number): Promise<void> {
  await store.write(async (tx) => {
    for (let row = 0; row < count; row++) {
      await revocation.append(tx, { kind, subjectId: `${kind}${row}`, ...(untilMs && { untilMs }) });
    }
  });
}

test(
  'a read brings every row after its cursor, page by page, and says where the next one goes on',
  byPosition,
  async () => {
    await append('token', 2_500);
    const read = await log.read(upTo(head), 10_000);
    assert.equal(read.rows.length, 2_500);
    assert.deepEqual(
      [read.isComplete, read.seen, read.state.epoch, read.state.head],
      [true, upTo(head + 2_500), 1, head + 2_500],
    );
    assert.deepEqual((await log.read(read.seen, 10_000)).rows, []);
    assert.deepEqual((await log.read(read.seen, 10_000)).seen, read.seen);
  },
);

test('a read that meets its bound says that it is not complete, and loses nothing', byPosition, async () => {
  await append('token', 1_700);
  const first = await log.read(upTo(head), 1_500);
  assert.deepEqual([first.rows.length, first.isComplete], [1_500, false]);
  const second = await log.read(first.seen, 1_500);
  assert.deepEqual([second.rows.length, second.isComplete, second.seen], [200, true, upTo(head + 1_700)]);
});

test('so many of the newest rows stand after where the log reaches', byPosition, async () => {
  await append('token', 5);
  assert.equal(await log.reach(3), head + 2);
  assert.equal(await log.reach(1_000_000), 0);
});

test('the end of a superseded token is kept; no other row names one', async () => {
  const expiresAtMs = clock.now() + 5_000;
  await store.write((tx) => revocation.append(tx, { kind: 'superseded', subjectId: 't', audience: 'a', expiresAtMs }));
  const row = (await log.read(upTo(head), 10)).rows.at(-1);
  assert.deepEqual([row?.kind, row?.expiresAtMs, row?.audience], ['superseded', expiresAtMs, 'a']);
});

test(
  'sweeping remembers the highest row it took, whatever the order, and only with what it took',
  byPosition,
  async () => {
    const sweptUpTo = async () => (await log.read(upTo(head), 10)).sweptUpTo;
    const before = await sweptUpTo();
    assert.ok(before < head);
    await append('token', 1, clock.now() + 2);
    await append('token', 1, clock.now() + 1);
    await append('user', 1);
    clock.pass(2);
    await revocation.sweep(1_000);
    assert.equal(await sweptUpTo(), head + 2, 'the later row was over first');
    clock.pass(1);
    await revocation.sweep(1_000);
    assert.equal(await sweptUpTo(), head + 2, 'it never falls');
    await revocation.sweep(1_000);
    assert.equal(await sweptUpTo(), head + 2);
    clock.pass(INVALIDATION_RETENTION_MS + 1);
  },
);

test(
  'the log is known again by its newest row, which is there, or was swept, or is of another copy',
  byPosition,
  async () => {
    await append('token', 1, clock.now() + 1);
    const { newest: landmark } = await log.state();
    assert.deepEqual(landmark, { cursor: head + 1, position: head + 1, atMs: clock.now(), subjectId: 'token0' });
    const fateOf = async (changes: object = {}) => (await log.state({ ...landmark, ...changes })).landmark;
    assert.deepEqual([await fateOf(), (await log.state()).landmark], ['there', 'there']);
    for (const another of [{ atMs: 1 }, { subjectId: 'x' }, { position: head + 2, cursor: head + 2 }]) {
      assert.equal(await fateOf(another), 'missing', JSON.stringify(another));
    }
    assert.equal((await log.read(upTo(head), 10, { ...landmark, atMs: 1 })).state.landmark, 'missing');
    await append('user', 1);
    clock.pass(2);
    await revocation.sweep(10_000);
    assert.equal(await fateOf(), 'swept');
  },
);

test('a revocation wakes whoever reads, once it can be read, and one that is taken back wakes nobody', async () => {
  const wakeUps = wakeUpsWithinProcess();
  const woken: Promise<boolean>[] = [];
  const canBeRead = async () => (await log.read(upTo(head), 100)).rows.some(({ subjectId }) => subjectId === 'u');
  wakeUps.onWake(() => woken.push(canBeRead()));
  const { users, clients, events } = authority;
  const own = new Revocation({ store, users, clients, events, clock, wakeUps });
  await assert.rejects(
    store.write(async (tx) => {
      await own.append(tx, { kind: 'user', subjectId: 'u' });
      throw new Error('no');
    }),
  );
  assert.equal(woken.length, 0);
  await store.write((tx) => own.append(tx, { kind: 'user', subjectId: 'u' }));
  assert.deepEqual(await Promise.all(woken), [true]);
});
