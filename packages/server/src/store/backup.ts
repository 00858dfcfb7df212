/**
 * Backup of the embedded store while it runs: a folder with a copy of the database and `backup.json`.
 *
 * Not in it, on purpose: the master key (whoever has the copy alone can log in nobody and forge nothing) and the revocation
 * journal (it must tell what happened *after* the copy; keep its folder apart, whole and as new as can be).
 * `restore.ts` is the way back.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import type { Clock } from '../world/clock.ts';
import { StoreRefusal } from './errors.ts';
import { syncFolder } from './journal.ts';
import { schemaNumber } from './migrate.ts';
import { DATABASE_FILE, type SqliteStore } from './sqlite.ts';

export const BACKUP_FORMAT = 1;
const DESCRIPTION_FILE = 'backup.json';

/** Pages copied at a time (2 MB), off the event loop's thread; the pause between lets requests through. */
const PAGES_PER_STEP = 512;

export interface BackupDescription {
  readonly format: typeof BACKUP_FORMAT;
  /** Also the moment in the header of the journal segment begun with it. */
  readonly createdAtMs: number;
  readonly epoch: number;
  /** First journal segment whose lines may be younger than the copy. */
  readonly journalSegment: number;
  /** Number of the last migration in the copy. */
  readonly schema: number;
}

/**
 * Copies a running store into a new folder (0700, files 0600), durably. The description is written last: a folder without it
 * is half a backup and is refused by restore. Throws `StoreRefusal` `backup_folder_exists`.
 */
export async function backupStore(options: {
  store: SqliteStore;
  folder: string;
  clock: Clock;
}): Promise<BackupDescription> {
  const { store, folder, clock } = options;
  makeFolder(folder);
  const createdAtMs = clock.now();
  // First the segment, then the copy: what the copy lacks is then surely in this segment or a later one.
  const journalSegment = await store.startJournalSegment({ startedAtMs: createdAtMs });
  const { epoch, schema } = await copyDatabase(store.file, join(folder, DATABASE_FILE));
  const description: BackupDescription = { format: BACKUP_FORMAT, createdAtMs, epoch, journalSegment, schema };
  const file = join(folder, DESCRIPTION_FILE);
  writeFileSync(file, `${JSON.stringify(description, null, 2)}\n`, { mode: 0o600, flag: 'wx', flush: true });
  syncFolder(folder);
  return description;
}

/** Reads a backup's description. Throws `StoreRefusal` `backup_incomplete` when it is absent or not of this format. */
export function readBackup(folder: string): BackupDescription & { databaseFile: string } {
  const refusal = (cause?: unknown): StoreRefusal =>
    new StoreRefusal(
      'backup_incomplete',
      `Reading a backup: its ${DESCRIPTION_FILE} is missing or not of a format this release reads. Choose another backup.`,
      { cause },
    );
  let fields: Record<string, unknown>;
  try {
    // An object or not, its fields are checked one by one below.
    fields = Object(JSON.parse(readFileSync(join(folder, DESCRIPTION_FILE), 'utf8'))) as Record<string, unknown>;
  } catch (cause) {
    throw refusal(cause);
  }
  const { format, createdAtMs, epoch, journalSegment, schema } = fields;
  if (
    format !== BACKUP_FORMAT ||
    !isCount(createdAtMs) ||
    !isCount(epoch) ||
    !isCount(journalSegment) ||
    !isCount(schema)
  ) {
    throw refusal();
  }
  return { format, createdAtMs, epoch, journalSegment, schema, databaseFile: join(folder, DATABASE_FILE) };
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (cause) {
    throw new StoreRefusal(
      'backup_folder_exists',
      'Making a backup: the folder could not be made. Name one that does not exist, in a folder that does.',
      { cause },
    );
  }
}

async function copyDatabase(from: string, to: string): Promise<{ epoch: number; schema: number }> {
  closeSync(openSync(to, 'wx', 0o600));
  const source = new DatabaseSync(from, { readOnly: true, timeout: 5000 });
  try {
    // One open read transaction for the whole copy: it shows a single moment, and writes do not make the copy start again.
    source.exec('BEGIN');
    const epoch = Number(source.prepare('SELECT epoch FROM store_epoch WHERE singleton = 1').get()?.epoch);
    const schema = schemaNumber(source);
    await backup(source, to, { rate: PAGES_PER_STEP });
    syncFile(to);
    return { epoch, schema };
  } finally {
    source.close();
  }
}

export function syncFile(file: string): void {
  const descriptor = openSync(file, 'r+');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
