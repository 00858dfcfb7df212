import type { Sql, Step, Store, Transaction } from '../store/store.ts';

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

/** Position of the newest row; 0 in an empty log. */
export async function selectHead(sql: Sql): Promise<number> {
  const row = await sql.get<{ head: number | null }>('SELECT max(position) AS head FROM invalidation');
  return row?.head ?? 0;
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

const DELETE_OVER = `DELETE FROM invalidation WHERE position IN (
     SELECT position FROM invalidation
     WHERE until_ms < $1 AND position < (SELECT max(position) FROM invalidation) ORDER BY until_ms LIMIT $2)`;

/**
 * The newest row always stays, so that positions never start anew. What was swept is remembered in the same transaction, as the engine's
 * log is read: by position or by transaction.
 */
export async function deleteOverInvalidations(
  tx: Transaction,
  old: { engine: Store['engine']; nowMs: number; limit: number },
): Promise<number> {
  const cursor = old.engine === 'sqlite' ? 'position' : 'xid';
  const deleted = await tx.all<{ cursor: number }>(
    `${DELETE_OVER} RETURNING ${cursor} AS cursor`,
    old.nowMs,
    old.limit,
  );
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
}

interface StateRow {
  epoch: number;
  newest: number;
  snapshot: string;
  up_to: number;
}

const STATE = `SELECT epoch, up_to, pg_current_snapshot()::text AS snapshot,
     greatest(up_to, (SELECT xid::text::bigint FROM invalidation ORDER BY xid DESC LIMIT 1)) AS newest
   FROM store_epoch JOIN invalidation_sweep USING (singleton) WHERE singleton = 1`;

export async function selectTransactionState(sql: Sql): Promise<TransactionState> {
  return transactionStateOf(await sql.get<StateRow>(STATE));
}

/**
 * Rows of the transactions that were open, all of them, and of those after `upTo`, `limit` and then the rest of the last transaction:
 * a page that ended within one could not be gone on from. In one snapshot with where the log stands, or the two would not fit each other.
 */
export async function selectTransactionsAfter(
  sql: Sql,
  after: { upTo: number; open: readonly number[]; limit: number },
): Promise<{ state: TransactionState; rows: (Invalidation & { cursor: number })[] }> {
  const rows = await sql.all<StateRow & Row & { cursor: number | null }>(
    `WITH state AS (${STATE}),
     late AS (SELECT * FROM invalidation WHERE xid = ANY ($2::xid8[])),
     further AS (SELECT * FROM invalidation WHERE xid > $1::xid8 ORDER BY xid FETCH FIRST $3 ROWS WITH TIES)
     SELECT state.*, page.*, page.xid AS cursor
     FROM state LEFT JOIN (SELECT * FROM late UNION ALL SELECT * FROM further) AS page ON true
     ORDER BY page.xid, page.position`,
    after.upTo,
    `{${after.open.join(',')}}`,
    after.limit,
  );
  const page = rows.flatMap((row) => (row.cursor === null ? [] : [{ ...invalidationOf(row), cursor: row.cursor }]));
  return { state: transactionStateOf(rows[0]), rows: page };
}

/** The newest transaction before the last `rows` rows; 0 where there are no more. */
export async function selectTransactionBefore(sql: Sql, rows: number): Promise<number> {
  const text = 'SELECT xid AS cursor FROM invalidation ORDER BY xid DESC LIMIT 1 OFFSET $1';
  return (await sql.get<{ cursor: number }>(text, rows))?.cursor ?? 0;
}

function transactionStateOf(row: StateRow | undefined): TransactionState {
  if (!row) throw new Error('Reading the log of invalidations: nothing says how far it was swept. Migrate the store.');
  // xmin:xmax:open,open,… (PostgreSQL, Functions and Operators, pg_snapshot Components)
  const open = row.snapshot.split(':')[2] ?? '';
  return {
    epoch: row.epoch,
    newest: row.newest,
    open: open === '' ? [] : open.split(',').map(Number),
    sweptUpTo: row.up_to,
  };
}
