/**
 * The way out of the embedded store: everything that it holds, in one file, for an engine that serves many nodes.
 *
 *     fence → (servers notice) → header → rows, table by table → marked complete → footer
 *
 * The fence comes first. Whatever was acknowledged stood in the database before it, so a copy made after it lacks nothing, however long it
 * takes; a copy made before would have to be told of what changed since. From the fence on nobody is served, until the new home is up
 * (docs/decisions/0021). Broken off at any point, the same command goes on where it was; `abandonExport` goes back.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import { afterMs } from '../world/turn.ts';
import { StoreRefusal } from './errors.ts';
import {
  type ExportedTable,
  type ExportHeader,
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
import { syncFolder } from './journal.ts';
import type { SqliteStore } from './sqlite.ts';

/**
 * A server over this store looks for the fence several times a second, and answers nothing that rests on a look older than a second.
 * Once this has passed, no answer of the old home can contradict the new one.
 */
export const FENCE_NOTICE_MS = 2_000;

const EXPORT_ID_BYTES = 16; // 128 bits: no two exports share an id

/** Bytes gathered before they are written, and hashed. */
const WRITE_BYTES = 256 * 1024;

export interface ExportResult {
  readonly exportId: string;
  readonly rows: Readonly<Record<string, number>>;
  readonly rowCount: number;
  readonly sha256: string;
  /** Rows that an earlier try had written. */
  readonly resumedAt: number;
}

export interface ExportOptions {
  readonly store: SqliteStore;
  readonly file: string;
  readonly identity: { readonly issuer: string; readonly accessAlgorithm: string };
  readonly clock: Clock;
  readonly random: Random;
  /** Hears now and then how many rows are written. */
  readonly onProgress?: (rows: number) => void;
  /** Default: `FENCE_NOTICE_MS`. */
  readonly noticeMs?: number;
}

/**
 * Fences the store and writes it into a file (0600), or goes on with a file of the same export.
 * Throws `StoreRefusal` `export_file_exists` when the file is another's, or belongs to an export that was given up.
 */
export async function exportStore(options: ExportOptions): Promise<ExportResult> {
  const { store, file, clock, noticeMs = FENCE_NOTICE_MS } = options;
  const isEmpty = !existsSync(file) || statSync(file).size === 0;
  const known = isEmpty ? undefined : readExportHeader(file);
  const standing = await readFence(store.read);
  if (!isEmpty && (known === undefined || known.exportId !== standing?.transferId)) throw notOurs();
  const fence = standing ?? (await fenceOff(options));
  if (fence.kind !== 'leaving') throw new Error('Exporting: the store is fenced for something else.');
  await new Promise<void>((resolve) => void afterMs(noticeMs, resolve));
  const source = new DatabaseSync(store.file, { readOnly: true, timeout: 5_000 });
  try {
    source.exec('BEGIN');
    const header = known ?? headerOf(source, fence, options.identity);
    const written = known ? await readExport(file) : undefined;
    const resumedAt = written?.rowCount ?? 0;
    if (written?.footer) {
      const { rows, sha256 } = written.footer;
      return { exportId: fence.transferId, rows, rowCount: resumedAt, sha256, resumedAt };
    }
    const writer = new ExportFile(file, written);
    try {
      if (!written) writer.write(exportHeaderLine(header));
      const rows = writeRows({ source, header, writer, written, onProgress: options.onProgress });
      writer.sync();
      // Before the footer makes the file one that can be imported: from here on the fence is not taken away lightly.
      await store.write((tx) => markFenceCompleted(tx, fence.transferId, clock.now()));
      const sha256 = writer.digest();
      writer.write(exportFooterLine({ rows, sha256 }));
      writer.sync();
      const rowCount = Object.values(rows).reduce((sum, count) => sum + count, 0);
      return { exportId: fence.transferId, rows, rowCount, sha256, resumedAt };
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

function notOurs(): StoreRefusal {
  return new StoreRefusal(
    'export_file_exists',
    'Exporting: the file is there and is not of the export that was begun here. Name another one.',
  );
}

/** The file being written: gathers, hashes, writes. A torn last line of an earlier try is cut off. */
class ExportFile {
  readonly #descriptor: number;
  readonly #hash = createHash('sha256');
  #gathered: string[] = [];
  #gatheredLength = 0;

  constructor(file: string, written: ExportContents | undefined) {
    // 'a+' and not 'w': a file that came to be in the meantime is not overwritten before it was looked at.
    this.#descriptor = openSync(file, 'a+', 0o600);
    fchmodSync(this.#descriptor, 0o600);
    ftruncateSync(this.#descriptor, written?.wholeBytes ?? 0);
    if (written) this.#hashWhatIsThere(written.wholeBytes);
    syncFolder(dirname(file));
  }

  write(line: string): void {
    this.#gathered.push(line);
    this.#gatheredLength += line.length;
    if (this.#gatheredLength >= WRITE_BYTES) this.#flush();
  }

  /** Of everything written so far. */
  digest(): string {
    this.#flush();
    return this.#hash.copy().digest('base64url');
  }

  sync(): void {
    this.#flush();
    fsyncSync(this.#descriptor);
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #flush(): void {
    const bytes = Buffer.from(this.#gathered.join(''));
    this.#gathered = [];
    this.#gatheredLength = 0;
    this.#hash.update(bytes);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor, bytes, at);
  }

  #hashWhatIsThere(length: number): void {
    const chunk = Buffer.allocUnsafe(WRITE_BYTES);
    for (let at = 0; at < length; ) {
      const read = readSync(this.#descriptor, chunk, 0, Math.min(WRITE_BYTES, length - at), at);
      this.#hash.update(chunk.subarray(0, read));
      at += read;
    }
  }
}
