import type { Sql, Transaction } from '../store/store.ts';

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

export async function insertToken(tx: Transaction, row: TokenRow): Promise<void> {
  await tx.run(
    `INSERT INTO access_token (jti, grant_id, client_id, user_id, session_id, audience, key_id, bucket_version, record,
       issued_at_ms, expires_at_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
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
  );
}

export async function countLiveOfGrant(sql: Sql, grantId: string, nowMs: number): Promise<number> {
  const row = await sql.get<{ live: number }>(
    `SELECT count(*) AS live FROM access_token
     WHERE grant_id = $1 AND expires_at_ms > $2 AND revoked_at_ms IS NULL
       AND (superseded_at_ms IS NULL OR superseded_at_ms > $2)`,
    grantId,
    nowMs,
  );
  return row?.live ?? 0;
}

export async function countLiveOfClient(sql: Sql, clientId: string, nowMs: number): Promise<number> {
  const row = await sql.get<{ live: number }>(
    'SELECT count(*) AS live FROM access_token WHERE client_id = $1 AND expires_at_ms > $2',
    clientId,
    nowMs,
  );
  return row?.live ?? 0;
}

export async function supersedeOthers(
  tx: Transaction,
  kept: { grantId: string; jti: string; deadFromMs: number },
): Promise<{ jti: string; audience: string; expiresAtMs: number }[]> {
  return tx.all(
    `UPDATE access_token SET superseded_at_ms = $3
     WHERE grant_id = $1 AND jti <> $2 AND superseded_at_ms IS NULL AND revoked_at_ms IS NULL AND expires_at_ms > $3
     RETURNING jti, audience, expires_at_ms AS "expiresAtMs"`,
    kept.grantId,
    kept.jti,
    kept.deadFromMs,
  );
}

export async function revokeTokensOfGrant(tx: Transaction, grantId: string, nowMs: number): Promise<void> {
  await tx.run(
    'UPDATE access_token SET revoked_at_ms = $2 WHERE grant_id = $1 AND revoked_at_ms IS NULL',
    grantId,
    nowMs,
  );
}

export async function revokeToken(tx: Transaction, jti: string, nowMs: number): Promise<TokenRow | undefined> {
  const [row] = await tx.all<Row>(
    'UPDATE access_token SET revoked_at_ms = $2 WHERE jti = $1 AND revoked_at_ms IS NULL RETURNING *',
    jti,
    nowMs,
  );
  return row && fromRow(row);
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
