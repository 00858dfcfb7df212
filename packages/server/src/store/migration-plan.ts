/**
 * What a migration locks, for whoever decides when to run it: `countersign migrate --plan`. Read from its text; tables that it makes
 * itself are nobody's yet and are left out.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { readApplied } from './migrate.ts';
import { MIGRATIONS_FOLDER, type Migration, missingMigrations, readMigrations } from './migration-files.ts';
import type { DatabasePlace } from './postgres/connections.ts';
import { missingOnPostgres } from './postgres/migrating.ts';
import { DATABASE_FILE } from './sqlite.ts';

/** Who waits while a lock is held: nobody, whoever writes to the table, or whoever touches it at all. */
export type LockedOut = 'nobody' | 'writers' | 'everybody';

export interface PlannedLock {
  /** `*`: the whole database. */
  readonly table: string;
  /** PostgreSQL's name of it; of SQLite its one write lock. */
  readonly lock: string;
  readonly lockedOut: LockedOut;
}

export interface PlannedMigration {
  readonly name: string;
  readonly locks: readonly PlannedLock[];
}

/** What opening the embedded database would apply. Changes nothing, and makes none. */
export function planOnSqlite({ dataFolder }: { dataFolder: string }): PlannedMigration[] {
  const migrations = readMigrations(MIGRATIONS_FOLDER);
  const file = join(dataFolder, DATABASE_FILE);
  const missing = existsSync(file) ? missingIn(file, migrations) : migrations;
  return missing.map(({ name }) => ({ name, locks: [{ table: '*', lock: 'write lock', lockedOut: 'writers' }] }));
}

/** What opening a PostgreSQL database would apply. Changes nothing. */
export async function planOnPostgres(place: DatabasePlace): Promise<PlannedMigration[]> {
  const missing = await missingOnPostgres({ place });
  const made = new Set<string>();
  return missing.map(({ name, text, isOutsideTransaction }) => ({
    name,
    locks: locksOf(text, { made, isOutsideTransaction }),
  }));
}

function missingIn(file: string, migrations: readonly Migration[]): Migration[] {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return missingMigrations(migrations, readApplied(database));
  } finally {
    database.close();
  }
}

interface Kind {
  readonly pattern: RegExp;
  readonly lock: string;
  readonly lockedOut: LockedOut;
}

/** By the manual, "Explicit Locking". The first group is the table. */
const KINDS: readonly Kind[] = [
  { pattern: /\bALTER TABLE (\w+)/g, lock: 'ACCESS EXCLUSIVE', lockedOut: 'everybody' },
  { pattern: /\bDROP TABLE (?:IF EXISTS )?(\w+)/g, lock: 'ACCESS EXCLUSIVE', lockedOut: 'everybody' },
  { pattern: /\bCREATE TRIGGER \w+ [^;]*? ON (\w+)/g, lock: 'SHARE ROW EXCLUSIVE', lockedOut: 'writers' },
  { pattern: /\bREFERENCES (\w+)/g, lock: 'SHARE ROW EXCLUSIVE', lockedOut: 'writers' },
  { pattern: /\b(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)/g, lock: 'ROW EXCLUSIVE', lockedOut: 'nobody' },
];

/** `made`: tables that this plan has made so far; those of this text are added. */
export function locksOf(
  text: string,
  { made, isOutsideTransaction }: { made: Set<string>; isOutsideTransaction: boolean },
): PlannedLock[] {
  const bare = text.replaceAll(/--[^\n]*/g, '');
  for (const [, table = ''] of bare.matchAll(/\bCREATE TABLE (?:IF NOT EXISTS )?(\w+)/g)) made.add(table);
  const index: Kind = {
    pattern: /\bCREATE (?:UNIQUE )?INDEX (?:IF NOT EXISTS )?\w+ ON (\w+)/g,
    ...(isOutsideTransaction
      ? { lock: 'SHARE UPDATE EXCLUSIVE', lockedOut: 'nobody' }
      : { lock: 'SHARE', lockedOut: 'writers' }),
  };
  const locks = [...KINDS, index].flatMap(({ pattern, lock, lockedOut }) =>
    [...bare.matchAll(pattern)].map(([, table = '']) => ({ table, lock, lockedOut })),
  );
  const ofOthers = locks.filter(({ table }) => !made.has(table));
  return [...new Map(ofOthers.map((lock) => [`${lock.table} ${lock.lock}`, lock])).values()];
}
