import type { Sql, Step, Transaction } from '../store/store.ts';
import { fromRow, type GrantRow, type NewGrant, type Row, type StoredCode } from './rows.ts';

export async function selectGrant(sql: Sql, id: string): Promise<GrantRow | undefined> {
  const row = await sql.get<Row>('SELECT * FROM oauth_grant WHERE id = $1', id);
  return row && fromRow(row);
}

export async function selectGrants(sql: Sql, page: { after: string; limit: number }): Promise<GrantRow[]> {
  const rows = await sql.all<Row>(
    'SELECT * FROM oauth_grant WHERE id > $1 ORDER BY id LIMIT $2',
    page.after,
    page.limit,
  );
  return rows.map(fromRow);
}

/** Most applications of one user that a page shows. */
const MAX_GRANTS_SHOWN = 200;

export async function selectLiveGrantsOfUser(sql: Sql, of: { userId: string; nowMs: number }): Promise<GrantRow[]> {
  const rows = await sql.all<Row>(
    `SELECT * FROM oauth_grant WHERE user_id = $1 AND ended_at_ms IS NULL AND expires_at_ms > $2
     ORDER BY id DESC LIMIT $3`,
    of.userId,
    of.nowMs,
    MAX_GRANTS_SHOWN,
  );
  return rows.map(fromRow);
}

/** What ending a grant has to say of it. None of it ever changes. */
export type EndedGrant = Pick<GrantRow, 'id' | 'clientId' | 'userId' | 'audience'>;

const ENDED = 'id, client_id AS "clientId", user_id AS "userId", audience';

/** Undefined where it has ended. */
export async function selectToEnd(sql: Sql, id: string): Promise<EndedGrant | undefined> {
  return sql.get<EndedGrant>(`SELECT ${ENDED} FROM oauth_grant WHERE id = $1 AND ended_at_ms IS NULL`, id);
}

/** `overAtMs`: what ended by its time before that is over with all its tokens. */
export interface OfSession {
  sessionId: string;
  overAtMs: number;
}

const OF_SESSION = 'session_id = $1 AND expires_at_ms > $2';
// With offline_access it outlives the session. Whole words are compared, by what is the same in every engine.
const DIES_WITH_SESSION = `${OF_SESSION} AND ended_at_ms IS NULL
  AND replace(' ' || scope || ' ', ' offline_access ', '') = ' ' || scope || ' '`;

/** How many grants of a session are not over by their time, and the ids of those that end with it. */
export async function selectOfSession(sql: Sql, of: OfSession): Promise<{ count: number; ids: string[] }> {
  const rows = await sql.all<{ id: string; ends: number }>(
    `SELECT id, CASE WHEN ${DIES_WITH_SESSION} THEN 1 ELSE 0 END AS ends FROM oauth_grant WHERE ${OF_SESSION}`,
    of.sessionId,
    of.overAtMs,
  );
  return { count: rows.length, ids: rows.filter(({ ends }) => ends === 1).map(({ id }) => id) };
}

/** Refused unless a session has as many grants as were found. */
export function askingOfSession(of: OfSession, found: number): Step {
  return {
    text: `SELECT id FROM oauth_grant WHERE ${OF_SESSION}`,
    values: [of.sessionId, of.overAtMs],
    must: { rows: found, why: 'grants_of_session' },
  };
}

/** Why a redemption is refused where its session has as many grants as it may. */
export const SESSION_FULL = 'session_full';

export function askingForRoomInSession(of: OfSession, most: number): Step {
  return {
    text: `SELECT 1 WHERE (SELECT count(*) FROM oauth_grant WHERE ${OF_SESSION}) < $3`,
    values: [of.sessionId, of.overAtMs, most],
    must: { rows: 1, why: SESSION_FULL },
  };
}

/** The ids of the grants that end with a session. This and the next two stand before `markingEndedOfSession`, which ends them. */
export function selectingIdsOfSession(of: OfSession): Step {
  return { text: `SELECT id FROM oauth_grant WHERE ${DIES_WITH_SESSION}`, values: [of.sessionId, of.overAtMs] };
}

/** Their invalidations. */
export function selectingInvalidationsOfSession(of: OfSession & { atMs: number; untilMs: number }): Step {
  return {
    text: `SELECT CAST($3 AS BIGINT), 'grant', id, audience, CAST($4 AS BIGINT), CAST(NULL AS BIGINT) FROM oauth_grant
     WHERE ${DIES_WITH_SESSION}`,
    values: [of.sessionId, of.overAtMs, of.atMs, of.untilMs],
  };
}

/** What their events say. */
export function selectingEventsOfSession(of: OfSession & { reason: string }): Step {
  return {
    text: `SELECT row_number() OVER (ORDER BY id) AS number, client_id, user_id,
       '{"grant":"' || id || '","reason":"' || CAST($3 AS TEXT) || '"}' AS detail
     FROM oauth_grant WHERE ${DIES_WITH_SESSION}`,
    values: [of.sessionId, of.overAtMs, of.reason],
  };
}

export function markingEndedOfSession(of: OfSession & { atMs: number; reason: string; rows: number }): Step {
  return {
    text: `UPDATE oauth_grant SET ended_at_ms = $3, end_reason = $4, sealed_response = NULL WHERE ${DIES_WITH_SESSION}`,
    values: [of.sessionId, of.overAtMs, of.atMs, of.reason],
    must: { rows: of.rows, why: 'grants_of_session' },
  };
}

export function movingToSession(moved: { fromSessionId: string; toSessionId: string }): Step {
  return {
    text: 'UPDATE oauth_grant SET session_id = $2 WHERE session_id = $1',
    values: [moved.fromSessionId, moved.toSessionId],
  };
}

export function insertingGrant(grant: NewGrant & { proof: Uint8Array }): Step {
  return {
    text: `INSERT INTO oauth_grant (proof, id, client_id, user_id, session_id, scope, audience, auth_time_ms, amr, created_at_ms,
       idle_expires_at_ms, expires_at_ms, generation, bucket_version, record)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    values: [
      grant.proof,
      grant.id,
      grant.clientId,
      grant.userId,
      grant.sessionId ?? null,
      grant.scope,
      grant.audience,
      grant.authTimeMs,
      JSON.stringify(grant.amr),
      grant.createdAtMs,
      grant.idleExpiresAtMs,
      grant.expiresAtMs,
      grant.generation,
      grant.bucketVersion ?? null,
      grant.record ?? null,
    ],
  };
}

/** Why a rotation is refused where it is not of the grant as it was read. */
export const GRANT_CHANGED = 'grant';

/**
 * The compare-and-set of a rotation: done for exactly one caller per generation. The session is compared because the new token names
 * it, and a login may move the grant to another.
 */
export function rotatingGrant(rotation: {
  id: string;
  fromGeneration: number;
  fromRecord: Uint8Array;
  sessionId: string | undefined;
  record: Uint8Array;
  bucketVersion: number;
  idleExpiresAtMs: number;
  nowMs: number;
  address: string;
  sealedResponse: Uint8Array;
}): Step {
  return {
    text: `UPDATE oauth_grant SET generation = generation + 1, previous_record = record,
       previous_bucket_version = bucket_version, record = $4, bucket_version = $5, idle_expires_at_ms = $6,
       rotated_at_ms = $7, rotated_from = $8, sealed_response = $9, repeats = 0
     WHERE id = $1 AND generation = $2 AND record = $3 AND session_id IS NOT DISTINCT FROM $10
       AND ended_at_ms IS NULL AND expires_at_ms > $7 AND idle_expires_at_ms > $7`,
    values: [
      rotation.id,
      rotation.fromGeneration,
      rotation.fromRecord,
      rotation.record,
      rotation.bucketVersion,
      rotation.idleExpiresAtMs,
      rotation.nowMs,
      rotation.address,
      rotation.sealedResponse,
      rotation.sessionId ?? null,
    ],
    must: { rows: 1, why: GRANT_CHANGED },
  };
}

/** Counts a repetition of the last answer; refused when there were enough, or it is not the last one any more. */
export function countingRepeat(repeated: { id: string; generation: number; most: number }): Step {
  return {
    text: `UPDATE oauth_grant SET repeats = repeats + 1
     WHERE id = $1 AND generation = $2 AND repeats < $3 AND ended_at_ms IS NULL AND sealed_response IS NOT NULL`,
    values: [repeated.id, repeated.generation, repeated.most],
    must: { rows: 1, why: 'repeats' },
  };
}

export function markingEnded(ended: { id: string; atMs: number; reason: string }): Step {
  return {
    text: `UPDATE oauth_grant SET ended_at_ms = $2, end_reason = $3, sealed_response = NULL
     WHERE id = $1 AND ended_at_ms IS NULL`,
    values: [ended.id, ended.atMs, ended.reason],
    must: { rows: 1, why: 'ended' },
  };
}

/** Ends those that stand behind `afterId` and have not ended, at most `limit`; returns their ids in order. */
export async function markNextEnded(
  tx: Transaction,
  next: { afterId: string; limit: number; atMs: number; reason: string },
): Promise<string[]> {
  const rows = await tx.all<{ id: string }>(
    'SELECT id FROM oauth_grant WHERE ended_at_ms IS NULL AND id > $1 ORDER BY id LIMIT $2',
    next.afterId,
    next.limit,
  );
  await tx.run(
    `UPDATE oauth_grant SET ended_at_ms = $1, end_reason = $2, sealed_response = NULL
     WHERE ended_at_ms IS NULL AND id > $3 AND id <= $4`,
    next.atMs,
    next.reason,
    next.afterId,
    rows.at(-1)?.id ?? next.afterId,
  );
  return rows.map(({ id }) => id);
}

/** The record of a rotation that happened after the backup. Its predecessor is not repeatable: the answer was not kept. */
export async function setRotatedFromJournal(
  tx: Transaction,
  rotated: { grantId: string; generation: number; record: Uint8Array; bucketVersion: number; atMs: number },
): Promise<void> {
  await tx.run(
    `UPDATE oauth_grant SET generation = $2, record = $3, bucket_version = $4, rotated_at_ms = $5,
       previous_record = NULL, previous_bucket_version = NULL, sealed_response = NULL, rotated_from = NULL
     WHERE id = $1 AND generation < $2`,
    rotated.grantId,
    rotated.generation,
    rotated.record,
    rotated.bucketVersion,
    rotated.atMs,
  );
}

export async function deleteFinished(tx: Transaction, old: { beforeMs: number; limit: number }): Promise<number> {
  return tx.run(
    `DELETE FROM oauth_grant WHERE id IN (
       SELECT id FROM oauth_grant WHERE expires_at_ms < $1 ORDER BY expires_at_ms LIMIT $2)`,
    old.beforeMs,
    old.limit,
  );
}

/** Erases answers that can no longer be repeated: nobody needs them, and a thief of everything else could. */
export async function eraseResponses(tx: Transaction, old: { beforeMs: number; limit: number }): Promise<number> {
  return tx.run(
    `UPDATE oauth_grant SET sealed_response = NULL WHERE id IN (
       SELECT id FROM oauth_grant WHERE sealed_response IS NOT NULL AND rotated_at_ms < $1 LIMIT $2)`,
    old.beforeMs,
    old.limit,
  );
}

interface CodeRow {
  proof: Uint8Array;
  digest: Uint8Array;
  id: string;
  client_id: string;
  user_id: string;
  session_id: string;
  redirect_uri: string;
  redirect_uri_sent: number;
  code_challenge: string | null;
  scope: string;
  nonce: string | null;
  auth_time_ms: number;
  amr: string;
  created_at_ms: number;
  expires_at_ms: number;
  redeemed_at_ms: number | null;
  redeemed_from: string | null;
  grant_id: string | null;
}

export async function selectCode(sql: Sql, digest: Uint8Array): Promise<StoredCode | undefined> {
  const row = await sql.get<CodeRow>('SELECT * FROM authorization_code WHERE digest = $1', digest);
  return (
    row && {
      proof: row.proof,
      digest: row.digest,
      id: row.id,
      clientId: row.client_id,
      userId: row.user_id,
      sessionId: row.session_id,
      redirectUri: row.redirect_uri,
      isRedirectUriSent: row.redirect_uri_sent === 1,
      codeChallenge: row.code_challenge ?? undefined,
      scope: row.scope,
      nonce: row.nonce ?? undefined,
      authTimeMs: row.auth_time_ms,
      amr: JSON.parse(row.amr) as string[], // only insertingCode writes this column
      createdAtMs: row.created_at_ms,
      expiresAtMs: row.expires_at_ms,
      redeemedAtMs: row.redeemed_at_ms ?? undefined,
      redeemedFrom: row.redeemed_from ?? undefined,
      grantId: row.grant_id ?? undefined,
    }
  );
}

export function insertingCode(code: StoredCode): Step {
  return {
    text: `INSERT INTO authorization_code (proof, digest, id, client_id, user_id, session_id, redirect_uri, redirect_uri_sent,
       code_challenge, scope, nonce, auth_time_ms, amr, created_at_ms, expires_at_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    values: [
      code.proof,
      code.digest,
      code.id,
      code.clientId,
      code.userId,
      code.sessionId,
      code.redirectUri,
      code.isRedirectUriSent ? 1 : 0,
      code.codeChallenge ?? null,
      code.scope,
      code.nonce ?? null,
      code.authTimeMs,
      JSON.stringify(code.amr),
      code.createdAtMs,
      code.expiresAtMs,
    ],
  };
}

export function findingCode(digest: Uint8Array): Step {
  return { text: 'SELECT id FROM authorization_code WHERE digest = $1', values: [digest] };
}

/** Why a redemption is refused where the code was used before, or its time is over. */
export const CODE_USED = 'code';

/** Done for exactly one caller. */
export function redeemingCode(redeemed: { digest: Uint8Array; nowMs: number; from: string; grantId: string }): Step {
  return {
    text: `UPDATE authorization_code SET redeemed_at_ms = $2, redeemed_from = $3, grant_id = $4
     WHERE digest = $1 AND redeemed_at_ms IS NULL AND expires_at_ms > $2`,
    values: [redeemed.digest, redeemed.nowMs, redeemed.from, redeemed.grantId],
    must: { rows: 1, why: CODE_USED },
  };
}

/** Takes a code out of use without a grant. */
export async function burnCode(tx: Transaction, digest: Uint8Array, nowMs: number): Promise<void> {
  await tx.run(
    'UPDATE authorization_code SET redeemed_at_ms = $2 WHERE digest = $1 AND redeemed_at_ms IS NULL',
    digest,
    nowMs,
  );
}

export async function burnAllCodes(tx: Transaction, nowMs: number): Promise<void> {
  await tx.run('UPDATE authorization_code SET redeemed_at_ms = $1 WHERE redeemed_at_ms IS NULL', nowMs);
}

export async function deleteExpiredCodes(tx: Transaction, old: { beforeMs: number; limit: number }): Promise<number> {
  return tx.run(
    `DELETE FROM authorization_code WHERE digest IN (
       SELECT digest FROM authorization_code WHERE expires_at_ms < $1 ORDER BY expires_at_ms LIMIT $2)`,
    old.beforeMs,
    old.limit,
  );
}
