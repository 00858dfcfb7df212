/**
 * The store: the one place where state lives. This file is the contract; `sqlite.ts` is the embedded engine, and PostgreSQL
 * joins by a second implementation. Both run `conformance.ts`.
 *
 * It owns transactions, migrations, backup, the epoch and the revocation journal. What the tables mean belongs to the domains:
 * each writes its own SQL in its `table.ts`, as plain text with `$1 … $n`, in the dialect common to SQLite and PostgreSQL.
 *
 * A write is acknowledged (its promise fulfils) only after it is durable. Writes that arrive together share one commit, each in
 * a savepoint of its own: one that throws takes only itself back; a failed commit refuses them all.
 */
export interface Store {
  /**
   * Which dialect it speaks beyond the common one, and so how the log of invalidations is read: SQLite has one writer, commits come in
   * the order of positions; PostgreSQL has many, they do not.
   */
  readonly engine: 'sqlite' | 'postgresql';

  /** Reads outside a transaction, through a handle that cannot write. Sees every acknowledged write. */
  readonly read: Sql;

  /**
   * Runs `work` in a transaction and returns its value once the commit is durable. `work` may await only the `tx` it is given
   * (no network, no timers): it holds the one writer. It must decide again whatever was decided from a read outside.
   * Throws what `work` throws, or `StoreUnavailable`.
   */
  write<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;

  /**
   * Does an act: all of its steps in one commit, or none where one met another number of rows than it must. For operations that
   * happen on every request: an engine across a network sends an act as one statement, in one round trip.
   * Throws `StoreUnavailable`.
   */
  commit(act: Act): Promise<ActOutcome>;

  /** Rises at each restore and never falls; resource servers refuse an authority whose epoch went down. */
  epoch(): Promise<number>;

  /** Rejects while the store cannot be read or takes no writes. For probes: costs a read, and after a refused commit one write. */
  assertUsable(): Promise<void>;

  close(): Promise<void>;
}

/** Of a store, what whoever only writes needs. A job writes through its lease (`leases/`), everybody else through the store itself. */
export type Writes = Pick<Store, 'write' | 'commit'>;

export interface Sql {
  all<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row[]>;
  get<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row | undefined>;
}

export interface Transaction extends Sql {
  /** Returns how many rows the statement changed. */
  run(text: string, ...values: SqlValue[]): Promise<number>;
  /**
   * Appends a line to the revocation journal, which stands outside the database and is written before this commit. After a
   * restore its lines are replayed, so that nothing taken back comes to life again. Not queryable, never read while running.
   */
  journal(entry: JournalEntry): void;
  /**
   * Runs `work` once what this transaction did is durable; never if it, or the commit that it shares, was taken back. For waking
   * whoever reads what was written: a process that dies in between loses the call, so nothing may rest on it. `work` does little and
   * awaits nothing; what it throws is lost and hurts nobody.
   */
  afterCommit(work: () => void): void;
  /** Does an act within this transaction. Refused, it leaves nothing behind, and the transaction goes on. */
  do(act: Act): Promise<ActOutcome>;
}

/**
 * What is to be written, decided beforehand. Its steps neither see each other's changes nor change a row twice, and they stand in an
 * order that satisfies foreign keys. Everything it was decided from must be asked again by a step with `must`: between the reading and
 * the commit anything may have changed, and an act that lost a race is done again as it stands.
 */
export interface Act {
  readonly steps: readonly Step[];
  readonly journal?: readonly JournalEntry[];
  readonly afterCommit?: readonly (() => void)[];
  /**
   * A SELECT that finds a row if, and only if, this act was done: by what no other act writes (an id of its own, a random record). An engine
   * whose connection broke before it heard of its commit asks by it. Without one, such an act ends as `StoreUnavailable`.
   */
  readonly footprint?: Pick<Step, 'text' | 'values'>;
}

export interface Step {
  /** INSERT, UPDATE or DELETE without RETURNING, or a SELECT that only asks. A constant of the code. */
  readonly text: string;
  readonly values: readonly SqlValue[];
  /** How many rows it must change or find, and in a word why the act is refused where it does not. Default: any number. */
  readonly must?: { readonly rows: number; readonly why: string };
}

/** `why`: that of the first step, in order, that met another number of rows. */
export type ActOutcome = { kind: 'done' } | { kind: 'refused'; why: string };

/** Times are Unix milliseconds, truth values 0 or 1, digests and sealed values bytes. */
export type SqlValue = string | number | bigint | Uint8Array | null;

/**
 * One thing that must stay so after a restore of an older backup. `grant_rotated` carries the new generation's record (an HMAC,
 * no secret), so that honest clients go on and older generations stay dead.
 */
export type JournalEntry =
  | { kind: 'grant_ended'; grantId: string; atMs: number; reason: string }
  | {
      kind: 'grant_rotated';
      grantId: string;
      generation: number;
      record: Uint8Array;
      bucketVersion: number;
      atMs: number;
    }
  | { kind: 'user_disabled'; userId: string; atMs: number }
  | { kind: 'client_disabled'; clientId: string; atMs: number };

export { joinedActs, onlyDone } from './acts.ts';
export { type BackupDescription, backupStore } from './backup.ts';
export { StoreFenced, StoreRefusal, type StoreRefusalCode, StoreUnavailable } from './errors.ts';
export type { ExportMac } from './export-format.ts';
export type { ExportedRow } from './export-reading.ts';
export { abandonExport, type ExportResult, exportStore } from './exporting.ts';
export { type FenceKind, fenceSentence, readFence, requireUnfenced } from './fence.ts';
export { type ImportResult, importStore } from './importing.ts';
export { type JournalSince, journalOfNodes, type Replayable, readJournal } from './journal-reading.ts';
export { type PlannedMigration, planOnPostgres, planOnSqlite } from './migration-plan.ts';
export { sweepFootprints } from './postgres/footprints.ts';
export { isMigrated } from './postgres/migrating.ts';
export { openPostgresStore, PostgresStore, type PostgresStoreOptions } from './postgres/postgres.ts';
export {
  dropScratchDatabase,
  dropScratchDatabases,
  leaveScratchDatabase,
  makeScratchDatabase,
  openScratchStore,
  type ScratchServer,
  type ScratchStore,
} from './postgres/scratch.ts';
export { type RestoredCopy, type RestoreResult, restoreDatabase } from './restore.ts';
export { setRestorePoint } from './restore-point.ts';
export {
  DATABASE_FILE,
  defaultJournalFolder,
  type JournalPlace,
  openSqliteStore,
  type SqliteStore,
  type SqliteStoreOptions,
} from './sqlite.ts';
