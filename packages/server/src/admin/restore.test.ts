import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JournalEntry, Replayable, Store, Transaction } from '../store/store.ts';
import { REPLAY_BATCH, type RestoreParts, settleRestore } from './restore.ts';

/** Notes what is asked of the domains, and in which transaction. */
function setup(entries: JournalEntry[] | undefined) {
  const done: { write: number; what: string }[] = [];
  let writes = 0;
  const note = (what: string) => done.push({ write: writes, what });
  const parts = {
    grants: {
      burnAllCodes: async () => void note('codes'),
      replay: async (_: Transaction, entry: JournalEntry) => void note(entry.kind),
      endNext: async (_: Transaction, { afterId }: { afterId: string }) => {
        note(`grants after ${afterId}`);
        return afterId === '' ? ['a', 'b'] : [];
      },
    },
    login: { revokeAllLinks: async () => note('links') },
    sessions: { endAll: async () => note('sessions') },
    tokens: { revokeAll: async () => note('tokens') },
    authorization: { forgetAllConsents: async () => note('consents') },
    users: { disableAgain: async () => void note('user') },
    clients: { disableAgain: async () => void note('client') },
    leases: { freeAll: async () => void note('leases') },
    events: { append: async (_: Transaction, { type }: { type: string }) => void note(type) },
  } satisfies RestoreParts;
  const store = {
    write: async (work: (tx: Transaction) => Promise<unknown>) => {
      writes += 1;
      return work({} as Transaction); // never touched: the domains here are fakes
    },
  } as Pick<Store, 'write'> as Store; // all that settling uses of it
  const journal: Replayable = entries
    ? {
        kind: 'complete',
        async *entries() {
          yield* entries;
        },
      }
    : { kind: 'missing', why: 'it is lost' };
  return { done, settled: settleRestore(parts, { store, epoch: 2, backupAtMs: 1, journal }) };
}

const ENDED: JournalEntry = { kind: 'grant_ended', grantId: 'g', atMs: 1, reason: 'user' };

test('without the journal all grants end, some at a time, and then everything else in one commit', async () => {
  const { done, settled } = setup(undefined);
  const outcome = await settled;
  assert.deepEqual(
    done.map(({ what }) => what),
    [
      ...['grants after ', 'grants after b', 'leases', 'codes', 'links', 'sessions', 'tokens', 'consents'],
      'store.restored',
    ],
  );
  assert.deepEqual(
    done.map(({ write }) => write),
    [1, 2, 3, 3, 3, 3, 3, 3, 3],
  );
  assert.equal(outcome.grantsEnded, 2);
});

test('with the journal every entry is done again and no grant ends by itself', async () => {
  const rotated: JournalEntry = {
    ...{ kind: 'grant_rotated', grantId: 'g', generation: 2, bucketVersion: 1, atMs: 1 },
    record: new Uint8Array(32),
  };
  const user: JournalEntry = { kind: 'user_disabled', userId: 'u', atMs: 1 };
  const client: JournalEntry = { kind: 'client_disabled', clientId: 'c', atMs: 1 };
  const { done, settled } = setup([ENDED, rotated, user, client]);
  const outcome = await settled;
  assert.deepEqual(
    done.map(({ what }) => what),
    [
      ...[
        'grant_ended',
        'grant_rotated',
        'user',
        'client',
        'leases',
        'codes',
        'links',
        'sessions',
        'tokens',
        'consents',
      ],
      'store.restored',
    ],
  );
  assert.equal(outcome.grantsEnded, undefined);
  assert.deepEqual(outcome.replayed, { grant_ended: 1, grant_rotated: 1, user_disabled: 1, client_disabled: 1 });
});

test('a long journal is replayed in bounded transactions', async () => {
  const { done, settled } = setup(Array.from({ length: 2 * REPLAY_BATCH + 1 }, () => ENDED));
  assert.equal((await settled).replayed.grant_ended, 2 * REPLAY_BATCH + 1);
  const sizes = [...Map.groupBy(done, ({ write }) => write).values()].map((batch) => batch.length);
  assert.deepEqual(sizes, [REPLAY_BATCH, REPLAY_BATCH, 1, 7]);
});
