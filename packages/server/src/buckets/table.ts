import type { Sql, Transaction } from '../store/store.ts';

export interface BucketKeyRow {
  version: number;
  sealedKey: Uint8Array;
}

export async function selectBucketKeys(sql: Sql): Promise<BucketKeyRow[]> {
  return sql.all<BucketKeyRow>('SELECT version, sealed_key AS "sealedKey" FROM bucket_key ORDER BY version');
}

export async function insertBucketKey(tx: Transaction, row: BucketKeyRow & { createdAtMs: number }): Promise<void> {
  await tx.run(
    'INSERT INTO bucket_key (version, sealed_key, created_at_ms) VALUES ($1, $2, $3)',
    row.version,
    row.sealedKey,
    row.createdAtMs,
  );
}
