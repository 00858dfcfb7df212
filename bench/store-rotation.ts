/**
 * The operation the store bench repeats: one refresh rotation, in the statements and tables of the product. Shared by the
 * embedded store and by the prototype of a writer thread, so that both do the same work.
 */
import type { SqlValue } from '../packages/server/src/store/store.ts';

export interface Rotation {
  readonly grantId: string;
  readonly generation: number;
  readonly record: Uint8Array;
  readonly tokenId: string;
  readonly previousTokenId: string;
  readonly nowMs: number;
}

export interface Statement {
  readonly text: string;
  readonly values: SqlValue[];
}

/** The first is the compare-and-set: without a row from it the others are not run. */
export function rotationStatements(rotation: Rotation): [Statement, ...Statement[]] {
  const { grantId, generation, record, tokenId, previousTokenId, nowMs } = rotation;
  return [
    {
      text: `UPDATE oauth_grant SET generation = generation + 1, previous_record = record, record = $3, rotated_at_ms = $4
             WHERE id = $1 AND generation = $2 AND ended_at_ms IS NULL RETURNING generation`,
      values: [grantId, generation, record, nowMs],
    },
    {
      text: `INSERT INTO access_token (jti, grant_id, client_id, user_id, audience, key_id, bucket_version, record,
             issued_at_ms, expires_at_ms) VALUES ($1, $2, 'oauth2client_1', 'user_1', 'api', 'key_1', 1, $3, $4, $5)`,
      values: [tokenId, grantId, record, nowMs, nowMs + 900_000],
    },
    { text: 'UPDATE access_token SET superseded_at_ms = $2 WHERE jti = $1', values: [previousTokenId, nowMs + 10_000] },
    {
      text: "INSERT INTO invalidation (at_ms, kind, subject_id, audience, until_ms) VALUES ($1, 'token', $2, 'api', $3)",
      values: [nowMs, previousTokenId, nowMs + 900_000],
    },
  ];
}

/** Nothing here asks whether a row is the authority's own. */
const NO_PROOF = new Uint8Array(33);

/** What must exist before grants `grant_0 … grant_<count - 1>` can be rotated. */
export function seedStatements(count: number): Statement[] {
  const grants = Array.from({ length: count }, (_, index) => ({
    text: `INSERT INTO oauth_grant (id, client_id, user_id, scope, audience, auth_time_ms, amr, created_at_ms,
           idle_expires_at_ms, expires_at_ms, generation, record, proof)
           VALUES ($1, 'oauth2client_1', 'user_1', '', 'api', 0, '[]', 0, 0, 0, 1, $2, $3)`,
    values: [`grant_${index}`, new Uint8Array(32), NO_PROOF],
  }));
  return [
    {
      text: "INSERT INTO app_user (id, email, created_at_ms, proof) VALUES ('user_1', 'a@example.org', 0, $1)",
      values: [NO_PROOF],
    },
    {
      text: `INSERT INTO client (id, name, confidential, auth_method, redirect_uris, grant_types, scopes, audience,
             resource_server_for, allowed_origins, single_active, access_lifetime_seconds, refresh_idle_seconds,
             refresh_absolute_seconds, grace_seconds, overlap_seconds, max_live_tokens, created_at_ms, proof)
             VALUES ('oauth2client_1', 'One', 1, 'none', '[]', '[]', '', '', '[]', '[]', 'off', 900, 0, 0, 0, 0, 9, 0, $1)`,
      values: [NO_PROOF],
    },
    ...grants,
  ];
}

/** What the product journals with a rotation. */
export function journalEntry(rotation: Rotation) {
  const { grantId, generation, record, nowMs } = rotation;
  return { kind: 'grant_rotated', grantId, generation: generation + 1, record, bucketVersion: 1, atMs: nowMs } as const;
}
