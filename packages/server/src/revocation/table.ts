import type { Sql, Step, Transaction } from '../store/store.ts';

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
  return rows.map((row) => ({
    position: row.position,
    atMs: row.at_ms,
    kind: row.kind as InvalidationKind, // only the two steps above write this column
    subjectId: row.subject_id,
    audience: row.audience ?? undefined,
    untilMs: row.until_ms,
    expiresAtMs: row.expires_at_ms ?? undefined,
  }));
}

/** Position of the newest row; 0 in an empty log. */
export async function selectHead(sql: Sql): Promise<number> {
  const row = await sql.get<{ head: number | null }>('SELECT max(position) AS head FROM invalidation');
  return row?.head ?? 0;
}

/** The highest position of a row ever swept. */
export async function selectSweptUpTo(sql: Sql): Promise<number> {
  const row = await sql.get<{ up_to: number }>('SELECT up_to FROM invalidation_sweep WHERE singleton = 1');
  if (!row) throw new Error('Reading the log of invalidations: nothing says how far it was swept. Migrate the store.');
  return row.up_to;
}

/** The newest row always stays, so that positions never start anew. What was swept is remembered in the same transaction. */
export async function deleteOverInvalidations(tx: Transaction, old: { nowMs: number; limit: number }): Promise<number> {
  const deleted = await tx.all<{ position: number }>(
    `DELETE FROM invalidation WHERE position IN (
       SELECT position FROM invalidation
       WHERE until_ms < $1 AND position < (SELECT max(position) FROM invalidation) ORDER BY until_ms LIMIT $2)
     RETURNING position`,
    old.nowMs,
    old.limit,
  );
  if (deleted.length === 0) return 0;
  await tx.run(
    'UPDATE invalidation_sweep SET up_to = $1 WHERE singleton = 1 AND up_to < $1',
    Math.max(...deleted.map(({ position }) => position)),
  );
  return deleted.length;
}
