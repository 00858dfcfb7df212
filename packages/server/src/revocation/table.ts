import type { Act, Sql, Step, Store, Transaction } from '../store/store.ts';

/** `superseded`: a token that its successor replaced, and nothing worse. Verifiers hear of it as of any token. */
export type InvalidationKind = 'token' | 'superseded' | 'grant' | 'client' | 'user' | 'key';

export interface Invalidation {
  position: number;
  atMs: number;
  kind: InvalidationKind;
  subjectId: string;
  /** Whose resource servers are concerned; undefined: all. */
  audience?: string | undefined;
  /** It concerns no token that could still be accepted after this moment. */
  untilMs: number;
  /** Of a superseded token: when it ends by itself. */
  expiresAtMs?: number | undefined;
}

interface Row {
  position: number;
  at_ms: number;
  kind: string;
  subject_id: string;
  audience: string | null;
  until_ms: number;
  expires_at_ms: number | null;
}

/**
 * Names a row so that no copy of the log has another by that name: what was written later in a copy may have the same position and number of
 * transaction, but not at the same moment about the same thing.
 */
export type Landmark = Pick<Invalidation, 'position' | 'atMs' | 'subjectId'> & { readonly cursor: number };

export function insertingInvalidation(row: Omit<Invalidation, 'position'>): Step {
  return {
    text: `INSERT INTO invalidation (at_ms, kind, subject_id, audience, until_ms, expires_at_ms)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    values: [row.atMs, row.kind, row.subjectId, row.audience ?? null, row.untilMs, row.expiresAtMs ?? null],
  };
}

/** One for each row that `selected` finds when the act is done: it selects all columns but the position, in the order above. */
export function insertingEachInvalidation(selected: Step): Step {
  return {
    text: `INSERT INTO invalidation (at_ms, kind, subject_id, audience, until_ms, expires_at_ms)
     ${selected.text}`,
    values: selected.values,
  };
}

export async function selectInvalidationsAfter(
  sql: Sql,
  after: { position: number; limit: number },
): Promise<Invalidation[]> {
  const rows = await sql.all<Row>(
    'SELECT * FROM invalidation WHERE position > $1 ORDER BY position LIMIT $2',
    after.position,
    after.limit,
  );
  return rows.map(invalidationOf);
}

function invalidationOf(row: Row): Invalidation {
  return {
    position: row.position,
    atMs: row.at_ms,
    kind: row.kind as InvalidationKind, // only the two steps above write this column
    subjectId: row.subject_id,
    audience: row.audience ?? undefined,
    untilMs: row.until_ms,
    expiresAtMs: row.expires_at_ms ?? undefined,
  };
}

/** The row with the highest position; undefined in an empty log. */
export async function selectNewest(sql: Sql): Promise<Landmark | undefined> {
  const row = await sql.get<Row>('SELECT * FROM invalidation ORDER BY position DESC LIMIT 1');
  return row && { cursor: row.position, position: row.position, atMs: row.at_ms, subjectId: row.subject_id };
}

export async function isThere(sql: Sql, { position, atMs, subjectId }: Landmark): Promise<boolean> {
  const text = 'SELECT 1 AS found FROM invalidation WHERE position = $1 AND at_ms = $2 AND subject_id = $3';
  return (await sql.get(text, position, atMs, subjectId)) !== undefined;
}

/** The lowest position after which so many rows stand; 0 where there are no more. */
export async function selectPositionBefore(sql: Sql, rows: number): Promise<number> {
  const text = 'SELECT position FROM invalidation ORDER BY position DESC LIMIT 1 OFFSET $1';
  return (await sql.get<{ position: number }>(text, rows))?.position ?? 0;
}

/** The highest position of a row ever swept. */
export async function selectSweptUpTo(sql: Sql): Promise<number> {
  const row = await sql.get<{ up_to: number }>('SELECT up_to FROM invalidation_sweep WHERE singleton = 1');
  if (!row) throw new Error('Reading the log of invalidations: nothing says how far it was swept. Migrate the store.');
  return row.up_to;
}

const DELETE_OVER = {
  sqlite: `DELETE FROM invalidation WHERE position IN (
     SELECT position FROM invalidation
     WHERE until_ms < $1 AND position < (SELECT max(position) FROM invalidation) ORDER BY until_ms LIMIT $2)
   RETURNING position AS cursor`,
  postgresql: `DELETE FROM invalidation WHERE position IN (
     SELECT position FROM invalidation
     WHERE until_ms < $1 AND (xid, position) < (SELECT xid, position FROM invalidation ORDER BY xid DESC, position DESC LIMIT 1)
     ORDER BY until_ms LIMIT $2)
   RETURNING xid AS cursor`,
} as const satisfies Record<Store['engine'], string>;

/**
 * The newest row always stays, so that positions never start anew and nodes know the log again by it. What was swept is remembered in the
 * same transaction, as the engine's log is read: by position or by transaction.
 */
export async function deleteOverInvalidations(
  tx: Transaction,
  old: { engine: Store['engine']; nowMs: number; limit: number },
): Promise<number> {
  const deleted = await tx.all<{ cursor: number }>(DELETE_OVER[old.engine], old.nowMs, old.limit);
  if (deleted.length === 0) return 0;
  await tx.run(
    'UPDATE invalidation_sweep SET up_to = $1 WHERE singleton = 1 AND up_to < $1',
    Math.max(...deleted.map((row) => row.cursor)),
  );
  return deleted.length;
}

// PostgreSQL: rows by the transaction that wrote them (`xid`, 0001-foundation.postgres.sql)

/** Where the log stood at one moment. */
export interface TransactionState {
  epoch: number;
  /** The newest transaction of which a row could ever be read: swept ones count. */
  newest: number;
  /** Transactions that were open and had a number, of whatever database of the server. */
  open: readonly number[];
  sweptUpTo: number;
  /** The row of the newest transaction. */
  newestRow: Landmark | undefined;
  /** Whether the row that was asked about can be read; true where none was. */
  isThere: boolean;
  /** Whether there is a number that this server has not given to a transaction yet. */
  isForeign: boolean;
}

interface StateRow {
  epoch: number;
  snapshot: string;
  up_to: number;
  newest_cursor: number | null;
  newest_position: number | null;
  newest_at_ms: number | null;
  newest_subject_id: string | null;
  is_there: number;
}

/** With a landmark as its values from `$first` on. */
const stateText = (first: number): string => `SELECT epoch, up_to, pg_current_snapshot()::text AS snapshot, newest.*,
     EXISTS (SELECT FROM invalidation WHERE xid = $${first}::xid8 AND position = $${first + 1}::bigint
       AND at_ms = $${first + 2}::bigint AND subject_id = $${first + 3}::text) AS is_there
   FROM store_epoch JOIN invalidation_sweep USING (singleton) LEFT JOIN (
     SELECT xid AS newest_cursor, position AS newest_position, at_ms AS newest_at_ms, subject_id AS newest_subject_id
     FROM invalidation ORDER BY xid DESC, position DESC LIMIT 1) AS newest ON true
   WHERE singleton = 1`;
const STATE = stateText(1);
const STATE_OF_READ = stateText(4);

const valuesOf = (landmark: Landmark | undefined) =>
  landmark ? [landmark.cursor, landmark.position, landmark.atMs, landmark.subjectId] : [null, null, null, null];

export async function selectTransactionState(sql: Sql, landmark: Landmark | undefined): Promise<TransactionState> {
  return transactionStateOf(await sql.get<StateRow>(STATE, ...valuesOf(landmark)), landmark);
}

/**
 * Rows of the transactions that were open, all of them, and of those after `upTo`, `limit` and then the rest of the last transaction:
 * a page that ended within one could not be gone on from. In one snapshot with where the log stands, or the two would not fit each other.
 */
export async function selectTransactionsAfter(
  sql: Sql,
  after: { upTo: number; open: readonly number[]; limit: number; landmark: Landmark | undefined },
): Promise<{ state: TransactionState; rows: (Invalidation & { cursor: number })[] }> {
  const rows = await sql.all<StateRow & Row & { cursor: number | null }>(
    `WITH state AS (${STATE_OF_READ}),
     late AS (SELECT * FROM invalidation WHERE xid = ANY ($2::xid8[])),
     further AS (SELECT * FROM invalidation WHERE xid > $1::xid8 ORDER BY xid FETCH FIRST $3 ROWS WITH TIES)
     SELECT state.*, page.*, page.xid AS cursor
     FROM state LEFT JOIN (SELECT * FROM late UNION ALL SELECT * FROM further) AS page ON true
     ORDER BY page.xid, page.position`,
    after.upTo,
    `{${after.open.join(',')}}`,
    after.limit,
    ...valuesOf(after.landmark),
  );
  const page = rows.flatMap((row) => (row.cursor === null ? [] : [{ ...invalidationOf(row), cursor: row.cursor }]));
  return { state: transactionStateOf(rows[0], after.landmark), rows: page };
}

/** A commit of a message that nobody reads: it goes through the log of the database, and so to its standbys, as every other. */
export function emitting(): Act {
  const text = "SELECT pg_logical_emit_message(true, 'countersign', '')";
  return { steps: [{ text, values: [], must: { rows: 1, why: 'not emitted' } }] };
}

/** The newest transaction before the last `rows` rows; 0 where there are no more. */
export async function selectTransactionBefore(sql: Sql, rows: number): Promise<number> {
  const text = 'SELECT xid AS cursor FROM invalidation ORDER BY xid DESC LIMIT 1 OFFSET $1';
  return (await sql.get<{ cursor: number }>(text, rows))?.cursor ?? 0;
}

function transactionStateOf(row: StateRow | undefined, landmark: Landmark | undefined): TransactionState {
  if (!row) throw new Error('Reading the log of invalidations: nothing says how far it was swept. Migrate the store.');
  // xmin:xmax:open,open,… (PostgreSQL, Functions and Operators, pg_snapshot Components)
  const [, end, open = ''] = row.snapshot.split(':');
  const newest = Math.max(row.up_to, row.newest_cursor ?? 0);
  return {
    epoch: row.epoch,
    newest,
    open: open === '' ? [] : open.split(',').map(Number),
    sweptUpTo: row.up_to,
    newestRow: newestRowOf(row),
    isThere: landmark === undefined || row.is_there === 1,
    // Every number up to what can be read has been given; those from `end` on have not.
    isForeign: newest >= Number(end),
  };
}

function newestRowOf(row: StateRow): Landmark | undefined {
  const { newest_cursor: cursor, newest_position: position, newest_at_ms: atMs, newest_subject_id: subjectId } = row;
  if (cursor === null || position === null || atMs === null || subjectId === null) return undefined;
  return { cursor, position, atMs, subjectId };
}
