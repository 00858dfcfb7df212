import { isId } from './ids.ts';

/** JWS header `typ` of each token kind. A kind is refused wherever another is expected (RFC 8725 §3.11). */
export const TOKEN_TYPES = {
  access: 'at+jwt',
  refresh: 'rt+jwt',
  magicLink: 'ml+jwt',
  id: 'JWT',
} as const;

/** Signature algorithms an access token may carry, each for the key that is published for it (RFC 8725 §3.1). */
export const RESOURCE_SERVER_ALGORITHMS = ['ES256', 'Ed25519', 'RS256'] as const;

/** How far two clocks may differ before `exp` and `iat` count against a token. */
export const CLOCK_LEEWAY_SECONDS = 30;

/**
 * The longest life any access token is ever given (settings above it stop the start). A validly signed token with a longer
 * one was therefore never issued: it is forged.
 */
export const MAX_ACCESS_TOKEN_LIFETIME_SECONDS = 86_400;

/** Proof-of-possession key of a sender-constrained token (RFC 7800 §3). */
export interface Confirmation {
  /** Thumbprint of the DPoP key (RFC 9449 §6.1). */
  jkt?: string;
}

/** Claims of an access token: RFC 9068 §2.2 and the entropy bucket. Times are Unix seconds. */
export interface AccessTokenClaims {
  iss: string;
  sub: string;
  aud: string;
  client_id: string;
  jti: string;
  iat: number;
  exp: number;
  eb: string;
  scope: string;
  sid?: string;
  auth_time?: number;
  acr?: string;
  amr?: readonly string[];
  cnf?: Confirmation;
}

/** What is wrong with the claims of a validly signed access token. `impossible` means that no authority issued it. */
export type ClaimsProblem = 'impossible' | 'wrong_audience' | 'expired' | 'not_yet_valid';

/** `at+jwt` or `application/at+jwt`, compared as media types are (RFC 9068 §4). */
export function isAccessTokenType(typ: unknown): boolean {
  return typeof typ === 'string' && /^(application\/)?at\+jwt$/i.test(typ);
}

/**
 * Reads the claims of an access token whose signature and `eb` form were checked, for one issuer and one audience.
 *
 * `impossible`: our key signed it, yet the authority never writes such claims (foreign issuer, missing or mistyped members,
 * a life longer than `MAX_ACCESS_TOKEN_LIFETIME_SECONDS`): evidence of a forgery. The other problems are everyday refusals.
 * The record is NOT yet checked, nor scope, nor whether whoever sends the token holds the key that `cnf` names.
 */
export function accessTokenClaims(
  claims: Record<string, unknown>,
  expected: { issuer: string; audiences: readonly string[]; nowMs: number },
): { kind: 'claims'; claims: AccessTokenClaims } | { kind: ClaimsProblem } {
  if (!hasAccessTokenShape(claims) || claims.iss !== expected.issuer) return { kind: 'impossible' };
  if (claims.exp <= claims.iat || claims.exp - claims.iat > MAX_ACCESS_TOKEN_LIFETIME_SECONDS) {
    return { kind: 'impossible' };
  }
  if (!expected.audiences.includes(claims.aud)) return { kind: 'wrong_audience' };
  const nowSeconds = expected.nowMs / 1000;
  if (nowSeconds >= claims.exp + CLOCK_LEEWAY_SECONDS) return { kind: 'expired' };
  if (claims.iat > nowSeconds + CLOCK_LEEWAY_SECONDS) return { kind: 'not_yet_valid' };
  return { kind: 'claims', claims };
}

function hasAccessTokenShape(claims: object): claims is AccessTokenClaims {
  const { iss, sub, aud, client_id, jti, iat, exp, eb, scope, cnf, nbf } = claims as Record<string, unknown>;
  return (
    [iss, sub, aud, client_id, eb, scope].every((value) => typeof value === 'string') &&
    isId('acctok', jti) && // the authority names tokens by its own ids only
    Number.isSafeInteger(iat) &&
    Number.isSafeInteger(exp) &&
    isConfirmationOrAbsent(cnf) &&
    nbf === undefined // never written, so nothing may hide in it
  );
}

/** Written as an object or not at all. Read more generously, a `cnf` of null would be a bound token to one reader and none to another. */
function isConfirmationOrAbsent(cnf: unknown): boolean {
  if (cnf === undefined) return true;
  if (typeof cnf !== 'object' || cnf === null || Array.isArray(cnf)) return false;
  return !('jkt' in cnf) || typeof cnf.jkt === 'string';
}
