import assert from 'node:assert/strict';
import { after, beforeEach, mock, test } from 'node:test';
import { openStore } from '../testing/testing.ts';
import { CAPPED_ROWS_PER_KEY_AND_MINUTE, EVENT_TYPES, Events } from './events.ts';

const opened = await openStore();
after(opened.close);
const { store, clock, random } = opened;
let events = new Events({ store, clock, random });

const rows = (type: string) =>
  store.read.all<{ occurrences: number; key_id: string | null }>(
    'SELECT occurrences, key_id FROM event WHERE type = $1 ORDER BY id',
    type,
  );

beforeEach(async () => {
  await store.write((tx) => tx.run('DELETE FROM event'));
  await store.write((tx) => tx.run('DELETE FROM alarm_untold'));
  events = new Events({ store, clock, random });
  clock.pass(60_000 - (clock.now() % 60_000));
});

const flood = async (count: number, keyId: string | undefined) => {
  for (let sent = 0; sent < count; sent++) await events.record({ type: 'alarm.forged', keyId });
};

test('a flood of forgeries fills no disk, and how many there were stays true', async () => {
  await flood(CAPPED_ROWS_PER_KEY_AND_MINUTE + 30, 'key_1');
  const seen = await rows('alarm.forged');
  assert.equal(seen.length, CAPPED_ROWS_PER_KEY_AND_MINUTE);
  assert.equal(
    seen.reduce((sum, { occurrences }) => sum + occurrences, 0),
    CAPPED_ROWS_PER_KEY_AND_MINUTE + 30,
  );
  assert.equal(seen.at(-1)?.occurrences, 31);
});

test('each key and each minute has rows of its own', async () => {
  await flood(CAPPED_ROWS_PER_KEY_AND_MINUTE + 1, 'key_1');
  await flood(2, 'key_2');
  clock.pass(60_000);
  await flood(3, 'key_1');
  const seen = await rows('alarm.forged');
  assert.equal(seen.filter(({ key_id }) => key_id === 'key_1').length, CAPPED_ROWS_PER_KEY_AND_MINUTE + 3);
  assert.equal(seen.filter(({ key_id }) => key_id === 'key_2').length, 2);
});

test('a client that rings on purpose hides no alarm of another client or user', async () => {
  const rings = (clientId: string, userId: string) => events.record({ type: 'alarm.replayed', clientId, userId });
  for (let rung = 0; rung <= CAPPED_ROWS_PER_KEY_AND_MINUTE; rung++) await rings('hostile', 'mallory');
  await rings('honest', 'mallory');
  await rings('hostile', 'ada');
  const named = (await events.alarms({ limit: 2 })).map(({ clientId, userId }) => `${clientId} ${userId}`);
  assert.deepEqual(named, ['hostile ada', 'honest mallory']);
});

test('what no stranger can cause is never capped', async () => {
  for (let made = 0; made < CAPPED_ROWS_PER_KEY_AND_MINUTE + 5; made++) await events.record({ type: 'grant.ended' });
  assert.equal((await rows('grant.ended')).length, CAPPED_ROWS_PER_KEY_AND_MINUTE + 5);
});

test('every type that rings is capped: strangers ring', () => {
  for (const { rings, isCapped } of Object.values(EVENT_TYPES)) if (rings) assert.equal(isCapped, true);
});

test('an event lives and dies with the transaction that makes it true', async () => {
  const failing = store.write(async (tx) => {
    await events.append(tx, { type: 'grant.ended' });
    throw new Error('no');
  });
  await assert.rejects(failing);
  assert.deepEqual(await rows('grant.ended'), []);
});

test('a capped event counts on no row that was taken back', async () => {
  await flood(CAPPED_ROWS_PER_KEY_AND_MINUTE - 1, 'key_1');
  const failing = store.write(async (tx) => {
    await events.append(tx, { type: 'alarm.forged', keyId: 'key_1' });
    throw new Error('no');
  });
  await assert.rejects(failing);
  await flood(1, 'key_1');
  const seen = await rows('alarm.forged');
  assert.equal(
    seen.reduce((sum, { occurrences }) => sum + occurrences, 0),
    CAPPED_ROWS_PER_KEY_AND_MINUTE,
  );
});

test('ids of a node rise within a millisecond and when the clock steps back', async () => {
  for (let round = 0; round < 40; round++) {
    await events.record({ type: 'grant.ended', clientId: `client ${String(round).padStart(2, '0')}` });
    if (round === 20) clock.pass(-3_600_000);
  }
  const named = await store.read.all<{ client_id: string }>('SELECT client_id FROM event ORDER BY id');
  assert.deepEqual(
    named.map(({ client_id }) => client_id),
    named.map(({ client_id }) => client_id).toSorted(),
  );
  clock.pass(3_600_000);
});

test('every alarm is untold until an outlet says otherwise, whatever node made its id and when', async () => {
  const behind = { now: () => clock.now() - 60_000 };
  const other = new Events({ store, clock: behind, random });
  await events.record({ type: 'alarm.forged', keyId: 'key_1' });
  const [first] = await events.untoldAlarms(10);
  assert.equal(first?.keyId, 'key_1');
  await other.record({ type: 'alarm.forged', keyId: 'key_2' });
  await events.record({ type: 'grant.ended' });
  await events.markTold(first ? [first] : []);
  const left = await events.untoldAlarms(10);
  assert.deepEqual(
    left.map(({ keyId }) => keyId),
    ['key_2'],
    'sorted before one that was told',
  );
  await events.markTold(left);
  assert.deepEqual(await events.untoldAlarms(10), []);
  assert.equal((await events.alarms({ limit: 10 })).length, 2);
});

test('the oldest alarms are told first, as many as are asked for', async () => {
  for (const keyId of ['key_1', 'key_2', 'key_3']) await events.record({ type: 'alarm.tampered', keyId });
  assert.deepEqual(
    (await events.untoldAlarms(2)).map(({ keyId }) => keyId),
    ['key_1', 'key_2'],
  );
});

test('what is counted on a row is told with it and not again', async () => {
  await flood(CAPPED_ROWS_PER_KEY_AND_MINUTE, 'key_1');
  await events.markTold(await events.untoldAlarms(100));
  await flood(5, 'key_1');
  assert.deepEqual(await events.untoldAlarms(100), []);
  assert.equal((await rows('alarm.forged')).at(-1)?.occurrences, 6);
});

test('a flood in parallel is counted as well as one by one', async () => {
  const sent = CAPPED_ROWS_PER_KEY_AND_MINUTE + 200;
  const commit = mock.method(store, 'commit');
  await Promise.all(Array.from({ length: sent }, () => events.record({ type: 'alarm.forged', keyId: 'key_1' })));
  const seen = await rows('alarm.forged');
  assert.equal(seen.length, CAPPED_ROWS_PER_KEY_AND_MINUTE);
  assert.equal(
    seen.reduce((sum, { occurrences }) => sum + occurrences, 0),
    sent,
  );
  const commits = commit.mock.callCount();
  commit.mock.restore();
  assert.ok(commits <= CAPPED_ROWS_PER_KEY_AND_MINUTE + 3, `${commits}: what waits for one row is counted together`);
  assert.equal((await events.untoldAlarms(1_000)).length, CAPPED_ROWS_PER_KEY_AND_MINUTE);
});

test('the row that others count on may be taken back, or come after them', async () => {
  await flood(CAPPED_ROWS_PER_KEY_AND_MINUTE - 1, 'key_1');
  const last = events.appending({ type: 'alarm.forged', keyId: 'key_1' });
  await flood(2, 'key_1');
  await store.commit(last);
  const seen = await rows('alarm.forged');
  assert.equal(seen.length, CAPPED_ROWS_PER_KEY_AND_MINUTE);
  assert.equal(seen.at(-1)?.occurrences, 3);
  assert.equal((await events.untoldAlarms(1_000)).length, CAPPED_ROWS_PER_KEY_AND_MINUTE);
});

test('an act shows by its event that it was done, except where others count on the same row', async () => {
  const act = events.appending({ type: 'grant.ended' });
  const found = async () => (await store.read.all(act.footprint?.text ?? '', ...(act.footprint?.values ?? []))).length;
  assert.equal(await found(), 0);
  await store.commit(act);
  assert.equal(await found(), 1);
  const flooding = Array.from({ length: CAPPED_ROWS_PER_KEY_AND_MINUTE + 2 }, () =>
    events.appending({ type: 'alarm.forged', keyId: 'key_1' }),
  );
  assert.deepEqual(
    flooding.map(({ footprint }) => footprint !== undefined),
    flooding.map((_, index) => index < CAPPED_ROWS_PER_KEY_AND_MINUTE - 1),
  );
});

test('alarms are read newest first, by type where wanted; other events are none', async () => {
  await events.record({ type: 'grant.ended' });
  await events.record({ type: 'alarm.forged', keyId: 'key_1', address: '192.0.2.7', detail: { why: 'no_record' } });
  clock.pass(1);
  await events.record({ type: 'alarm.tampered', keyId: 'key_1' });
  assert.deepEqual(
    (await events.alarms({ limit: 10 })).map(({ type }) => type),
    ['alarm.tampered', 'alarm.forged'],
  );
  const [forged, ...more] = await events.alarms({ limit: 10, type: 'alarm.forged' });
  assert.deepEqual(more, []);
  const { severity, rings, address, detail, occurrences } = forged ?? {};
  assert.deepEqual(
    { severity, rings, address, detail, occurrences },
    { severity: 'critical', rings: true, address: '192.0.2.7', detail: { why: 'no_record' }, occurrences: 1 },
  );
});
