/**
 * The migrations as files: numbered `.sql`, each applied once, in order, never edited afterwards. `migrate.ts` applies them to SQLite,
 * `postgres/migrating.ts` to PostgreSQL; what follows from the files alone is decided here.
 *
 * `NNNN-name.sql` is written in the dialect that both share. What only PostgreSQL needs stands in `NNNN-name.postgres.sql` beside it
 * and is applied directly after it, in the same transaction.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StoreRefusal } from './errors.ts';

/** The migrations of this release. */
export const MIGRATIONS_FOLDER = fileURLToPath(new URL('./migrations/', import.meta.url));

export interface Migration {
  readonly number: number;
  /** File name without its ending, e.g. `0001-foundation`. */
  readonly name: string;
  readonly text: string;
  /** What only PostgreSQL needs. */
  readonly postgresText: string | undefined;
  /** Of the text. */
  readonly sha256: string;
  /**
   * The oldest schema number whose release still runs on this one: the one before, so that an upgrade can be rolled out beside
   * running nodes and taken back. A migration that breaks this says so in a line `-- runs-from: N`.
   */
  readonly runsFrom: number;
  /**
   * It has a line `-- outside-transaction`: it only makes indexes on tables that may be large, and PostgreSQL makes each while others
   * go on writing, which it can do outside a transaction only.
   */
  readonly isOutsideTransaction: boolean;
}

/** What a database says of a migration that it has. */
export interface AppliedMigration {
  readonly number: number;
  readonly sha256: string;
  readonly runsFrom: number;
}

/** Reads `NNNN-name.sql`, numbered from 1 without gaps. */
export function readMigrations(folder: string): Migration[] {
  const files = readdirSync(folder)
    .filter((file) => file.endsWith('.sql') && !file.endsWith(POSTGRES_ENDING))
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
    const name = file.slice(0, -4);
    const beside = join(folder, `${name}${POSTGRES_ENDING}`);
    return {
      ...{ number, name, text, sha256: sha256Of(text) },
      postgresText: existsSync(beside) ? readFileSync(beside, 'utf8') : undefined,
      runsFrom: Number(/^-- runs-from: (\d+)$/m.exec(text)?.[1] ?? number - 1),
      isOutsideTransaction: /^-- outside-transaction$/m.test(text),
    };
  });
}

const POSTGRES_ENDING = '.postgres.sql';

export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/**
 * Of the migrations of this release, those that a database does not have. Throws `StoreRefusal`: `database_newer`,
 * `migration_changed`. A schema one newer than this release is used as it is (DP-08).
 */
export function missingMigrations<M extends Pick<Migration, 'number' | 'name' | 'sha256'>>(
  migrations: readonly M[],
  applied: readonly AppliedMigration[],
): M[] {
  const oldest = Math.max(0, ...applied.map(({ runsFrom }) => runsFrom));
  if (oldest > migrations.length) {
    throw new StoreRefusal(
      'database_newer',
      `Opening the database: it needs a release that knows schema ${oldest}, this one knows ${migrations.length}. ` +
        'Start the release that wrote it, or restore a backup from before the upgrade.',
    );
  }
  return migrations.filter((migration) => {
    const row = applied.find(({ number }) => number === migration.number);
    if (row === undefined) return true;
    if (row.sha256 === migration.sha256) return false;
    throw new StoreRefusal(
      'migration_changed',
      `Opening the database: migration ${migration.name} is not the file that was applied to it. ` +
        'Put the original file back; what should change goes into a new migration.',
    );
  });
}
