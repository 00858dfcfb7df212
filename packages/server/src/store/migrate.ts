/**
 * Brings a SQLite database to the schema of this release: each migration is applied once, in order, in a transaction of its own. Resumable: what was applied stays, the next start goes on. Two processes that start together
 * wait for each other at the write lock, and the second finds the work done.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../world/clock.ts';
import { SQLITE_BUSY, StoreRefusal, StoreUnavailable, sqlitePrimaryCode } from './errors.ts';
import {
  type AppliedMigration,
  MIGRATIONS_FOLDER,
  type Migration,
  missingMigrations,
  readMigrations,
} from './migration-files.ts';

/**
 * Applies what is missing and returns it, in order. Throws `StoreRefusal`: `migration_misnamed`, `migration_missing`,
 * `migration_changed`, `migration_failed`, `database_newer`. A schema one newer than this release is used as it is (DP-08).
 */
export function migrate(options: { database: DatabaseSync; clock: Clock; folder?: string }): Migration[] {
  const { database, clock, folder = MIGRATIONS_FOLDER } = options;
  const migrations = readMigrations(folder);
  inTransaction(database, () =>
    database.exec(`CREATE TABLE IF NOT EXISTS schema_migration (
      number         INTEGER PRIMARY KEY,
      name           TEXT NOT NULL,
      sha256         TEXT NOT NULL,
      runs_from      INTEGER NOT NULL,
      applied_at_ms  INTEGER NOT NULL
    )`),
  );
  return migrations.filter((migration) =>
    inTransaction(database, () => {
      // Under the lock, so that what another process has applied meanwhile is seen.
      if (!missingMigrations(migrations, readApplied(database)).includes(migration)) return false;
      apply(database, migration);
      database
        .prepare(
          'INSERT INTO schema_migration (number, name, sha256, runs_from, applied_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)',
        )
        .run(migration.number, migration.name, migration.sha256, migration.runsFrom, clock.now());
      return true;
    }),
  );
}

/** The number of the last migration a database has; 0 for an empty one. */
export function schemaNumber(database: DatabaseSync): number {
  const table = database
    .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migration'")
    .get();
  if (table === undefined) return 0;
  return Number(database.prepare('SELECT max(number) AS number FROM schema_migration').get()?.number ?? 0);
}

/** What a database has; nothing where it is none of this yet. */
export function readApplied(database: DatabaseSync): AppliedMigration[] {
  if (schemaNumber(database) === 0) return [];
  return database
    .prepare('SELECT number, sha256, runs_from FROM schema_migration')
    .all()
    .map((row) => ({ number: Number(row.number), sha256: String(row.sha256), runsFrom: Number(row.runs_from) }));
}

function apply(database: DatabaseSync, migration: Migration): void {
  try {
    database.exec(migration.text);
  } catch (cause) {
    throw new StoreRefusal(
      'migration_failed',
      `Migrating the database: ${migration.name} failed and was taken back. The cause says at which statement; ` +
        'the database is as it was before.',
      { cause },
    );
  }
  if (!database.isTransaction) {
    throw new StoreRefusal(
      'migration_failed',
      `Migrating the database: ${migration.name} ends its transaction by itself. Remove BEGIN and COMMIT from it.`,
    );
  }
}

function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  try {
    database.exec('BEGIN IMMEDIATE');
  } catch (cause) {
    if (sqlitePrimaryCode(cause) !== SQLITE_BUSY) throw cause;
    throw new StoreUnavailable(
      'Migrating the database: another process holds its write lock. Stop it or wait for it.',
      {
        cause,
      },
    );
  }
  try {
    const value = work();
    database.exec('COMMIT');
    return value;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
