import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
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

test('an outlet that remembers its place misses no alarm: ids rise within a millisecond and when the clock steps back', async () => {
  let readUpTo = '';
  for (let round = 0; round < 40; round++) {
    await events.record({ type: 'alarm.replayed', clientId: `client ${round}`, keyId: `key_${round % 4}` });
    const [next, ...more] = await events.alarmsAfter(readUpTo, 10);
    assert.equal(next?.clientId, `client ${round}`);
    assert.deepEqual(more, []);
    readUpTo = next?.id ?? '';
    if (round === 20) clock.pass(-3_600_000);
  }
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
