/** What the rows of this domain say, in the words of the code. */

export interface GrantRow {
  proof: Uint8Array;
  id: string;
  clientId: string;
  userId: string;
  sessionId: string | undefined;
  scope: string;
  audience: string;
  authTimeMs: number;
  amr: readonly string[];
  createdAtMs: number;
  idleExpiresAtMs: number;
  expiresAtMs: number;
  /** 0: there is no refresh token. */
  generation: number;
  bucketVersion: number | undefined;
  record: Uint8Array | undefined;
  previousBucketVersion: number | undefined;
  previousRecord: Uint8Array | undefined;
  rotatedAtMs: number | undefined;
  rotatedFrom: string | undefined;
  sealedResponse: Uint8Array | undefined;
  repeats: number;
  endedAtMs: number | undefined;
  endReason: string | undefined;
}

/** A grant as it begins. */
export type NewGrant = Pick<
  GrantRow,
  | 'id'
  | 'clientId'
  | 'userId'
  | 'sessionId'
  | 'scope'
  | 'audience'
  | 'authTimeMs'
  | 'amr'
  | 'createdAtMs'
  | 'idleExpiresAtMs'
  | 'expiresAtMs'
  | 'generation'
  | 'bucketVersion'
  | 'record'
>;

export interface AuthorizationCode {
  digest: Uint8Array;
  id: string;
  clientId: string;
  userId: string;
  sessionId: string;
  redirectUri: string;
  isRedirectUriSent: boolean;
  codeChallenge: string | undefined;
  scope: string;
  nonce: string | undefined;
  authTimeMs: number;
  amr: readonly string[];
  createdAtMs: number;
  expiresAtMs: number;
  redeemedAtMs?: number | undefined;
  redeemedFrom?: string | undefined;
  grantId?: string | undefined;
}

/** A code as it is stored, not yet known to be ours. */
export type StoredCode = AuthorizationCode & { proof: Uint8Array };

/** A grant as the table has it. */
export interface Row {
  proof: Uint8Array;
  id: string;
  client_id: string;
  user_id: string;
  session_id: string | null;
  scope: string;
  audience: string;
  auth_time_ms: number;
  amr: string;
  created_at_ms: number;
  idle_expires_at_ms: number;
  expires_at_ms: number;
  generation: number;
  bucket_version: number | null;
  record: Uint8Array | null;
  previous_bucket_version: number | null;
  previous_record: Uint8Array | null;
  rotated_at_ms: number | null;
  rotated_from: string | null;
  sealed_response: Uint8Array | null;
  repeats: number;
  ended_at_ms: number | null;
  end_reason: string | null;
}

export function fromRow(row: Row): GrantRow {
  return {
    proof: row.proof,
    id: row.id,
    clientId: row.client_id,
    userId: row.user_id,
    sessionId: row.session_id ?? undefined,
    scope: row.scope,
    audience: row.audience,
    authTimeMs: row.auth_time_ms,
    amr: JSON.parse(row.amr) as string[], // only insertingGrant writes this column
    createdAtMs: row.created_at_ms,
    idleExpiresAtMs: row.idle_expires_at_ms,
    expiresAtMs: row.expires_at_ms,
    generation: row.generation,
    bucketVersion: row.bucket_version ?? undefined,
    record: row.record ?? undefined,
    previousBucketVersion: row.previous_bucket_version ?? undefined,
    previousRecord: row.previous_record ?? undefined,
    rotatedAtMs: row.rotated_at_ms ?? undefined,
    rotatedFrom: row.rotated_from ?? undefined,
    sealedResponse: row.sealed_response ?? undefined,
    repeats: row.repeats,
    endedAtMs: row.ended_at_ms ?? undefined,
    endReason: row.end_reason ?? undefined,
  };
}
