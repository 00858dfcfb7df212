import assert from 'node:assert/strict';
import { after, mock, test } from 'node:test';
import { StoreUnavailable } from '../store/store.ts';
import { openAuthority } from '../testing/testing.ts';

const opened = await openAuthority();
after(opened.close);
const { authority, store, logLines } = opened;
const { alarms, events } = authority;
const told = () => logLines.filter((line) => line.includes('"message":"alarm"')).length;

test('an alarm is told once, as many in a step as it may', async () => {
  for (const keyId of ['key_1', 'key_2', 'key_3']) await events.record({ type: 'alarm.forged', keyId });
  assert.deepEqual(await alarms.step(2), { told: 2 });
  assert.deepEqual(await alarms.step(2), { told: 1 });
  assert.deepEqual(await alarms.step(2), { told: 0 });
  assert.equal(told(), 3);
});

test('one that could not be noted as told is told again rather than lost', async () => {
  const before = told();
  await events.record({ type: 'alarm.tampered', keyId: 'key_1' });
  const refusing = async () => Promise.reject(new StoreUnavailable('Writing: no.'));
  mock.method(store, 'commit', refusing, { times: 1 });
  await assert.rejects(alarms.step(10), StoreUnavailable);
  assert.deepEqual(await alarms.step(10), { told: 1 });
  assert.equal(told(), before + 2);
});
