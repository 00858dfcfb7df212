/**
 * Brings a PostgreSQL database to the schema of this release, while nodes of the release before run on it.
 *
 *     what is missing is read → (nothing: done) → the lock is taken, never waited for inside a transaction → read again →
 *     each in a transaction of its own: short wait for locks, its statements, its row → COMMIT
 *
 * One process migrates at a time. A statement that waits for a lock on a table holds up whoever comes after it, so it waits for two
 * seconds, gives up, and tries again later; likewise where PostgreSQL ends it because it and a node wait for each other. Resumable: what was applied stays, the next start goes on.
 */
import pg from 'pg';
import type { Clock } from '../../world/clock.ts';
import type { Random } from '../../world/random.ts';
import type { Stopwatch } from '../../world/stopwatch.ts';
import { afterMs } from '../../world/turn.ts';
import { StoreRefusal, StoreUnavailable } from '../errors.ts';
import { type AppliedMigration, MIGRATIONS_FOLDER, missingMigrations, readMigrations } from '../migration-files.ts';
import { clientConfig, type DatabasePlace } from './connections.ts';
import { indexesToMake, type PostgresMigration, postgresMigration } from './dialect.ts';
import { codeOf, connectingFailed, isHeldUp } from './failures.ts';

export type { PostgresMigration } from './dialect.ts';

/** The lock that says who migrates: a number that nobody else would use ("countsgn" as bytes). */
const LOCK = '7166465768906778478';

/** How long a start waits for another node that migrates. A large index takes minutes: the start then fails, and is tried again. */
const LOCK_WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 250;

/** How long others may be held up by one who waits for a lock. */
const LOCK_TIMEOUT_MS = 2_000;

/** With pauses of up to some seconds: a table that is never free for a moment in five minutes needs a person. */
const MAX_TRIES = 60;
const LONGEST_PAUSE_MS = 5_000;

export interface PostgresMigrating {
  readonly place: DatabasePlace;
  readonly clock: Clock;
  readonly random: Random;
  readonly stopwatch: Stopwatch;
  readonly folder?: string;
}

/**
 * Applies what is missing and returns it, in order. Throws `StoreRefusal`: `migration_misnamed`, `migration_missing`,
 * `migration_changed`, `migration_failed`, `database_newer`, `database_foreign`; `StoreUnavailable`.
 */
export async function migratePostgres(given: PostgresMigrating): Promise<PostgresMigration[]> {
  const migrations = migrationsOf(given.folder);
  return withClient(given.place, async (client) => {
    if (missingMigrations(migrations, await readApplied(client)).length === 0) return [];
    await takeLock(client, given.stopwatch);
    // What another process applied meanwhile is seen.
    const missing = missingMigrations(migrations, await readApplied(client));
    await prepareTable(client);
    for (const migration of missing) await apply(client, migration, given);
    return missing;
  });
}

/** What `migratePostgres` would apply. Changes nothing. */
export async function missingOnPostgres(
  given: Pick<PostgresMigrating, 'place' | 'folder'>,
): Promise<PostgresMigration[]> {
  return withClient(given.place, async (client) =>
    missingMigrations(migrationsOf(given.folder), await readApplied(client)),
  );
}

/** Whether a database has any schema of this. */
export async function isMigrated(place: DatabasePlace): Promise<boolean> {
  return withClient(place, async (client) => (await readApplied(client)).length > 0);
}

function migrationsOf(folder = MIGRATIONS_FOLDER): PostgresMigration[] {
  return readMigrations(folder).map(postgresMigration);
}

/** The connection ends with the work, and the lock with it, however it ends. */
async function withClient<T>(place: DatabasePlace, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(clientConfig(place));
  // Whoever awaits the statement hears of it; the event would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    // Filling a new column of a large table takes its time, whatever is allowed to a request.
    await client.query(`SET SESSION lock_timeout = ${LOCK_TIMEOUT_MS}; SET SESSION statement_timeout = 0`);
  } catch (error) {
    await client.end().catch(() => {});
    throw connectingFailed(error);
  }
  try {
    return await work(client);
  } catch (error) {
    if (error instanceof StoreRefusal || error instanceof StoreUnavailable) throw error;
    throw new StoreUnavailable(`Migrating the database: it did not carry on (${codeOf(error)}). Start again to go on.`);
  } finally {
    await client.end().catch(() => {});
  }
}

async function readApplied(client: pg.Client): Promise<AppliedMigration[]> {
  const { rows: found } = await client.query<{ is_there: number; others: number }>(
    `SELECT to_regclass('schema_migration') IS NOT NULL AS is_there,
       (SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()) AS others`,
  );
  if (found[0]?.is_there !== 1) {
    if ((found[0]?.others ?? 0) === 0) return [];
    throw new StoreRefusal(
      'database_foreign',
      'Opening the database: it holds tables, and none of them is of this. Make a database of its own for it.',
    );
  }
  const { rows } = await client.query<AppliedMigration>(
    'SELECT number, sha256, runs_from AS "runsFrom" FROM schema_migration ORDER BY number',
  );
  return rows;
}

/** Asked for again and again: whoever waited for it inside a statement would hold up an index that is being made. */
async function takeLock(client: pg.Client, stopwatch: Stopwatch): Promise<void> {
  const untilMs = stopwatch.monotonicMs() + LOCK_WITHIN_MS;
  for (;;) {
    const { rows } = await client.query<{ taken: number }>(`SELECT pg_try_advisory_lock(${LOCK}) AS taken`);
    if (rows[0]?.taken === 1) return;
    if (stopwatch.monotonicMs() > untilMs) {
      throw new StoreUnavailable('Migrating the database: another node is at it still. Start again when it has ended.');
    }
    await pause(LOOK_EVERY_MS);
  }
}

async function prepareTable(client: pg.Client): Promise<void> {
  await client.query(`CREATE TABLE IF NOT EXISTS schema_migration (
    number         BIGINT PRIMARY KEY,
    name           TEXT NOT NULL,
    sha256         TEXT NOT NULL,
    runs_from      BIGINT NOT NULL,
    applied_at_ms  BIGINT NOT NULL
  )`);
}

async function apply(client: pg.Client, migration: PostgresMigration, given: PostgresMigrating): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      if (migration.isOutsideTransaction) await makeIndexes(client, migration);
      await inTransaction(client, migration, given.clock);
      return;
    } catch (error) {
      if (!isHeldUp(error)) throw migrationFailed(migration, error);
      if (tried === MAX_TRIES) {
        throw new StoreUnavailable(
          `Migrating the database: ${migration.name} found its tables locked for minutes. Look for a long transaction.`,
        );
      }
    }
    const [drawn = 0] = given.random.bytes(1);
    await pause(Math.min(100 * 2 ** tried, LONGEST_PAUSE_MS) * (0.5 + drawn / 510));
  }
}

async function inTransaction(client: pg.Client, migration: PostgresMigration, clock: Clock): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query('SAVEPOINT migration');
    if (!migration.isOutsideTransaction) await client.query(migration.text);
    // Fails where the text has ended the transaction by itself.
    await client.query('RELEASE migration');
    await client.query(
      'INSERT INTO schema_migration (number, name, sha256, runs_from, applied_at_ms) VALUES ($1, $2, $3, $4, $5)',
      [migration.number, migration.name, migration.sha256, migration.runsFrom, clock.now()],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** Each while others write. One that was broken off left an index that is kept up and never used: it goes first. */
async function makeIndexes(client: pg.Client, migration: PostgresMigration): Promise<void> {
  const indexes = indexesToMake(migration.text);
  if (indexes === undefined) {
    throw new StoreRefusal(
      'migration_failed',
      `Migrating the database: ${migration.name} is to run outside a transaction and holds more than CREATE INDEX. Split it.`,
    );
  }
  // Making one waits for every transaction that is older; nobody waits for it.
  await client.query('SET SESSION lock_timeout = 0');
  for (const { name, isUnique, on } of indexes) {
    const { rows } = await client.query<{ valid: number }>(
      'SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass($1)',
      [name],
    );
    if (rows[0]?.valid === 1) continue;
    if (rows[0] !== undefined) await client.query(`DROP INDEX CONCURRENTLY ${name}`);
    await client.query(`CREATE ${isUnique ? 'UNIQUE ' : ''}INDEX CONCURRENTLY ${name} ON ${on}`);
  }
  await client.query(`SET SESSION lock_timeout = ${LOCK_TIMEOUT_MS}`);
}

function migrationFailed(migration: PostgresMigration, error: unknown): unknown {
  if (error instanceof StoreRefusal || error instanceof StoreUnavailable) return error;
  return new StoreRefusal(
    'migration_failed',
    `Migrating the database: ${migration.name} failed (${codeOf(error)}) and was taken back. ` +
      "The database's log says at which statement; the database is as it was before.",
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void afterMs(ms, resolve));
}
