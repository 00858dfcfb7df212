/**
 * The embedded engine: SQLite in Node itself, one file in the data folder, one handle that writes and one that cannot.
 *
 * Life: open (folder and file made 0700 and 0600, migrated) → read and write → close (taken writes are answered first).
 * Reads and writes run on the caller's thread; `group-commit.ts` shares commits, `handle.ts` holds the pragmas.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../world/clock.ts';
import { StoreUnavailable } from './errors.ts';
import { GroupCommit, MAX_WORK_MS } from './group-commit.ts';
import { type HandleRole, SqliteHandle } from './handle.ts';
import { CollectedJournal, type Journal, JournalFolder } from './journal.ts';
import { migrate } from './migrate.ts';
import type { Migration } from './migration-files.ts';
import type { Act, ActOutcome, JournalEntry, Sql, SqlValue, Store, Transaction } from './store.ts';

export const DATABASE_FILE = 'countersign.db';

/** Where the revocation journal of a data folder stands unless the operator puts it on another disk. */
export function defaultJournalFolder(dataFolder: string): string {
  return join(dataFolder, 'journal');
}

/** `collected` is for tests: nothing survives, and a restore ends every grant. */
export type JournalPlace = { kind: 'folder'; folder: string } | { kind: 'collected'; entries: JournalEntry[] };

export interface SqliteStoreOptions {
  readonly dataFolder: string;
  readonly journal: JournalPlace;
  readonly clock: Clock;
  /** Default: those of this release. */
  readonly migrationsFolder?: string;
  /** Default: `MAX_WORK_MS`. */
  readonly maxWorkMs?: number;
}

/**
 * Opens the database of a data folder, makes it if there is none, and migrates it.
 *
 * Throws `StoreRefusal` when it is newer than this release, was migrated by other files, or stands on a file system without a
 * write-ahead log; `StoreUnavailable` when another process holds its write lock.
 */
export function openSqliteStore(options: SqliteStoreOptions): SqliteStore {
  return new SqliteStore(options);
}

export class SqliteStore implements Store {
  readonly engine = 'sqlite';
  readonly read: Sql;
  readonly file: string;
  /** Migrations that opening applied; empty when the schema was already that of this release. */
  readonly applied: readonly Migration[];
  readonly #writer: SqliteHandle;
  readonly #reader: SqliteHandle;
  readonly #journal: Journal;
  readonly #group: GroupCommit;
  #closing: Promise<void> | undefined;

  constructor({ dataFolder, journal, clock, migrationsFolder, maxWorkMs = MAX_WORK_MS }: SqliteStoreOptions) {
    mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
    this.file = join(dataFolder, DATABASE_FILE);
    // SQLite gives its log the mode of the database; made by SQLite, both would be readable by everybody.
    closeSync(openSync(this.file, 'a', 0o600));
    this.#writer = new SqliteHandle({ file: this.file, role: 'writer' });
    try {
      const folder = migrationsFolder === undefined ? {} : { folder: migrationsFolder };
      this.applied = migrate({ database: this.#writer.database, clock, ...folder });
      this.#journal =
        journal.kind === 'collected'
          ? new CollectedJournal(journal.entries)
          : new JournalFolder({
              folder: journal.folder,
              describe: () => ({ epoch: readEpoch(this.#writer), nowMs: clock.now() }),
            });
      this.#reader = new SqliteHandle({ file: this.file, role: 'reader' });
    } catch (error) {
      this.#writer.close();
      throw error;
    }
    this.#group = new GroupCommit({ writer: this.#writer, journal: this.#journal, maxWorkMs });
    this.read = new ReadSql(this.#reader);
  }

  write<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#group.write(work);
  }

  commit(act: Act): Promise<ActOutcome> {
    return this.#group.commit(act);
  }

  async epoch(): Promise<number> {
    return readEpoch(this.#reader);
  }

  /** After a refused commit only one that reaches the disk shows that the disk takes them again; an empty one would not. */
  async assertUsable(): Promise<void> {
    await this.epoch();
    if (!this.#group.isRefused) return;
    await this.write(async (tx) => {
      // Back and forth: SQLite leaves out the page of an update that changes nothing.
      await tx.run('UPDATE store_epoch SET changed_at_ms = changed_at_ms + 1 WHERE singleton = 1');
      await tx.run('UPDATE store_epoch SET changed_at_ms = changed_at_ms - 1 WHERE singleton = 1');
    });
    this.#group.isRefused = false;
  }

  close(): Promise<void> {
    this.#closing ??= this.#group.close().then(() => {
      this.#reader.close();
      this.#journal.close();
      // Last, so that it moves the log into the database and removes it.
      this.#writer.close();
    });
    return this.#closing;
  }

  /**
   * Begins a journal segment under the write lock: every line of an older segment belongs to a commit that has ended. Returns
   * its number.
   */
  startJournalSegment({ startedAtMs }: { startedAtMs: number }): Promise<number> {
    return this.write(async () => this.#journal.startSegment({ startedAtMs, epoch: readEpoch(this.#writer) }));
  }

  /** Commits made and writes in them since opening. */
  get counts(): { commits: number; writes: number } {
    return this.#group.counts;
  }

  /** What every pragma of each handle reads back as. */
  pragmas(): Record<HandleRole, Record<string, string | number>> {
    return { writer: this.#writer.pragmas(), reader: this.#reader.pragmas() };
  }
}

function readEpoch(handle: SqliteHandle): number {
  const row = handle.get('SELECT epoch FROM store_epoch WHERE singleton = 1', []);
  if (typeof row !== 'object' || row === null || !('epoch' in row) || typeof row.epoch !== 'number') {
    throw new StoreUnavailable('Reading the epoch: the store has none. Migrate it first.');
  }
  return row.epoch;
}

class ReadSql implements Sql {
  readonly #reader: SqliteHandle;

  constructor(reader: SqliteHandle) {
    this.#reader = reader;
  }

  async all<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row[]> {
    // The caller's claim about the constant text beside it, as in every `table.ts`.
    return this.#open().all(text, values) as Row[];
  }

  async get<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row | undefined> {
    // As above.
    return this.#open().get(text, values) as Row | undefined;
  }

  #open(): SqliteHandle {
    if (!this.#reader.database.isOpen) throw new StoreUnavailable('Reading: the store is closed.');
    return this.#reader;
  }
}
