import type { Sql, Step, Transaction } from '../store/store.ts';
import type { Session } from './sessions.ts';

/** A session as it is stored, not yet known to be ours. */
export interface StoredSession extends Session {
  proof: Uint8Array;
  digest: Uint8Array;
}

interface Row {
  proof: Uint8Array;
  digest: Uint8Array;
  id: string;
  user_id: string;
  amr: string;
  created_at_ms: number;
  last_seen_ms: number;
  expires_at_ms: number;
  user_agent: string;
  network: string;
  ended_at_ms: number | null;
}

const COLUMNS = `proof, digest, id, user_id, amr, created_at_ms, last_seen_ms, expires_at_ms, user_agent, network,
  ended_at_ms`;

export async function byDigest(sql: Sql, digest: Uint8Array): Promise<StoredSession | undefined> {
  const row = await sql.get<Row>(`SELECT ${COLUMNS} FROM browser_session WHERE digest = $1`, digest);
  return row && toSession(row);
}

export async function byId(sql: Sql, id: string): Promise<StoredSession | undefined> {
  const row = await sql.get<Row>(`SELECT ${COLUMNS} FROM browser_session WHERE id = $1`, id);
  return row && toSession(row);
}

/** Not ended and not past the absolute end, newest first. */
export async function openOfUser(
  sql: Sql,
  which: { userId: string; nowMs: number; limit: number },
): Promise<StoredSession[]> {
  const rows = await sql.all<Row>(
    `SELECT ${COLUMNS} FROM browser_session
     WHERE user_id = $1 AND ended_at_ms IS NULL AND expires_at_ms > $2 ORDER BY id DESC LIMIT $3`,
    which.userId,
    which.nowMs,
    which.limit,
  );
  return rows.map(toSession);
}

export function inserting(session: StoredSession): Step {
  return {
    text: `INSERT INTO browser_session
       (proof, id, digest, user_id, amr, created_at_ms, last_seen_ms, expires_at_ms, user_agent, network, ended_at_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL)`,
    values: [
      session.proof,
      session.id,
      session.digest,
      session.userId,
      JSON.stringify(session.amr),
      session.createdAtMs,
      session.lastSeenMs,
      session.expiresAtMs,
      session.userAgent,
      session.network,
    ],
  };
}

export function finding(id: string): Step {
  return { text: 'SELECT id FROM browser_session WHERE id = $1', values: [id] };
}

/** Refused unless the session is in force. It writes what stands there, so that whoever ends it at the same time is in its way. */
export function touching(session: { id: string; nowMs: number; seenAfterMs: number }): Step {
  return {
    text: `UPDATE browser_session SET last_seen_ms = last_seen_ms
     WHERE id = $1 AND ended_at_ms IS NULL AND expires_at_ms > $2 AND last_seen_ms > $3`,
    values: [session.id, session.nowMs, session.seenAfterMs],
    must: { rows: 1, why: 'session' },
  };
}

/** Moves forward only: a slow request never takes back what a later one wrote. */
export async function markSeen(tx: Transaction, seen: { id: string; atMs: number }): Promise<void> {
  await tx.run(
    'UPDATE browser_session SET last_seen_ms = $2 WHERE id = $1 AND last_seen_ms < $2 AND ended_at_ms IS NULL',
    seen.id,
    seen.atMs,
  );
}

export function markingEnded(ended: { id: string; atMs: number }): Step {
  return {
    text: 'UPDATE browser_session SET ended_at_ms = $2 WHERE id = $1 AND ended_at_ms IS NULL',
    values: [ended.id, ended.atMs],
    must: { rows: 1, why: 'session' },
  };
}

/** Ends every session there is. Returns how many. */
export async function markAllEnded(tx: Transaction, atMs: number): Promise<number> {
  return await tx.run('UPDATE browser_session SET ended_at_ms = $1 WHERE ended_at_ms IS NULL', atMs);
}

/** Removes at most `limit` rows that were over before `beforeMs`. */
export async function removeOver(tx: Transaction, old: { beforeMs: number; limit: number }): Promise<number> {
  return await tx.run(
    `DELETE FROM browser_session WHERE id IN (
       SELECT id FROM browser_session WHERE expires_at_ms < $1 OR ended_at_ms < $1 LIMIT $2)`,
    old.beforeMs,
    old.limit,
  );
}

function toSession(row: Row): StoredSession {
  return {
    proof: row.proof,
    digest: row.digest,
    id: row.id,
    userId: row.user_id,
    amr: parseAmr(row.amr),
    createdAtMs: row.created_at_ms,
    lastSeenMs: row.last_seen_ms,
    expiresAtMs: row.expires_at_ms,
    userAgent: row.user_agent,
    network: row.network,
    endedAtMs: row.ended_at_ms ?? undefined,
  };
}

function parseAmr(text: string): string[] {
  const value: unknown = JSON.parse(text);
  return Array.isArray(value) ? value.filter((method) => typeof method === 'string') : [];
}
