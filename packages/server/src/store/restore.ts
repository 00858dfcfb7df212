/**
 * The way back from a backup: a security event, because the copy does not know what was taken back since it was made.
 *
 *   copy aside → check it → raise its epoch → settle (the domains end what must end) → put it in place
 *
 * Until the last step nothing at the database's place has changed, so a crash half-way never leaves a restored database that
 * was not settled. What dies is the caller's part; this one says whether the journal is complete.
 */
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../world/clock.ts';
import { readBackup, syncFile } from './backup.ts';
import { raiseEpoch } from './epoch.ts';
import { SQLITE_BUSY, StoreRefusal, sqlitePrimaryCode } from './errors.ts';
import { syncFolder } from './journal.ts';
import { type JournalSince, journalEpoch, journalSince } from './journal-reading.ts';
import { DATABASE_FILE, openSqliteStore } from './sqlite.ts';
import type { Store } from './store.ts';

/** Inside the data folder, so that the last step is a rename within one file system. Whatever an earlier try left goes. */
const STAGING_FOLDER = 'restoring';

/** How long to wait for another process to let go of the database that is being replaced. */
const IN_USE_WAIT_MS = 500;

/** The copy before it is put in place. Its writes go to the real journal. */
export interface RestoredCopy {
  readonly store: Store;
  readonly epoch: number;
  /** When the backup was made: what was issued later is not in it. */
  readonly backupAtMs: number;
  readonly journal: JournalSince;
}

export interface RestoreResult {
  readonly epoch: number;
  readonly schema: number;
  readonly backupAtMs: number;
  readonly journal: { kind: 'complete'; fromSegment: number } | { kind: 'missing'; why: string };
  /** Where the database that stood there was kept; undefined when there was none. */
  readonly keptAside: string | undefined;
}

export interface RestoreOptions {
  readonly backupFolder: string;
  readonly dataFolder: string;
  readonly journalFolder: string;
  readonly clock: Clock;
  /** Replace an existing database; it is kept aside under another name. Default false: refuse. */
  readonly force?: boolean;
  /**
   * The database that would be replaced was exported, and the caller vouches that nobody serves from that export. Default false: refuse,
   * for two homes would each accept what the other took back.
   */
  readonly wasNeverImported?: boolean;
  /** Do as if the journal were lost, e.g. because it is damaged. Default false. */
  readonly withoutJournal?: boolean;
  /** Applies the rule of restores to the copy. If it throws, the restore is off and nothing has changed. */
  readonly settle: (copy: RestoredCopy) => Promise<void>;
}

/**
 * Puts a backup in the place of the database. The new epoch is above the backup's, the replaced database's (if it can still be
 * read) and every one the journal names.
 *
 * Throws `StoreRefusal`: `backup_incomplete`, `database_exists`, `export_completed`, `database_in_use`, `database_damaged` (the copy),
 * `journal_damaged` (through `settle`), or those of opening.
 */
export async function restoreDatabase(options: RestoreOptions): Promise<RestoreResult> {
  const { backupFolder, dataFolder, journalFolder, clock, force = false, withoutJournal = false, settle } = options;
  const backup = readBackup(backupFolder);
  const target = join(dataFolder, DATABASE_FILE);
  if (existsSync(target) && !force) {
    throw new StoreRefusal(
      'database_exists',
      'Restoring: the data folder already has a database. Use --force to replace it; it will be kept under another name.',
    );
  }
  const replaced = existsSync(target) ? holdReplaced(target) : undefined;
  try {
    if (replaced?.hasMovedAway && !options.wasNeverImported) throw movedAway();
    const staging = stageCopy({ databaseFile: backup.databaseFile, dataFolder });
    const journal: JournalSince = withoutJournal
      ? { kind: 'missing', why: 'it was left out by request' }
      : journalSince({ folder: journalFolder, fromSegment: backup.journalSegment, startedAtMs: backup.createdAtMs });
    const aboveEpoch = Math.max(backup.epoch, replaced?.epoch ?? 0, journalEpoch(journalFolder));
    const store = openSqliteStore({ dataFolder: staging, clock, journal: { kind: 'folder', folder: journalFolder } });
    let epoch: number;
    let schema: number;
    try {
      epoch = await store.write((tx) => raiseEpoch(tx, { aboveEpoch, reason: 'restored', atMs: clock.now() }));
      await store.startJournalSegment({ startedAtMs: clock.now() });
      await settle({ store, epoch, backupAtMs: backup.createdAtMs, journal });
      schema =
        (await store.read.get<{ number: number }>('SELECT max(number) AS number FROM schema_migration'))?.number ?? 0;
    } finally {
      await store.close();
    }
    replaced?.release();
    const keptAside = putInPlace({ staged: join(staging, DATABASE_FILE), target, nowMs: clock.now() });
    rmSync(staging, { recursive: true });
    const { kind } = journal;
    return {
      epoch,
      schema,
      backupAtMs: backup.createdAtMs,
      journal: kind === 'complete' ? { kind, fromSegment: journal.fromSegment } : { kind, why: journal.why },
      keptAside,
    };
  } finally {
    replaced?.release();
  }
}

/**
 * Reads the epoch of the database that is being replaced and whether its export is whole, folds its log into it and keeps every other process out until it is
 * released. One that cannot be read, perhaps the reason for the restore, has no say.
 */
function holdReplaced(file: string): { epoch: number; hasMovedAway: boolean; release: () => void } | undefined {
  // Opening a file that is no database at all would remove its log, perhaps the only thing left to rescue.
  if (!hasDatabaseHeader(file)) return undefined;
  const database = new DatabaseSync(file, { timeout: IN_USE_WAIT_MS });
  const release = (): void => {
    if (database.isOpen) database.close();
  };
  try {
    // Leaving the write-ahead log needs the only handle there is: any running server is found out by it.
    database.exec('PRAGMA journal_mode = DELETE');
    database.exec('BEGIN EXCLUSIVE');
    const epoch = Number(database.prepare('SELECT epoch FROM store_epoch WHERE singleton = 1').get()?.epoch ?? 0);
    return { epoch, hasMovedAway: hasMovedAway(database), release };
  } catch (cause) {
    release();
    if (sqlitePrimaryCode(cause) !== SQLITE_BUSY) return undefined;
    throw new StoreRefusal(
      'database_in_use',
      'Restoring: another process uses the database that would be replaced. Stop the server and try again.',
      { cause },
    );
  }
}

/** A database of an earlier release has no fence. */
function hasMovedAway(database: DatabaseSync): boolean {
  const table = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'store_fence'").get();
  if (table === undefined) return false;
  const moved = "SELECT 1 FROM store_fence WHERE kind = 'leaving' AND completed_at_ms IS NOT NULL";
  return database.prepare(moved).get() !== undefined;
}

function movedAway(): StoreRefusal {
  return new StoreRefusal(
    'export_completed',
    'Restoring: the database that would be replaced was exported, and its users may be served from its new home. If the export was never ' +
      'imported, destroy every copy of it, then add --never-imported. If it was, restore there.',
  );
}

/** The first 16 bytes of every SQLite 3 file (sqlite.org/fileformat2.html §1.3). */
function hasDatabaseHeader(file: string): boolean {
  const descriptor = openSync(file, 'r');
  try {
    const header = Buffer.alloc(16);
    return readSync(descriptor, header, 0, 16, 0) === 16 && header.toString('latin1') === 'SQLite format 3\0';
  } finally {
    closeSync(descriptor);
  }
}

function stageCopy({ databaseFile, dataFolder }: { databaseFile: string; dataFolder: string }): string {
  const staging = join(dataFolder, STAGING_FOLDER);
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true, mode: 0o700 });
  const copy = join(staging, DATABASE_FILE);
  copyFileSync(databaseFile, copy, constants.COPYFILE_EXCL);
  chmodSync(copy, 0o600);
  verify(copy);
  return staging;
}

/** Checks every page and index, and every reference. */
function verify(file: string): void {
  const damaged = (cause?: unknown): StoreRefusal =>
    new StoreRefusal('database_damaged', 'Restoring: the copy of the database is damaged. Choose another backup.', {
      cause,
    });
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file);
    const findings = database.prepare('PRAGMA integrity_check').all();
    if (findings.length !== 1 || findings[0]?.integrity_check !== 'ok') throw damaged();
    if (database.prepare('PRAGMA foreign_key_check').all().length > 0) throw damaged();
  } catch (cause) {
    throw cause instanceof StoreRefusal ? cause : damaged(cause);
  } finally {
    database?.close();
  }
}

/** The name always shows a whole database, the old one or the new: an absent one would be made anew, empty, at the next start. */
function putInPlace(options: { staged: string; target: string; nowMs: number }): string | undefined {
  const { staged, target, nowMs } = options;
  const keptAside = existsSync(target) ? `${target}.replaced-${nowMs}` : undefined;
  if (keptAside !== undefined) {
    // A log left by a database that could not be read must not be taken for the new one's.
    for (const suffix of ['-wal', '-shm']) {
      if (existsSync(target + suffix)) renameSync(target + suffix, keptAside + suffix);
    }
    try {
      linkSync(target, keptAside);
    } catch {
      copyFileSync(target, keptAside, constants.COPYFILE_EXCL);
    }
  }
  syncFile(staged);
  renameSync(staged, target);
  syncFolder(join(target, '..'));
  return keptAside;
}
