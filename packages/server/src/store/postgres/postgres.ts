/**
 * The engine for many nodes: PostgreSQL 15 or later, through `pg`. Nodes share nothing but the database.
 *
 *     write(work)   BEGIN ISOLATION LEVEL SERIALIZABLE → work → journal → COMMIT → after-commits; again where somebody else came first
 *     commit(act)   journal → one prepared statement, committed by itself at REPEATABLE READ → after-commits; again likewise
 *     read          connections that cannot write, to the same server: whatever was acknowledged is seen
 *
 * Connections and waits are bounded (`connections.ts`). A commit whose answer was lost is looked for, not repeated (`resolving.ts`).
 */
import type { Bus } from '../../world/bus.ts';
import { postgresBus } from '../../world/bus-postgres.ts';
import type { Clock } from '../../world/clock.ts';
import { type Random, systemRandom } from '../../world/random.ts';
import { type Stopwatch, systemStopwatch } from '../../world/stopwatch.ts';
import { StoreUnavailable } from '../errors.ts';
import type { Act, ActOutcome, Sql, SqlValue, Store, Transaction } from '../store.ts';
import { ActStatements } from './act-statement.ts';
import { Acts } from './acts.ts';
import type { Answer } from './connection.ts';
import { Connections, clientConfig, type DatabasePlace } from './connections.ts';
import { ConnectionLost, Overtaken } from './failures.ts';
import { migratePostgres, type PostgresMigration } from './migrating.ts';
import { Recording } from './recording.ts';
import { Resolving } from './resolving.ts';
import { openSharedJournal, type SharedJournal, type SharedJournalPlace } from './shared-journal.ts';
import { PooledSql } from './transaction.ts';
import { Works } from './works.ts';

/**
 * Connections of a node that write, and as many again that read. Two cores of a database carry about this many at their best, and the
 * hundred that PostgreSQL allows by default carry five nodes.
 */
export const DEFAULT_CONNECTIONS = 10;

export interface PostgresStoreOptions extends DatabasePlace {
  readonly journal: SharedJournalPlace;
  readonly clock: Clock;
  readonly random?: Random;
  readonly stopwatch?: Stopwatch;
  /** Default: `DEFAULT_CONNECTIONS`. */
  readonly connections?: number;
  /** Default: those of this release. */
  readonly migrationsFolder?: string;
  /** Default: `MAX_WORK_MS` of works.ts. */
  readonly maxWorkMs?: number;
  /** What one statement may take at the server. Default: `STATEMENT_TIMEOUT_MS` of connections.ts. */
  readonly statementTimeoutMs?: number;
}

/**
 * Opens a database that exists, and migrates it.
 *
 * Throws `StoreRefusal` when it is newer than this release, was migrated by other files, or holds somebody else's tables;
 * `StoreUnavailable` when it cannot be reached, or another node does not end migrating it.
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<PostgresStore> {
  const { clock, random = systemRandom, stopwatch = systemStopwatch, connections = DEFAULT_CONNECTIONS } = options;
  const { url, caFile, migrationsFolder, statementTimeoutMs } = options;
  const place: DatabasePlace = { url, caFile };
  const applied = await migratePostgres({
    ...{ place, clock, random, stopwatch },
    ...(migrationsFolder !== undefined && { folder: migrationsFolder }),
  });
  const pool = { place, size: connections, ...(statementTimeoutMs !== undefined && { statementTimeoutMs }) };
  const writers = new Connections({ ...pool, role: 'writer' });
  const readers = new Connections({ ...pool, role: 'reader' });
  try {
    const epoch = await readEpoch(readers);
    const journal = openSharedJournal(options.journal, () => ({ epoch, nowMs: clock.now() }));
    return new PostgresStore({ ...options, place, applied, writers, readers, journal, random, stopwatch });
  } catch (error) {
    await Promise.all([writers.close(), readers.close()]);
    throw error;
  }
}

export class PostgresStore implements Store {
  readonly engine = 'postgresql';
  readonly read: Sql;
  /** Migrations that opening applied; empty when the schema was already that of this release. */
  readonly applied: readonly PostgresMigration[];
  readonly #place: DatabasePlace;
  readonly #writers: Connections;
  readonly #readers: Connections;
  readonly #journal: SharedJournal;
  readonly #works: Works;
  readonly #acts: Acts;
  /** The last write failed by an outage; whoever sees that writes are taken again sets it back. */
  #isRefused = false;
  #closing: Promise<void> | undefined;

  constructor(given: {
    place: DatabasePlace;
    applied: readonly PostgresMigration[];
    writers: Connections;
    readers: Connections;
    journal: SharedJournal;
    random: Random;
    stopwatch: Stopwatch;
    maxWorkMs?: number;
  }) {
    const { writers, readers, journal, random, stopwatch, maxWorkMs } = given;
    this.#place = given.place;
    this.applied = given.applied;
    this.#writers = writers;
    this.#readers = readers;
    this.#journal = journal;
    const resolving = new Resolving({ connections: writers, stopwatch });
    const recording = new Recording(journal);
    const parts = { connections: writers, recording, resolving, random, stopwatch, statements: new ActStatements() };
    this.#works = new Works({ ...parts, ...(maxWorkMs !== undefined && { maxWorkMs }) });
    this.#acts = new Acts(parts);
    this.read = new PooledSql((text, values) => readOn(readers, text, values));
  }

  write<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#noticing(this.#works.write(work));
  }

  commit(act: Act): Promise<ActOutcome> {
    return this.#noticing(this.#acts.commit(act));
  }

  /** On which nodes over this database hear each other: a connection of its own for each that is opened. */
  bus(): Bus {
    return postgresBus(clientConfig(this.#place));
  }

  epoch(): Promise<number> {
    return readEpoch(this.#readers);
  }

  /** After a refused commit only one that is taken shows that commits are taken again. */
  async assertUsable(): Promise<void> {
    await this.epoch();
    if (!this.#isRefused) return;
    await this.write((tx) => tx.run('UPDATE store_epoch SET changed_at_ms = changed_at_ms WHERE singleton = 1'));
    this.#isRefused = false;
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.all([this.#works.close(), this.#acts.close()]);
      await Promise.all([this.#writers.close(), this.#readers.close()]);
      await this.#journal.close();
    })();
    return this.#closing;
  }

  async #noticing<T>(writing: Promise<T>): Promise<T> {
    try {
      return await writing;
    } catch (error) {
      if (error instanceof StoreUnavailable) this.#isRefused = true;
      throw error;
    }
  }
}

/** A read changes nothing, so one whose connection broke is made again: after a restart of the database every connection is a broken one. */
const MAX_READS = 3;

async function readOn(readers: Connections, text: string, values: readonly SqlValue[]): Promise<Answer> {
  for (let made = 1; ; made += 1) {
    try {
      return await readers.use(async (connection) => {
        try {
          return await connection.run(text, values);
        } catch (error) {
          if (error instanceof Overtaken && error.needsNewConnection) connection.isLost = true;
          throw error;
        }
      });
    } catch (error) {
      const isPassing = error instanceof ConnectionLost || error instanceof Overtaken;
      if (!isPassing || made === MAX_READS) throw error;
    }
  }
}

async function readEpoch(readers: Connections): Promise<number> {
  const { rows } = await readers.use((connection) =>
    connection.run('SELECT epoch FROM store_epoch WHERE singleton = 1', []),
  );
  const [row] = rows as { epoch: number }[]; // by the constant text above
  if (row === undefined) throw new StoreUnavailable('Reading the epoch: the store has none. Migrate it first.');
  return row.epoch;
}
