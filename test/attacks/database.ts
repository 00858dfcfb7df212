/** The attacker's hands on the database: reading a copy of it, and writing in the one that runs, as whoever knows its password can. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeAuthority, type Store } from '@countersign/server';
import { engineOf, openTestStore } from '@countersign/testkit';
import type { SqlValue, Transaction } from '../../packages/server/src/store/store.ts';
import type { Scene } from './scene.ts';
import { tablesOf } from './tables.ts';

type Row = Record<string, SqlValue>;

/** Rows of each table whose values are tried: all are made alike. */
const NEWEST_ROWS = 4;
/** What is shorter is no secret that anybody would take for one. */
const MIN_LENGTH = 16;

/** Writes in the running server's database, past all that guards it. The statement must change a row, or it was no attack. */
export async function writeRow({ server }: Scene, text: string, ...values: SqlValue[]): Promise<void> {
  const changes = await server.authority.store.write((tx) => tx.run(text, ...values));
  if (changes === 0) throw new Error(`Nothing was written: ${text}`);
}

/** The same for a whole row, made up or taken from another. */
export async function insertRow({ server }: Scene, table: string, row: Row): Promise<void> {
  await server.authority.store.write((tx) => inserted(tx, table, row));
}

export async function readRow({ server }: Scene, text: string, ...values: SqlValue[]): Promise<Row> {
  const row = await server.authority.store.read.get<Row>(text, ...values);
  if (!row) throw new Error(`No row: ${text}`);
  return row;
}

/** Every value that a copy of the database shows, in the spellings in which a credential travels. */
export async function storedValues({ server }: Scene): Promise<string[]> {
  const { store } = server.authority;
  const rows = await Promise.all(
    (await tablesOf(store)).map((name) =>
      store.read.all<Row>(`SELECT * FROM ${name} ORDER BY 1 DESC LIMIT ${NEWEST_ROWS}`),
    ),
  );
  return [...new Set(rows.flat().flatMap((row) => Object.values(row).flatMap(spellings)))];
}

function spellings(value: SqlValue): string[] {
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
  { server }: Scene,
  options: { masterKey: Uint8Array; alter?(tx: Transaction): Promise<unknown> },
): Promise<string | undefined> {
  const { world, settings, store: original } = server.authority;
  const dataFolder = mkdtempSync(join(tmpdir(), 'countersign-copy-'));
  const { store, remove } = await openTestStore({
    ...{ engine: engineOf(undefined), dataFolder, clock: world.clock, journal: [] },
  });
  try {
    await copyRows(original, store);
    if (options.alter) await store.write(options.alter);
    await composeAuthority({ world, settings, store, masterKey: options.masterKey });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  } finally {
    await store.close();
    await remove();
    rmSync(dataFolder, { recursive: true, force: true });
  }
}

/** Every row of every table. Tables that name rows of others wait until those are there. */
async function copyRows(from: Store, to: Store): Promise<void> {
  let left = await tablesOf(from);
  while (left.length > 0) {
    const waiting: string[] = [];
    for (const table of left) {
      const rows = await from.read.all<Row>(`SELECT * FROM ${table}`);
      await to.write((tx) => replaceRows(tx, table, rows)).catch(() => waiting.push(table));
    }
    if (waiting.length === left.length) throw new Error(`Copying the database: ${waiting.join(', ')} could not be`);
    left = waiting;
  }
}

async function replaceRows(tx: Transaction, table: string, rows: Row[]): Promise<void> {
  await tx.run(`DELETE FROM ${table}`);
  for (const row of rows) await inserted(tx, table, row);
}

async function inserted(tx: Transaction, table: string, row: Row): Promise<void> {
  const [names, values] = [Object.keys(row), Object.values(row)];
  const places = names.map((_, index) => `$${index + 1}`);
  await tx.run(`INSERT INTO ${table} (${names.join(', ')}) VALUES (${places.join(', ')})`, ...values);
}
