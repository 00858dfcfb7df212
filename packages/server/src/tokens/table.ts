import type { Sql, Step, Transaction } from '../store/store.ts';

export interface TokenRow {
  jti: string;
  grantId: string | undefined;
  clientId: string;
  userId: string | undefined;
  sessionId: string | undefined;
  audience: string;
  keyId: string;
  bucketVersion: number;
  record: Uint8Array;
  issuedAtMs: number;
  expiresAtMs: number;
  /** Dead from this moment on: the supersession and its overlap. */
  supersededAtMs: number | undefined;
  revokedAtMs: number | undefined;
}

interface Row {
  jti: string;
  grant_id: string | null;
  client_id: string;
  user_id: string | null;
  session_id: string | null;
  audience: string;
  key_id: string;
  bucket_version: number;
  record: Uint8Array;
  issued_at_ms: number;
  expires_at_ms: number;
  superseded_at_ms: number | null;
  revoked_at_ms: number | null;
}

export async function selectToken(sql: Sql, jti: string): Promise<TokenRow | undefined> {
  const row = await sql.get<Row>('SELECT * FROM access_token WHERE jti = $1', jti);
  return row && fromRow(row);
}

export async function selectTokens(sql: Sql, page: { after: string; limit: number }): Promise<TokenRow[]> {
  const rows = await sql.all<Row>(
    'SELECT * FROM access_token WHERE jti > $1 ORDER BY jti LIMIT $2',
    page.after,
    page.limit,
  );
  return rows.map(fromRow);
}

export function insertingToken(row: TokenRow): Step {
  return {
    text: `INSERT INTO access_token (jti, grant_id, client_id, user_id, session_id, audience, key_id, bucket_version, record,
       issued_at_ms, expires_at_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    values: [
      row.jti,
      row.grantId ?? null,
      row.clientId,
      row.userId ?? null,
      row.sessionId ?? null,
      row.audience,
      row.keyId,
      row.bucketVersion,
      row.record,
      row.issuedAtMs,
      row.expiresAtMs,
    ],
  };
}

export function findingToken(jti: string): Step {
  return { text: 'SELECT jti FROM access_token WHERE jti = $1', values: [jti] };
}

/** Refuses where a grant has as many live tokens as it may. */
export function askingForRoom(of: { grantId: string; nowMs: number; most: number; why: string }): Step {
  return {
    text: `SELECT 1 WHERE (
       SELECT count(*) FROM access_token
       WHERE grant_id = $1 AND expires_at_ms > $2 AND revoked_at_ms IS NULL
         AND (superseded_at_ms IS NULL OR superseded_at_ms > $2)) < $3`,
    values: [of.grantId, of.nowMs, of.most],
    must: { rows: 1, why: of.why },
  };
}

export async function countLiveOfClient(sql: Sql, clientId: string, nowMs: number): Promise<number> {
  const row = await sql.get<{ live: number }>(
    'SELECT count(*) AS live FROM access_token WHERE client_id = $1 AND expires_at_ms > $2',
    clientId,
    nowMs,
  );
  return row?.live ?? 0;
}

export interface Superseding {
  grantId: string;
  /** The successor. */
  jti: string;
  deadFromMs: number;
}

const SUPERSEDED = `grant_id = $1 AND jti <> $2 AND superseded_at_ms IS NULL AND revoked_at_ms IS NULL
       AND expires_at_ms > $3`;

/**
 * The invalidations of the tokens that `superseding` ends. Stands before it: done one after the other, it would find none of them
 * after it; done as one statement, both see the same rows.
 */
export function selectingSuperseded(of: Superseding & { atMs: number; outlivesMs: number }): Step {
  return {
    text: `SELECT CAST($4 AS BIGINT), 'superseded', jti, audience, expires_at_ms + $5, expires_at_ms FROM access_token
     WHERE ${SUPERSEDED}`,
    values: [of.grantId, of.jti, of.deadFromMs, of.atMs, of.outlivesMs],
  };
}

export function superseding(of: Superseding): Step {
  return {
    text: `UPDATE access_token SET superseded_at_ms = $3 WHERE ${SUPERSEDED}`,
    values: [of.grantId, of.jti, of.deadFromMs],
  };
}

export function revokingTokensOfGrant(grantId: string, nowMs: number): Step {
  return {
    text: 'UPDATE access_token SET revoked_at_ms = $2 WHERE grant_id = $1 AND revoked_at_ms IS NULL',
    values: [grantId, nowMs],
  };
}

/** The same for all grants whose ids `selected` finds. */
export function revokingTokensOfGrants(selected: Step, nowMs: number): Step {
  return {
    text: `UPDATE access_token SET revoked_at_ms = $${selected.values.length + 1}
     WHERE revoked_at_ms IS NULL AND grant_id IN (${selected.text})`,
    values: [...selected.values, nowMs],
  };
}

export function revokingToken(jti: string, nowMs: number): Step {
  return {
    text: 'UPDATE access_token SET revoked_at_ms = $2 WHERE jti = $1 AND revoked_at_ms IS NULL',
    values: [jti, nowMs],
    must: { rows: 1, why: 'revoked' },
  };
}

export async function revokeAllTokens(tx: Transaction, nowMs: number): Promise<number> {
  return tx.run('UPDATE access_token SET revoked_at_ms = $1 WHERE revoked_at_ms IS NULL', nowMs);
}

export async function deleteExpired(tx: Transaction, old: { beforeMs: number; limit: number }): Promise<number> {
  return tx.run(
    `DELETE FROM access_token WHERE jti IN (
       SELECT jti FROM access_token WHERE expires_at_ms < $1 ORDER BY expires_at_ms LIMIT $2)`,
    old.beforeMs,
    old.limit,
  );
}

function fromRow(row: Row): TokenRow {
  return {
    jti: row.jti,
    grantId: row.grant_id ?? undefined,
    clientId: row.client_id,
    userId: row.user_id ?? undefined,
    sessionId: row.session_id ?? undefined,
    audience: row.audience,
    keyId: row.key_id,
    bucketVersion: row.bucket_version,
    record: row.record,
    issuedAtMs: row.issued_at_ms,
    expiresAtMs: row.expires_at_ms,
    supersededAtMs: row.superseded_at_ms ?? undefined,
    revokedAtMs: row.revoked_at_ms ?? undefined,
  };
}
