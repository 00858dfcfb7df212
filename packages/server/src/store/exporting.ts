/**
 * The way out of the embedded store: everything that it holds, in one file, for an engine that serves many nodes.
 *
 *     fence → (servers notice) → header → rows, table by table → marked complete → footer
 *
 * The fence comes first. Whatever was acknowledged stood in the database before it, so a copy made after it lacks nothing, however long it
 * takes; a copy made before would have to be told of what changed since. From the fence on nobody is served, until the new home is up
 * (docs/decisions/0021). Broken off at any point, the same command goes on where it was; `abandonExport` goes back.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../world/clock.ts';
import { holdFile } from '../world/file-lock.ts';
import type { Random } from '../world/random.ts';
import { afterMs } from '../world/turn.ts';
import { StoreRefusal } from './errors.ts';
import { ExportFile } from './export-file.ts';
import {
  type ExportedTable,
  type ExportHeader,
  type ExportMac,
  exportFooterLine,
  exportHeaderLine,
  exportRowLine,
} from './export-format.ts';
import { type ExportContents, readExport, readExportHeader } from './export-reading.ts';
import { exportedTables } from './export-tables.ts';
import {
  closeTables,
  type Fence,
  markFenceCompleted,
  openTables,
  putUpFence,
  readFence,
  takeDownFence,
} from './fence.ts';
import type { SqliteStore } from './sqlite.ts';

/**
 * A server over this store looks for the fence several times a second, and answers nothing that rests on a look older than a second.
 * Once this has passed, no answer of the old home can contradict the new one.
 */
export const FENCE_NOTICE_MS = 2_000;

const EXPORT_ID_BYTES = 16; // 128 bits: no two exports share an id

/** Held, in the data folder, by the one export that runs: of two that append to one file each would write every row. */
const LOCK_FILE = 'export.lock';

export interface ExportResult {
  readonly exportId: string;
  readonly rows: Readonly<Record<string, number>>;
  readonly rowCount: number;
  /** Of the footer. */
  readonly mac: string;
  /** Rows that an earlier try had written. */
  readonly resumedAt: number;
}

export interface ExportOptions {
  readonly store: SqliteStore;
  readonly file: string;
  readonly identity: { readonly issuer: string; readonly accessAlgorithm: string };
  readonly mac: ExportMac;
  readonly clock: Clock;
  readonly random: Random;
  /** Hears now and then how many rows are written. */
  readonly onProgress?: (rows: number) => void;
  /** Default: `FENCE_NOTICE_MS`. */
  readonly noticeMs?: number;
}

/**
 * Fences the store and writes it into a file (0600), or goes on with a file of the same export.
 * Throws `StoreRefusal`: `export_file_exists` when the file is another's, or belongs to an export that was given up; `export_running`;
 * `export_given_up` when that happens meanwhile.
 */
export async function exportStore(options: ExportOptions): Promise<ExportResult> {
  const release = holdFile(join(dirname(options.store.file), LOCK_FILE));
  if (!release) {
    throw new StoreRefusal('export_running', 'Exporting: another export of this data folder runs. Let it finish.');
  }
  try {
    return await exportAlone(options);
  } finally {
    release();
  }
}

async function exportAlone(options: ExportOptions): Promise<ExportResult> {
  const { store, file, clock, mac, noticeMs = FENCE_NOTICE_MS } = options;
  const isThere = existsSync(file);
  const isEmpty = !isThere || statSync(file).size === 0;
  const known = isEmpty ? undefined : readExportHeader(file);
  const standing = await readFence(store.read);
  if (!isEmpty && (!standing || (known && known.exportId !== standing.transferId))) throw notOurs();
  const fence = standing ?? (await fenceOff(options));
  if (fence.kind !== 'leaving') throw new Error('Exporting: the store is fenced for something else.');
  await new Promise<void>((resolve) => void afterMs(noticeMs, resolve));
  const source = new DatabaseSync(store.file, { readOnly: true, timeout: 5_000 });
  try {
    source.exec('BEGIN');
    requireOwnFence(source, fence);
    const header = known ?? headerOf(source, fence, options.identity);
    if (!isEmpty && !known && !isTornHeader(file, header)) throw notOurs();
    const written = known ? await readExport(file, mac) : undefined;
    const resumedAt = written?.rowCount ?? 0;
    if (written?.footer) {
      const { rows } = written.footer;
      return { exportId: fence.transferId, rows, rowCount: resumedAt, mac: written.footer.mac, resumedAt };
    }
    const writer = new ExportFile({ file, isNew: !isThere, written, hmac: mac() });
    try {
      if (!written) writer.write(exportHeaderLine(header));
      const rows = writeRows({ source, header, writer, written, onProgress: options.onProgress });
      writer.sync();
      // Before the footer makes the file one that can be imported: from here on the fence is not taken away lightly.
      await store.write(async (tx) => {
        if (!(await markFenceCompleted(tx, fence.transferId, clock.now()))) throw givenUp();
      });
      const digest = writer.digest();
      writer.write(exportFooterLine({ rows, mac: digest }));
      writer.sync();
      const rowCount = Object.values(rows).reduce((sum, count) => sum + count, 0);
      return { exportId: fence.transferId, rows, rowCount, mac: digest, resumedAt };
    } finally {
      writer.close();
    }
  } finally {
    source.close();
  }
}

/**
 * Takes the fence away: the store is served from again. Throws `StoreRefusal` `export_not_begun`; `export_completed` once the file was
 * whole, unless the caller vouches that it was never imported: two homes would accept what the other took back.
 */
export async function abandonExport(options: { store: SqliteStore; wasNeverImported: boolean }): Promise<void> {
  await options.store.write(async (tx) => {
    const fence = await readFence(tx);
    if (fence?.kind !== 'leaving') {
      throw new StoreRefusal('export_not_begun', 'Giving up the export: none was begun, and the store is in use.');
    }
    if (fence.completedAtMs !== undefined && !options.wasNeverImported) {
      throw new StoreRefusal(
        'export_completed',
        'Giving up the export: its file is whole and may be in use. If it was never imported, destroy every copy of it, then add ' +
          '--never-imported. If it was imported, the new home serves; a server here would bring back what was revoked there.',
      );
    }
    await takeDownFence(tx, fence.transferId);
    await openTables(tx);
  });
}

async function fenceOff({ store, clock, random }: ExportOptions): Promise<Fence> {
  const transferId = Buffer.from(random.bytes(EXPORT_ID_BYTES)).toString('base64url');
  await store.write(async (tx) => {
    await putUpFence(tx, { kind: 'leaving', transferId, fencedAtMs: clock.now() });
    await closeTables(tx);
  });
  const fence = await readFence(store.read);
  if (!fence) throw new Error('Exporting: the fence that was put up is not there.');
  return fence;
}

/**
 * The copy is of a moment at which the fence of this very export stood: a store that was given back meanwhile takes writes, which a copy
 * from before them lacks.
 */
function requireOwnFence(source: DatabaseSync, fence: Fence): void {
  const row = source.prepare('SELECT kind, transfer_id FROM store_fence WHERE singleton = 1').get();
  if (row?.kind !== 'leaving' || row.transfer_id !== fence.transferId) throw givenUp();
}

function givenUp(): StoreRefusal {
  return new StoreRefusal(
    'export_given_up',
    'Exporting: this export was given up meanwhile, and the store takes writes again. The file is worth nothing: remove it.',
  );
}

function headerOf(source: DatabaseSync, fence: Fence, identity: ExportOptions['identity']): ExportHeader {
  const migrations = source.prepare('SELECT name FROM schema_migration ORDER BY number').all();
  return {
    exportId: fence.transferId,
    fencedAtMs: fence.fencedAtMs,
    migrations: migrations.map(({ name }) => String(name)),
    epoch: Number(source.prepare('SELECT epoch FROM store_epoch WHERE singleton = 1').get()?.epoch),
    issuer: identity.issuer,
    accessAlgorithm: identity.accessAlgorithm,
    tables: exportedTables(source),
  };
}

/** In the order of row numbers, which never change while the fence stands: so a broken off file is gone on with by counting. */
function writeRows(given: {
  source: DatabaseSync;
  header: ExportHeader;
  writer: ExportFile;
  written: ExportContents | undefined;
  onProgress: ((rows: number) => void) | undefined;
}): Record<string, number> {
  const { source, header, writer, written, onProgress = () => {} } = given;
  const rows: Record<string, number> = {};
  let total = written?.rowCount ?? 0;
  for (const table of header.tables) {
    let count = written?.rows[table.name] ?? 0;
    for (const row of selectRows(source, table).iterate(count)) {
      writer.write(exportRowLine(table, row));
      count += 1;
      total += 1;
      if (total % 10_000 === 0) onProgress(total);
    }
    rows[table.name] = count;
  }
  return rows;
}

/** Names stand in the schema of this very database. */
function selectRows(source: DatabaseSync, table: ExportedTable) {
  const columns = table.columns.map(({ name }) => name).join(', ');
  return source.prepare(`SELECT ${columns} FROM ${table.name} ORDER BY rowid LIMIT -1 OFFSET ?1`);
}

/** A disk that was full, or a kill, may have left less than the first line. */
function isTornHeader(file: string, header: ExportHeader): boolean {
  return exportHeaderLine(header).startsWith(readFileSync(file, 'utf8'));
}

function notOurs(): StoreRefusal {
  return new StoreRefusal(
    'export_file_exists',
    'Exporting: the file is there and is not of the export that was begun here. Name another one.',
  );
}
