import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type JournalEntry, setRestorePoint } from '../store/store.ts';
import { authorityOn, openStore } from '../testing/testing.ts';
import { settleRestore } from './restore.ts';

const DAY_MS = 24 * 60 * 60 * 1_000;

/** An authority, and what a restore makes of it once its rows were put back to what they had been. */
async function setup(t: TestContext) {
  const opened = await openStore();
  t.after(opened.close);
  const { store, clock, random } = opened;
  const masterKey = random.bytes(32);
  const all = await authorityOn(opened, { masterKey });
  const { clients, revocation, users } = all.authority;
  const { user, session } = await all.addUser('eve@example.com');
  const { client } = await all.addClient();
  /** Of each table, what a base backup taken now would hold. */
  async function copy(): Promise<() => Promise<void>> {
    const [heldUser, heldClient] = [await users.byId(user.id), await clients.find(client.id)];
    return () =>
      store.write(async (tx) => {
        for (const [table, row] of [['app_user', heldUser] as const, ['client', heldClient] as const]) {
          await tx.run(
            `UPDATE ${table} SET disabled_at_ms = $1, dead_before_ms = $2 WHERE id = $3`,
            ...[row?.disabledAtMs ?? null, row?.deadBeforeMs ?? 0, row?.id ?? ''],
          );
        }
      });
  }
  async function disable(): Promise<void> {
    await revocation.disableUser(user.id);
    await revocation.disableClient(client.id);
  }
  async function enable(): Promise<void> {
    await store.write((tx) => users.enable(tx, user.id));
    await clients.enable(client.id);
  }
  /** Undefined: without a journal. */
  async function restore(kept: readonly JournalEntry[] | undefined): Promise<void> {
    await setRestorePoint({
      ...{ store, clock, random, aboveEpoch: 0 },
      async settle(epoch) {
        const { authority: settling } = await authorityOn(opened, { masterKey, isSettling: true });
        if (!kept) return settleRestore(settling, { store, epoch, journal: { kind: 'missing', why: 'a test' } });
        const entries = async function* () {
          yield* kept;
        };
        return settleRestore(settling, { store, epoch, journal: { kind: 'complete', entries } });
      },
    });
  }
  async function disabled(): Promise<boolean[]> {
    const [u, c] = [await users.byId(user.id), await clients.find(client.id)];
    return [u?.disabledAtMs !== undefined, c?.disabledAtMs !== undefined];
  }
  return { ...opened, ...all, user, session, client, copy, disable, enable, restore, disabled };
}

test('what was disabled after the copy is disabled again, however long ago, and no key is rotated meanwhile', async (t) => {
  const { clock, store, journal, copy, disable, restore, disabled, authority } = await setup(t);
  const putBack = await copy();
  clock.pass(60_000);
  await disable();
  await putBack();
  clock.pass(2 * DAY_MS); // by now keys of login links are due, and their rotation writes events
  const before = [await authority.keys.list(), await store.read.all('SELECT id FROM event')] as const;
  assert.deepEqual(await disabled(), [false, false]);
  await restore([...journal]);
  assert.deepEqual(await disabled(), [true, true]);
  assert.deepEqual(await authority.keys.list(), before[0]);
  assert.equal((await store.read.all('SELECT id FROM event')).length, before[1].length + 1, 'of the restore');
  assert.notEqual((await authority.keys.rotate()).length, 0, 'they were due');
});

test('who was enabled before the copy stays so', async (t) => {
  const { clock, journal, copy, disable, enable, restore, disabled } = await setup(t);
  await disable();
  clock.pass(1);
  await enable();
  const putBack = await copy();
  await putBack();
  await restore([...journal]);
  assert.deepEqual(await disabled(), [false, false]);
});

test('a clock that was a day ahead once hides no later disabling', async (t) => {
  const { clock, journal, copy, disable, enable, restore, disabled } = await setup(t);
  clock.pass(DAY_MS);
  await disable();
  clock.pass(-DAY_MS);
  await enable();
  const putBack = await copy();
  const before = [...journal];
  clock.pass(60_000);
  await disable();
  await putBack();
  await restore(before);
  assert.deepEqual(await disabled(), [false, false], 'enabled before the copy');
  await restore([...journal]);
  assert.deepEqual(await disabled(), [true, true]);
});

test('a grant that ended for want of a journal stands in one from then on', async (t) => {
  const { store, journal, user, session, client, obtainTokens, refresh, restore } = await setup(t);
  const tokens = await obtainTokens({ client, user, session });
  const before = await store.read.all<{ id: string }>('SELECT id FROM oauth_grant WHERE ended_at_ms IS NULL');
  assert.equal(before.length, 1);
  await restore(undefined);
  assert.deepEqual(
    journal.flatMap((entry) => (entry.kind === 'grant_ended' ? [[entry.grantId, entry.reason]] : [])),
    [[before[0]?.id, 'restore']],
  );
  await store.write((tx) => tx.run('UPDATE oauth_grant SET ended_at_ms = NULL, end_reason = NULL')); // the same copy once more
  await restore([...journal]);
  await assert.rejects(refresh(client, tokens.refresh_token), { code: 'unauthorized.bad_refresh_token' });
});
