/**
 * The way into PostgreSQL: what an export holds, into an empty database.
 *
 *     the whole file is checked → fence → rows, batch by batch, each with how far it is → counts compared → epoch raised, fence gone
 *
 * Until the last transaction no server starts on it. Broken off, the same command with the same file goes on where it was.
 */
import type { Clock } from '../world/clock.ts';
import { raiseEpoch } from './epoch.ts';
import { StoreRefusal } from './errors.ts';
import type { ExportedTable, ExportHeader, ExportMac } from './export-format.ts';
import { type ExportContents, type ExportedRow, readExport } from './export-reading.ts';
import { exportedTablesOfRelease } from './export-tables.ts';
import { moveFence, putUpFence, readFence, takeDownFence } from './fence.ts';
import type { SqlValue, Store, Transaction } from './store.ts';

/** Rows of one statement and commit: enough that the round trip does not count, and far from the 65,535 values a statement may have. */
export const IMPORT_BATCH = 500;

export interface ImportResult {
  readonly exportId: string;
  readonly epoch: number;
  readonly rows: Readonly<Record<string, number>>;
  readonly rowCount: number;
  /** Rows that an earlier try had brought in. */
  readonly resumedAt: number;
  /** An earlier try had brought in all, and nothing was changed. */
  readonly wasDone: boolean;
}

export interface ImportOptions {
  /** Of PostgreSQL, migrated and otherwise empty. */
  readonly store: Store;
  readonly file: string;
  /** That of the source. */
  readonly mac: ExportMac;
  readonly clock: Clock;
  /** Hears what the file says of itself before anything is written. Throws to refuse it. */
  readonly accept: (contents: ExportContents) => void;
  /** Sees every row before anything is written. Throws to refuse it: a wrong master key. */
  readonly acceptRow: (row: ExportedRow) => void;
  readonly onProgress?: (progress: { rows: number; of: number }) => void;
}

/**
 * Throws `StoreRefusal`: `export_damaged` (also of a file without its end), `schema_differs`, `target_not_empty`,
 * `import_interrupted` when another import is under way; and whatever `accept` and `acceptRow` throw.
 */
export async function importStore(options: ImportOptions): Promise<ImportResult> {
  const { store, file, mac, clock, accept, acceptRow, onProgress = () => {} } = options;
  const contents = await readExport(file, mac, acceptRow);
  const { header, footer, rowCount } = contents;
  if (!footer) {
    const message =
      'Importing: the file has no end, so it is not whole, or its source still takes writes. Let "countersign export" finish it.';
    throw new StoreRefusal('export_damaged', message);
  }
  accept(contents);
  await requireSameSchema(store, header);
  const { exportId } = header;
  if (await wasImported(store, exportId)) {
    return { exportId, epoch: await store.epoch(), rows: contents.rows, rowCount, resumedAt: rowCount, wasDone: true };
  }
  const resumedAt = await begin(options, contents);
  const batch: ExportedRow[] = [];
  let done = resumedAt;
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    const [from, to] = [done, done + batch.length];
    await store.write(async (tx) => {
      if (!(await moveFence(tx, { transferId: header.exportId, from, to }))) throw interrupted();
      await insertRows(tx, batch);
    });
    done = to;
    batch.length = 0;
    onProgress({ rows: done, of: rowCount });
  };
  const again = await readExport(file, mac, async (row, index) => {
    if (index < resumedAt) return;
    if (batch[0] && (batch[0].table !== row.table || batch.length === IMPORT_BATCH)) await flush();
    batch.push(row);
  });
  await flush();
  if (again.footer?.mac !== footer.mac) {
    throw new StoreRefusal(
      'export_damaged',
      'Importing: the file changed while it was read. Begin with an empty database.',
    );
  }
  const epoch = await store.write(async (tx) => {
    await requireCounts(tx, contents);
    await continuePositions(tx);
    if (!(await takeDownFence(tx, exportId))) throw interrupted();
    return raiseEpoch(tx, { aboveEpoch: header.epoch, reason: importedReason(exportId), atMs: clock.now() });
  });
  return { exportId, epoch, rows: contents.rows, rowCount, resumedAt, wasDone: false };
}

/** Why the epoch is what it is: so that the same command, run once more, finds its work done and not somebody else's database. */
function importedReason(exportId: string): string {
  return `imported ${exportId}`;
}

async function wasImported({ read }: Store, exportId: string): Promise<boolean> {
  const reason = importedReason(exportId);
  return (
    (await read.get('SELECT 1 AS found FROM store_epoch WHERE singleton = 1 AND reason = $1', reason)) !== undefined
  );
}

/** Every table of the release must be in the file: one that is missing in its header is neither looked at nor brought. */
async function requireSameSchema(store: Store, { migrations, tables }: ExportHeader): Promise<void> {
  const own = await store.read.all<{ name: string }>('SELECT name FROM schema_migration ORDER BY number');
  const isSame = JSON.stringify(own.map(({ name }) => name)) === JSON.stringify(migrations);
  if (isSame && JSON.stringify(tables) === JSON.stringify(exportedTablesOfRelease())) return;
  throw new StoreRefusal(
    'schema_differs',
    `Importing: the file has the schema of ${migrations.at(-1) ?? 'nothing'}, and this release that of ${own.at(-1)?.name ?? 'nothing'}. ` +
      'Export and import with the same release; upgrade afterwards.',
  );
}

/** Puts the fence up over an empty database, or finds that of a try before. Returns how many rows are in. */
async function begin({ store, clock }: ImportOptions, { header }: ExportContents): Promise<number> {
  const standing = await readFence(store.read);
  if (standing?.kind === 'arriving' && standing.transferId === header.exportId) return standing.rowsDone;
  await store.write(async (tx) => {
    for (const table of header.tables) {
      const any = await tx.get(`SELECT 1 AS found FROM ${table.name} LIMIT 1`);
      if (any === undefined && !(await readFence(tx))) continue;
      throw new StoreRefusal(
        'target_not_empty',
        'Importing: the database has rows already, of a server that ran on it or of another import. Make an empty one.',
      );
    }
    await putUpFence(tx, { kind: 'arriving', transferId: header.exportId, fencedAtMs: clock.now() });
  });
  return 0;
}

/** Names come from a header whose names are checked to be names; the schema is that of this release. */
async function insertRows(tx: Transaction, batch: readonly ExportedRow[]): Promise<void> {
  const table = batch[0]?.table;
  if (!table) return;
  await tx.run(insertText(table, batch.length), ...batch.flatMap(({ values }): SqlValue[] => values));
}

function insertText(table: ExportedTable, rows: number): string {
  const width = table.columns.length;
  const row = (index: number): string =>
    `(${table.columns.map((_, column) => `$${index * width + column + 1}`).join(', ')})`;
  const columns = table.columns.map(({ name }) => name).join(', ');
  return `INSERT INTO ${table.name} (${columns}) VALUES ${Array.from({ length: rows }, (_, index) => row(index)).join(', ')}`;
}

/** A row more would be somebody else's, who wrote while this was not whole. */
async function requireCounts(tx: Transaction, { header, rows }: ExportContents): Promise<void> {
  for (const { name } of header.tables) {
    const found = await tx.get<{ count: number }>(`SELECT count(*) AS count FROM ${name}`);
    if (found?.count === rows[name]) continue;
    throw new StoreRefusal(
      'target_not_empty',
      `Importing: ${name} has other rows than the file. Something else wrote to the database meanwhile. Make an empty one.`,
    );
  }
}

/**
 * Numbers that the database gives begin after those that were brought. How far the log was swept is a cursor of this engine: whoever
 * resumes does so within the new epoch, and reads nothing from before it.
 */
async function continuePositions(tx: Transaction): Promise<void> {
  await tx.get(
    `SELECT setval(pg_get_serial_sequence('invalidation', 'position'), GREATEST(max(position), 1), max(position) IS NOT NULL) AS position
     FROM invalidation`,
  );
  await tx.run('UPDATE invalidation_sweep SET up_to = pg_current_xact_id()::text::bigint WHERE singleton = 1');
}

function interrupted(): StoreRefusal {
  return new StoreRefusal(
    'import_interrupted',
    'Importing: another import into this database went on meanwhile. Let one of them finish.',
  );
}
