/**
 * How an export is written: JSON lines. A header (what it is, the tables in an order that satisfies foreign keys, their columns), one
 * line for each row (`["client","…",…]`, bytes as base64url), and a footer with the rows of each table and an HMAC of every byte before
 * it, under a key that only the holder of the master key has: whoever changes a file on its way, a redirect URI or who is disabled, cannot
 * end it again. A file without a right footer is not whole. Pure.
 */
import type { Hmac } from 'node:crypto';
import type { SqlValue } from './store.ts';

export const EXPORT_FORMAT = 1;

/** The widest row is a client with all its redirect URIs, or a queued mail: some 100 kB. Longer lines are not ours. */
export const MAX_ROW_BYTES = 4 * 1024 * 1024;

export interface ExportedTable {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: ColumnType }[];
}

export type ColumnType = 'integer' | 'text' | 'bytes';

export interface ExportHeader {
  readonly exportId: string;
  /** When the source was fenced: from then on it took no writes, so the file is the whole truth. */
  readonly fencedAtMs: number;
  /** Number of the last migration, and all their names. */
  readonly migrations: readonly string[];
  readonly epoch: number;
  readonly issuer: string;
  readonly accessAlgorithm: string;
  readonly tables: readonly ExportedTable[];
}

export interface ExportFooter {
  /** How many rows each table has, by its name. */
  readonly rows: Readonly<Record<string, number>>;
  /** base64url, of what `ExportMac` made of every byte before this line. */
  readonly mac: string;
}

/** Begins the HMAC of a file, under a key that its source and its target share and nobody else has. */
export type ExportMac = () => Hmac;

export type ExportLine =
  | { kind: 'header'; header: ExportHeader }
  | { kind: 'row'; table: string; values: readonly unknown[] }
  | { kind: 'footer'; footer: ExportFooter };

export function exportHeaderLine(header: ExportHeader): string {
  return `${JSON.stringify({ kind: 'countersign-export', format: EXPORT_FORMAT, ...header })}\n`;
}

export function exportFooterLine(footer: ExportFooter): string {
  return `${JSON.stringify({ kind: 'end', ...footer })}\n`;
}

/** Throws where a value is not of its column's type: a bug, and not to be carried on. */
export function exportRowLine(table: ExportedTable, row: Readonly<Record<string, unknown>>): string {
  const values = table.columns.map(({ name, type }) => {
    const value = row[name];
    if (value === null) return null;
    if (type === 'bytes' && value instanceof Uint8Array) return Buffer.from(value).toString('base64url');
    if (type === 'text' && typeof value === 'string') return value;
    if (type === 'integer' && Number.isSafeInteger(value)) return value;
    throw new Error(`Exporting: a value of ${table.name}.${name} is not ${type}.`);
  });
  return `${JSON.stringify([table.name, ...values])}\n`;
}

/** Undefined where the values are not those of a row of this table. */
export function exportedValues(table: ExportedTable, values: readonly unknown[]): SqlValue[] | undefined {
  if (values.length !== table.columns.length) return undefined;
  const read: SqlValue[] = [];
  for (const [index, { type }] of table.columns.entries()) {
    const value = values[index];
    if (value === null) read.push(null);
    else if (type === 'integer' && typeof value === 'number' && Number.isSafeInteger(value)) read.push(value);
    else if (type === 'text' && typeof value === 'string') read.push(value);
    else if (type === 'bytes' && typeof value === 'string') read.push(new Uint8Array(Buffer.from(value, 'base64url')));
    else return undefined;
  }
  return read;
}

/** Undefined when the line is none of this format. */
export function parseExportLine(line: string): ExportLine | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (Array.isArray(parsed)) {
    const [table, ...values] = parsed as unknown[];
    return typeof table === 'string' ? { kind: 'row', table, values } : undefined;
  }
  const fields = Object(parsed) as Record<string, unknown>; // an object or not, its fields are checked one by one
  if (fields.kind === 'end') return parseFooter(fields);
  return fields.kind === 'countersign-export' ? parseHeader(fields) : undefined;
}

function parseHeader(fields: Record<string, unknown>): ExportLine | undefined {
  const { format, exportId, fencedAtMs, migrations, epoch, issuer, accessAlgorithm, tables } = fields;
  if (format !== EXPORT_FORMAT || !isText(exportId) || !isCount(fencedAtMs) || !isCount(epoch)) return undefined;
  if (!isText(issuer) || !isText(accessAlgorithm)) return undefined;
  if (!Array.isArray(migrations) || !migrations.every(isText)) return undefined;
  if (!Array.isArray(tables) || !tables.every(isTable)) return undefined;
  return { kind: 'header', header: { exportId, fencedAtMs, migrations, epoch, issuer, accessAlgorithm, tables } };
}

/** Names go into SQL text, so they are nothing but names. */
const NAME = /^[a-z][a-z0-9_]{0,62}$/;

function isTable(value: unknown): value is ExportedTable {
  const { name, columns } = Object(value) as Record<string, unknown>; // checked here
  if (typeof name !== 'string' || !NAME.test(name) || !Array.isArray(columns) || columns.length === 0) return false;
  return columns.every((column: unknown) => {
    const { name: columnName, type } = Object(column) as Record<string, unknown>; // checked here
    return typeof columnName === 'string' && NAME.test(columnName) && /^(?:integer|text|bytes)$/.test(String(type));
  });
}

function parseFooter(fields: Record<string, unknown>): ExportLine | undefined {
  const { rows, mac } = fields;
  const counts = Object(rows) as Record<string, unknown>; // checked here
  if (!isText(mac) || !Object.values(counts).every(isCount)) return undefined;
  return { kind: 'footer', footer: { rows: counts as Record<string, number>, mac } }; // every value is a count
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
