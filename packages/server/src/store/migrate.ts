/**
 * Brings a database to the schema of this release: numbered `.sql` files, each applied once, in order, in a transaction of its
 * own, never edited afterwards. Resumable: what was applied stays, the next start goes on. Two processes that start together
 * wait for each other at the write lock, and the second finds the work done.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../world/clock.ts';
import { SQLITE_BUSY, StoreRefusal, StoreUnavailable, sqlitePrimaryCode } from './errors.ts';

/** The migrations of this release. */
export const MIGRATIONS_FOLDER = fileURLToPath(new URL('./migrations/', import.meta.url));

export interface Migration {
  readonly number: number;
  /** File name without its ending, e.g. `0001-foundation`. */
  readonly name: string;
  readonly text: string;
  readonly sha256: string;
  /**
   * The oldest schema number whose release still runs on this one: the one before, so that an upgrade can be rolled out beside
   * running nodes and taken back. A migration that breaks this says so in a line `-- runs-from: N`.
   */
  readonly runsFrom: number;
}

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
      if (isApplied(database, migrations, migration)) return false;
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

/** Reads `NNNN-name.sql`, numbered from 1 without gaps. */
export function readMigrations(folder: string): Migration[] {
  const files = readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort();
  return files.map((file, index) => {
    const match = /^(\d{4})-[a-z0-9-]+\.sql$/.exec(file);
    if (match === null) {
      throw new StoreRefusal(
        'migration_misnamed',
        `Reading the migrations: ${file} is not named like 0001-what-it-does.sql. Rename it.`,
      );
    }
    const number = Number(match[1]);
    if (number !== index + 1) {
      throw new StoreRefusal(
        'migration_missing',
        `Reading the migrations: ${file} stands where number ${index + 1} should. Install the release again, whole.`,
      );
    }
    const text = readFileSync(join(folder, file), 'utf8');
    const sha256 = createHash('sha256').update(text).digest('hex');
    const runsFrom = Number(/^-- runs-from: (\d+)$/m.exec(text)?.[1] ?? number - 1);
    return { number, name: file.slice(0, -4), text, sha256, runsFrom };
  });
}

function isApplied(database: DatabaseSync, migrations: readonly Migration[], migration: Migration): boolean {
  const oldest = Number(database.prepare('SELECT max(runs_from) AS oldest FROM schema_migration').get()?.oldest ?? 0);
  if (oldest > migrations.length) {
    throw new StoreRefusal(
      'database_newer',
      `Opening the database: it needs a release that knows schema ${oldest}, this one knows ${migrations.length}. ` +
        'Start the release that wrote it, or restore a backup from before the upgrade.',
    );
  }
  const row = database.prepare('SELECT sha256 FROM schema_migration WHERE number = ?1').get(migration.number);
  if (row === undefined) return false;
  if (row.sha256 !== migration.sha256) {
    throw new StoreRefusal(
      'migration_changed',
      `Opening the database: migration ${migration.name} is not the file that was applied to it. ` +
        'Put the original file back; what should change goes into a new migration.',
    );
  }
  return true;
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
