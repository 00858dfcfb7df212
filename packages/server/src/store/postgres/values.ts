/** How PostgreSQL's values are read, so that a row is the same whichever engine it comes from. */
import pg from 'pg';

/** Numbers of the types in `pg_type`, which never change. */
const BOOL = 16;
const BYTEA = 17;
const INT8 = 20;
const INT2 = 21;
const INT4 = 23;
const NUMERIC = 1700;
const XID8 = 5069;

const PARSERS: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  // SQLite has no truth values, and domains compare with 1.
  [BOOL, (text) => (text === 't' ? 1 : 0)],
  [BYTEA, bytes],
  [INT2, wholeNumber],
  [INT4, wholeNumber],
  [INT8, wholeNumber],
  // What sum() of whole numbers is.
  [NUMERIC, wholeNumber],
  [XID8, wholeNumber],
]);

/** For `pg`: how each column is read. Everything else comes as its text. */
export const COLUMN_TYPES: pg.CustomTypesConfig = {
  getTypeParser: ((type: number, format?: 'text' | 'binary') => {
    if (format === 'binary') return pg.types.getTypeParser(type, 'binary');
    return PARSERS.get(type) ?? ((text: string) => text);
    // The overloads of pg's type speak of each built-in type by name; what is returned is a parser of text for all of them.
  }) as typeof pg.types.getTypeParser,
};

/** A number that JavaScript cannot hold is a bug of whoever wrote it, and rounding it would hide that. */
function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value))
    throw new RangeError('Reading a row: a number in it is past what can be held exactly.');
  return value;
}

/** `\x` and hexadecimal digits: the form in which every server since 9.0 sends bytes, set again for each connection. */
function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.slice(2), 'hex'));
}
