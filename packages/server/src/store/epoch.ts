import type { Transaction } from './store.ts';

/** Raises the epoch above `aboveEpoch` and above what it was; returns the new one. It never falls. */
export async function raiseEpoch(
  tx: Transaction,
  { aboveEpoch, reason, atMs }: { aboveEpoch: number; reason: string; atMs: number },
): Promise<number> {
  const row = await tx.get<{ epoch: number }>(
    `UPDATE store_epoch SET epoch = (CASE WHEN epoch > $1 THEN epoch ELSE $1 END) + 1, reason = $2, changed_at_ms = $3
     WHERE singleton = 1 RETURNING epoch`,
    aboveEpoch,
    reason,
    atMs,
  );
  if (row === undefined) throw new Error('Raising the epoch: the store has none. Migrate it first.');
  return row.epoch;
}
