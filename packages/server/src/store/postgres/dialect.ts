/**
 * The common dialect of migrations as PostgreSQL's:
 *
 *     INTEGER  BIGINT             SQLite's whole numbers have 64 bits, and times need more than 32
 *     BLOB     BYTEA
 *     TEXT     TEXT COLLATE "C"   compared byte by byte, as in SQLite: ids sort by time that way only, and a library of the system that
 *                                 sorts otherwise after its upgrade must not break an index
 *
 * Literals, quoted names and comments are passed over. So TEXT names the type of a column and stands in no CAST.
 */
import type { Migration } from '../migration-files.ts';
import { sha256Of } from '../migration-files.ts';

const TOKENS = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\b(?:INTEGER|BLOB|TEXT)\b/g;

const TYPES: Readonly<Record<string, string>> = { INTEGER: 'BIGINT', BLOB: 'BYTEA', TEXT: 'TEXT COLLATE "C"' };

export function postgresDialect(text: string): string {
  return text.replaceAll(TOKENS, (token) => TYPES[token] ?? token);
}

/** A migration as it is applied here: one text, and one digest for both files. */
export type PostgresMigration = Pick<
  Migration,
  'number' | 'name' | 'text' | 'sha256' | 'runsFrom' | 'isOutsideTransaction'
>;

export function postgresMigration(migration: Migration): PostgresMigration {
  const { number, name, text, postgresText, runsFrom, isOutsideTransaction } = migration;
  const sha256 = sha256Of(postgresText === undefined ? text : `${text}\n${postgresText}`);
  return {
    number,
    name,
    text: `${postgresDialect(text)}\n${postgresText ?? ''}`,
    sha256,
    runsFrom,
    isOutsideTransaction,
  };
}

export interface IndexToMake {
  readonly name: string;
  readonly isUnique: boolean;
  /** From the table's name on. */
  readonly on: string;
}

/** The statements of a migration that makes indexes while others write. Undefined where it holds anything else. */
export function indexesToMake(text: string): IndexToMake[] | undefined {
  const statements = text
    .replaceAll(/--[^\n]*/g, '')
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
  const indexes = statements.flatMap((statement) => {
    const found = /^CREATE (UNIQUE )?INDEX (\w+) ON ([\s\S]+)$/.exec(statement);
    return found?.[2] && found[3] ? [{ name: found[2], isUnique: found[1] !== undefined, on: found[3] }] : [];
  });
  return indexes.length === statements.length ? indexes : undefined;
}
