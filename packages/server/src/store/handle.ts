/**
 * One open SQLite database: its pragmas, its prepared statements, and the translation of engine failures. The store holds two
 * of them, one that writes and one that cannot.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { isOutage, isRaised, StoreFenced, StoreRefusal, StoreUnavailable } from './errors.ts';
import { FENCE_SIGNAL } from './fence.ts';
import { numberedPlaceholders } from './placeholders.ts';
import type { SqlValue } from './store.ts';

/** How long a statement waits for another process (the command line beside the server) to finish its write. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * Statement texts are constants of the code, some hundreds in all; the bound only keeps a text built from input, which would
 * be a bug, from filling memory. A prepared statement holds about 5 kB.
 */
export const MAX_STATEMENTS = 512;

export type HandleRole = 'writer' | 'reader';

/** Every pragma that differs from what we want by default somewhere, with what reads back once it is set. */
const COMMON_PRAGMAS: readonly Pragma[] = [
  // First, so that setting the others waits for a second process that opens at the same moment.
  { name: 'busy_timeout', set: String(BUSY_TIMEOUT_MS) },
  // A commit is acknowledged only when it is on the disk. NORMAL loses acknowledged commits in a power cut.
  { name: 'synchronous', set: 'FULL' },
  // On macOS fsync alone leaves data in the drive's cache. No effect elsewhere.
  { name: 'fullfsync', set: 'ON' },
  { name: 'checkpoint_fullfsync', set: 'ON' },
  { name: 'foreign_keys', set: 'ON' },
  // Whoever can write the file must not be able to run functions through its schema.
  { name: 'trusted_schema', set: 'OFF' },
  // 8 MiB of pages for each handle: the inner pages of every index, while the process stays small. The rest is the system's cache.
  { name: 'cache_size', set: '-8192' },
  // Sorting spills to memory: a temporary file would be one more place that holds rows.
  { name: 'temp_store', set: 'MEMORY' },
];

const WRITER_PRAGMAS: readonly Pragma[] = [
  { name: 'journal_mode', set: 'WAL' },
  // 4 MiB of log, then its pages move to the database. Longer logs save few syncs and make each read look further.
  { name: 'wal_autocheckpoint', set: '1000' },
  // A backup that held the log open lets it grow; afterwards it shrinks to this again (64 MiB).
  { name: 'journal_size_limit', set: '67108864' },
  // What is erased (a sent mail, a replaced answer) is overwritten with zeros, not left in a free page of the file.
  { name: 'secure_delete', set: 'ON' },
];

// Also refuses writes when the file system ignores how the file was opened.
const READER_PRAGMAS: readonly Pragma[] = [{ name: 'query_only', set: 'ON' }];

interface Pragma {
  readonly name: string;
  readonly set: string;
}

interface Prepared {
  readonly statement: StatementSync;
  readonly parameters: number;
}

export class SqliteHandle {
  readonly database: DatabaseSync;
  readonly #role: HandleRole;
  /** In order of last use, oldest first. */
  readonly #statements = new Map<string, Prepared>();

  constructor({ file, role }: { file: string; role: HandleRole }) {
    this.#role = role;
    this.database = new DatabaseSync(file, {
      readOnly: role === 'reader',
      timeout: BUSY_TIMEOUT_MS,
      defensive: true,
      allowExtension: false,
      enableDoubleQuotedStringLiterals: false,
    });
    try {
      for (const pragma of pragmasOf(role)) this.database.exec(`PRAGMA ${pragma.name} = ${pragma.set}`);
      if (this.pragmas().journal_mode !== 'wal') {
        throw new StoreRefusal(
          'write_ahead_log_refused',
          'Opening the database: its file system does not carry a write-ahead log. Put the data folder on a local disk.',
        );
      }
    } catch (error) {
      this.database.close();
      throw isOutage(error)
        ? new StoreUnavailable('Opening the database: another process holds it, or its disk did not answer.', {
            cause: error,
          })
        : error;
    }
  }

  /** What each pragma this handle relies on reads back as. */
  pragmas(): Record<string, string | number> {
    const values: Record<string, string | number> = {};
    for (const name of new Set(['journal_mode', ...pragmasOf(this.#role).map((pragma) => pragma.name)])) {
      const row = this.database.prepare(`PRAGMA ${name}`).get();
      const value = row === undefined ? undefined : Object.values(row)[0];
      if (typeof value === 'string' || typeof value === 'number') values[name] = value;
    }
    return values;
  }

  get statementCount(): number {
    return this.#statements.size;
  }

  all(text: string, values: readonly SqlValue[]): unknown[] {
    return this.#execute(text, values, (statement) => statement.all(...values));
  }

  get(text: string, values: readonly SqlValue[]): unknown {
    return this.#execute(text, values, (statement) => statement.get(...values));
  }

  run(text: string, values: readonly SqlValue[]): number {
    return this.#execute(text, values, (statement) => Number(statement.run(...values).changes));
  }

  close(): void {
    this.#statements.clear();
    this.database.close();
  }

  #execute<T>(text: string, values: readonly SqlValue[], use: (statement: StatementSync) => T): T {
    try {
      const { statement, parameters } = this.#prepared(text);
      // SQLite reads a missing value as NULL, which would silently change what a condition means.
      if (values.length !== parameters) {
        throw new TypeError(`Running a statement: it takes ${parameters} values and was given ${values.length}.`);
      }
      return use(statement);
    } catch (error) {
      if (isRaised(error, FENCE_SIGNAL)) throw new StoreFenced({ cause: error });
      if (isOutage(error)) {
        throw new StoreUnavailable('Running a statement: the database did not answer. Look at disk and permissions.', {
          cause: error,
        });
      }
      throw error;
    }
  }

  #prepared(text: string): Prepared {
    const known = this.#statements.get(text);
    if (known !== undefined) {
      this.#statements.delete(text);
      this.#statements.set(text, known);
      return known;
    }
    const numbered = numberedPlaceholders(text);
    const prepared = { statement: this.database.prepare(numbered.text), parameters: numbered.count };
    this.#statements.set(text, prepared);
    if (this.#statements.size > MAX_STATEMENTS) {
      const oldest = this.#statements.keys().next();
      if (!oldest.done) this.#statements.delete(oldest.value);
    }
    return prepared;
  }
}

function pragmasOf(role: HandleRole): readonly Pragma[] {
  return [...COMMON_PRAGMAS, ...(role === 'writer' ? WRITER_PRAGMAS : READER_PRAGMAS)];
}
