/**
 * A restore point: what an operator sets on a database server that was put back to an earlier moment (a base backup, a point in time, a
 * standby that lacked commits), or into which a dump of another was loaded. The embedded store's way is `restore.ts`; what must die is the
 * same, and the caller's part.
 *
 *     fence up, epoch raised and log readable, in one commit → settle (the domains end what must end) → fence down
 *
 * Nodes that run meanwhile answer nothing while the fence stands. Broken off, it is set again: nothing of it does harm twice.
 */
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import { raiseEpoch } from './epoch.ts';
import { StoreRefusal } from './errors.ts';
import { fenceSentence, putUpFence, readFence, takeDownFence } from './fence.ts';
import type { Store, Transaction } from './store.ts';

const ID_BYTES = 16; // 128 bits

/**
 * Throws `StoreRefusal` `store_fenced` when the store is being imported or was exported. The new epoch is the second of the clock, or one
 * more than `aboveEpoch` or the store's own where that is higher: so it is above whatever any node or verifier has seen, although nobody
 * may be left who knows it.
 */
export async function setRestorePoint<T>(options: {
  store: Store;
  clock: Clock;
  random: Random;
  /** The highest epoch that is known from elsewhere; 0: none. */
  aboveEpoch: number;
  settle: (epoch: number) => Promise<T>;
}): Promise<{ epoch: number; settled: T }> {
  const { store, clock, random, aboveEpoch, settle } = options;
  const nowMs = clock.now();
  const transferId = Buffer.from(random.bytes(ID_BYTES)).toString('base64url');
  const epoch = await store.write(async (tx) => {
    const fence = await readFence(tx);
    if (fence && fence.kind !== 'restoring') throw new StoreRefusal('store_fenced', fenceSentence(fence.kind));
    if (fence) await takeDownFence(tx, fence.transferId);
    await putUpFence(tx, { kind: 'restoring', transferId, fencedAtMs: nowMs });
    if (store.engine === 'postgresql') await adoptLog(tx);
    const above = Math.max(aboveEpoch, Math.floor(nowMs / 1_000) - 1);
    return raiseEpoch(tx, { aboveEpoch: above, reason: 'restore point', atMs: nowMs });
  });
  const settled = await settle(epoch);
  await store.write(async (tx) => {
    if (await takeDownFence(tx, transferId)) return;
    throw new StoreRefusal(
      'store_fenced',
      'Setting the restore point: another one was begun meanwhile. Let that one finish.',
    );
  });
  return { epoch, settled };
}

/**
 * Rows of a dump have the numbers of another server's transactions, and what is written now would stand before them, where nobody reads on.
 * They get the number of this transaction. Nobody resumes from before it: that would be in an earlier epoch.
 */
async function adoptLog(tx: Transaction): Promise<void> {
  await tx.run('UPDATE invalidation SET xid = pg_current_xact_id() WHERE xid >= pg_current_xact_id()');
  await tx.run('UPDATE invalidation_sweep SET up_to = pg_current_xact_id()::text::bigint WHERE singleton = 1');
}
