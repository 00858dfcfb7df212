/** The attacker's hands on the database file: reading a copy of it, and writing in the one that runs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { composeAuthority, openSqliteStore } from '@countersign/server';
import { DATABASE_FILE } from '../../packages/server/src/store/sqlite.ts';
import type { Scene } from './scene.ts';

/** Rows of each table whose values are tried: all are made alike. */
const NEWEST_ROWS = 4;
/** What is shorter is no secret that anybody would take for one. */
const MIN_LENGTH = 16;

function opened<T>(scene: Scene, use: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(join(scene.server.dataFolder, DATABASE_FILE));
  try {
    database.exec('PRAGMA busy_timeout = 2000');
    return use(database);
  } finally {
    database.close();
  }
}

/** Writes in the running server's database, past the server. The statement must change a row, or it was no attack. */
export function writeRow(scene: Scene, text: string, ...values: SQLInputValue[]): void {
  const { changes } = opened(scene, (database) => database.prepare(text).run(...values));
  if (Number(changes) === 0) throw new Error(`Nothing was written: ${text}`);
}

export function readRow(scene: Scene, text: string, ...values: SQLInputValue[]): Record<string, unknown> {
  const row = opened(scene, (database) => database.prepare(text).get(...values));
  if (!row) throw new Error(`No row: ${text}`);
  return row;
}

/** Every value that a copy of the database shows, in the spellings in which a credential travels. */
export function storedValues(scene: Scene): string[] {
  return opened(scene, (database) => {
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    const values = tables.flatMap(({ name }) =>
      database
        .prepare(`SELECT * FROM "${String(name)}" ORDER BY 1 DESC LIMIT ${NEWEST_ROWS}`)
        .all()
        .flatMap((row) => Object.values(row).flatMap(spellings)),
    );
    return [...new Set(values)];
  });
}

function spellings(value: unknown): string[] {
  if (value instanceof Uint8Array) {
    const bytes = Buffer.from(value);
    return value.length === 0 ? [] : [bytes.toString('base64url'), bytes.toString('hex')];
  }
  return typeof value === 'string' && value.length >= MIN_LENGTH && /^[\x21-\x7e]+$/.test(value) ? [value] : [];
}

/**
 * Starts an authority of the attacker's own over a copy, after `alter` had its way with it. Resolves to the name of the error that
 * stops it, or to undefined when it starts.
 */
export async function startOnCopy(
  scene: Scene,
  options: { masterKey: Uint8Array; alter?(database: DatabaseSync): void },
): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-copy-'));
  const file = join(folder, DATABASE_FILE);
  opened(scene, (database) => database.prepare('VACUUM INTO ?').run(file));
  if (options.alter) {
    const copy = new DatabaseSync(file);
    options.alter(copy);
    copy.close();
  }
  const { world, settings } = scene.server.authority;
  const store = openSqliteStore({
    dataFolder: folder,
    clock: world.clock,
    journal: { kind: 'collected', entries: [] },
  });
  try {
    await composeAuthority({ world, settings, store, masterKey: options.masterKey });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
