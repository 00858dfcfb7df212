/**
 * An act of the product as a pgbench script: the statement that the engine makes of it, word for word, with the same values, but for
 * the ids, of which each transaction gets its own. What those ids must find is put there beforehand, as copies of the rows that the
 * act itself would have found.
 */
import { ActStatements } from '../packages/server/src/store/postgres/act-statement.ts';
import type { Act, SqlValue } from '../packages/server/src/store/store.ts';
import type { BareStatement } from './cluster-pgbench.ts';
import { withClient } from './cluster-postgres.ts';

/** A row that an act finds. The ids in it are replaced as those in the act. */
export interface Found {
  readonly table: string;
  readonly column: string;
  readonly value: SqlValue;
}

export interface Template {
  readonly act: Act;
  readonly finds: readonly Found[];
  /** Bytes that name one row as an id does: others in each transaction. */
  readonly digests: readonly Uint8Array[];
}

/** Connections of a run number their transactions apart from each other. */
const NUMBERS_PER_CONNECTION = 1_000_000;
/** Nineteen digits, as many as a bigint has: ids are about as long as real ones. */
const FIRST_NUMBER = 1_000_000_000_000_000_000n;
const NUMBERS_PER_RUN = 1_000_000_000n;
const ID = /^(acctok|grant|sess|evt)_[0-9A-Za-z]{22}$/;

let runs = 0n;

/** Puts there what `transactions` on each of `connections` will find, and says what to send. Never gives the same ids twice. */
export async function bareStatement(
  url: string,
  template: Template,
  how: { connections: number; transactions: number },
): Promise<BareStatement> {
  const ids = new Ids(template.digests);
  const first = FIRST_NUMBER + runs++ * NUMBERS_PER_RUN;
  await copyRows(url, { template, ids, first, ...how });
  const statement = new ActStatements().of(template.act);
  if (!statement) throw new Error('The act does nothing.');
  const constants: Record<string, string> = { n: '-1' };
  const text = statement.text.replaceAll(/\$(\d+)/g, (_, number: string) => {
    const value = statement.values[Number(number) - 1];
    if (value === null || value === undefined) return 'NULL';
    const id = ids.expression(value, ':id');
    if (id !== undefined) return id;
    constants[`p${number}`] = spelled(value);
    return `:p${number}`;
  });
  const script = [
    '\\set n :n + 1',
    `\\set id ${first} + :client_id * ${NUMBERS_PER_CONNECTION} + :n`,
    text.replaceAll(/\s+/g, ' '),
    '',
  ].join('\n');
  return { script, constants };
}

/** What stands in for the ids of a template: an expression of a number, another for each. */
class Ids {
  /** What was seen: ids and digests as hex, each with its place. */
  readonly #ordinals = new Map<string, number>();
  readonly #digests: readonly string[];

  constructor(digests: readonly Uint8Array[]) {
    this.#digests = digests.map(hex);
  }

  /** Undefined for what is no id. `number` as SQL spells it. */
  expression(value: unknown, number: string): string | undefined {
    if (value instanceof Uint8Array) {
      const ordinal = this.#digests.indexOf(hex(value));
      return ordinal < 0 ? undefined : `sha256('${ordinal} '::bytea || (${number})::text::bytea)`;
    }
    const prefix = typeof value === 'string' ? ID.exec(value)?.[1] : undefined;
    if (prefix === undefined) return undefined;
    const ordinal = this.#ordinals.get(String(value)) ?? this.#ordinals.size;
    this.#ordinals.set(String(value), ordinal);
    return `('${prefix}_${String(ordinal).padStart(3, '0')}' || ${number})`;
  }
}

async function copyRows(
  url: string,
  given: { template: Template; ids: Ids; first: bigint; connections: number; transactions: number },
): Promise<void> {
  const { template, ids, first, connections, transactions } = given;
  await withClient(url, async (client) => {
    for (const { table, column, value } of template.finds) {
      const { rows } = await client.query<Record<string, unknown>>(`SELECT * FROM ${table} WHERE ${column} = $1`, [
        value,
      ]);
      const [row] = rows;
      if (row === undefined || rows.length > 1) throw new Error(`There are ${rows.length} rows in ${table} to copy.`);
      const columns = Object.keys(row).filter((name) => row[name] !== null);
      const values = columns.map((name) => ids.expression(row[name], 'numbers.id::text') ?? `original.${name}`);
      await client.query(
        `INSERT INTO ${table} (${columns.join(', ')})
         SELECT ${values.join(', ')}
         FROM (SELECT * FROM ${table} WHERE ${column} = $1) original,
           (SELECT $2::bigint + connection * ${NUMBERS_PER_CONNECTION} + n AS id
            FROM generate_series(0, $3::integer - 1) connection, generate_series(0, $4::integer - 1) n) numbers`,
        [value, String(first), connections, transactions],
      );
    }
  });
}

/** As pgbench hands it over: the text of the value. */
function spelled(value: string | number | bigint | Uint8Array): string {
  return value instanceof Uint8Array ? `\\x${hex(value)}` : String(value);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
