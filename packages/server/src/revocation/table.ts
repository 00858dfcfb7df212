import type { Sql, Transaction } from '../store/store.ts';

export type InvalidationKind = 'token' | 'grant' | 'client' | 'user' | 'key' | 'session';

export interface Invalidation {
  position: number;
  atMs: number;
  kind: InvalidationKind;
  subjectId: string;
  /** Whose resource servers are concerned; undefined: all. */
  audience?: string | undefined;
  /** It concerns no token that could still be accepted after this moment. */
  untilMs: number;
}

interface Row {
  position: number;
  at_ms: number;
  kind: string;
  subject_id: string;
  audience: string | null;
  until_ms: number;
}

export async function insertInvalidation(tx: Transaction, row: Omit<Invalidation, 'position'>): Promise<void> {
  await tx.run(
    'INSERT INTO invalidation (at_ms, kind, subject_id, audience, until_ms) VALUES ($1, $2, $3, $4, $5)',
    row.atMs,
    row.kind,
    row.subjectId,
    row.audience ?? null,
    row.untilMs,
  );
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
    kind: row.kind as InvalidationKind, // only insertInvalidation writes this column
    subjectId: row.subject_id,
    audience: row.audience ?? undefined,
    untilMs: row.until_ms,
  }));
}

/** The newest row always stays, so that positions never start anew. */
export async function deleteOverInvalidations(tx: Transaction, old: { nowMs: number; limit: number }): Promise<number> {
  return tx.run(
    `DELETE FROM invalidation WHERE position IN (
       SELECT position FROM invalidation
       WHERE until_ms < $1 AND position < (SELECT max(position) FROM invalidation) ORDER BY until_ms LIMIT $2)`,
    old.nowMs,
    old.limit,
  );
}
