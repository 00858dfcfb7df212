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
