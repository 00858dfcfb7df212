/**
 * The fence: while its row stands, a store is not served from. It is put up by an export (this store is moving away), by an import
 * (it is not whole yet) and by a restore point (what must die is not dead yet). `standing/` asks for it; whoever put it up takes it away.
 *
 * Leaving, the embedded store is closed by triggers as well. A check in this program would let the release before it, which may be
 * the server that runs at that moment, acknowledge writes that the export no longer sees.
 */
import { StoreRefusal } from './errors.ts';
import type { Sql, Transaction } from './store.ts';

export type FenceKind = 'leaving' | 'arriving' | 'restoring';

export interface Fence {
  readonly kind: FenceKind;
  readonly transferId: string;
  readonly fencedAtMs: number;
  /** Arriving: rows of the file that are in. */
  readonly rowsDone: number;
  /** Leaving: every row was in the file by then. */
  readonly completedAtMs: number | undefined;
}

/** What a trigger of the fence raises; `handle.ts` knows it again. */
export const FENCE_SIGNAL = 'store_fenced';

/** Not closed by triggers: the fence itself, and what only a migration writes. */
const OPEN_TABLES = new Set(['store_fence', 'schema_migration']);

export async function readFence(sql: Sql): Promise<Fence | undefined> {
  const row = await sql.get<{
    kind: FenceKind; // only putUpFence writes this column
    transfer_id: string;
    fenced_at_ms: number;
    rows_done: number;
    completed_at_ms: number | null;
  }>('SELECT kind, transfer_id, fenced_at_ms, rows_done, completed_at_ms FROM store_fence WHERE singleton = 1');
  return (
    row && {
      kind: row.kind,
      transferId: row.transfer_id,
      fencedAtMs: row.fenced_at_ms,
      rowsDone: row.rows_done,
      completedAtMs: row.completed_at_ms ?? undefined,
    }
  );
}

/** @throws StoreRefusal `store_fenced`, with what to do */
export async function requireUnfenced(sql: Sql): Promise<void> {
  const fence = await readFence(sql);
  if (fence) throw new StoreRefusal('store_fenced', fenceSentence(fence.kind));
}

export function fenceSentence(kind: FenceKind): string {
  switch (kind) {
    case 'leaving':
      return (
        'Opening the store: it was exported, and its users may be served from its new home. Start the server there. If the export ' +
        'was given up, take the fence away with: countersign export --abandon'
      );
    case 'arriving':
      return 'Opening the store: an import into it is not finished. Run "countersign import" with the same file again; it goes on where it was.';
    case 'restoring':
      return 'Opening the store: a restore point was begun and is not finished. Run "countersign restore-point" again.';
  }
}

export async function putUpFence(
  tx: Transaction,
  fence: Pick<Fence, 'kind' | 'transferId' | 'fencedAtMs'>,
): Promise<void> {
  await tx.run(
    `INSERT INTO store_fence (singleton, kind, transfer_id, fenced_at_ms, rows_done) VALUES (1, $1, $2, $3, 0)`,
    fence.kind,
    fence.transferId,
    fence.fencedAtMs,
  );
}

/** False if it is not the fence of this transfer that stands. */
export async function takeDownFence(tx: Transaction, transferId: string): Promise<boolean> {
  return (await tx.run('DELETE FROM store_fence WHERE singleton = 1 AND transfer_id = $1', transferId)) === 1;
}

/** The first time stays. False if it is not the fence of this transfer that stands. */
export async function markFenceCompleted(tx: Transaction, transferId: string, completedAtMs: number): Promise<boolean> {
  const rows = await tx.run(
    'UPDATE store_fence SET completed_at_ms = COALESCE(completed_at_ms, $1) WHERE singleton = 1 AND transfer_id = $2',
    completedAtMs,
    transferId,
  );
  return rows === 1;
}

/** Moves on how far an import is. False if somebody else moved it meanwhile. */
export async function moveFence(
  tx: Transaction,
  moved: { transferId: string; from: number; to: number },
): Promise<boolean> {
  const rows = await tx.run(
    'UPDATE store_fence SET rows_done = $1 WHERE singleton = 1 AND transfer_id = $2 AND rows_done = $3',
    moved.to,
    moved.transferId,
    moved.from,
  );
  return rows === 1;
}

/** Refuses, in the embedded database itself, every change of every table, whoever tries. */
export async function closeTables(tx: Transaction): Promise<void> {
  const tables = await tx.all<{ name: string }>(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name",
  );
  for (const { name } of tables) {
    if (OPEN_TABLES.has(name)) continue;
    for (const change of ['INSERT', 'UPDATE', 'DELETE']) {
      await tx.run(
        `CREATE TRIGGER fence_${name}_${change.toLowerCase()} BEFORE ${change} ON ${name}
         BEGIN SELECT RAISE(ABORT, '${FENCE_SIGNAL}'); END`,
      );
    }
  }
}

export async function openTables(tx: Transaction): Promise<void> {
  const triggers = await tx.all<{ name: string }>(
    "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'fence_*'",
  );
  for (const { name } of triggers) await tx.run(`DROP TRIGGER ${name}`);
}
