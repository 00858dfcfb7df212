/**
 * Every way in which a verification ends without an accepted token: one table, from which codes, statuses and challenges
 * follow. `code` is for the resource server's own program and its metrics. What the caller is told is coarser
 * (`publicCode`): a forger must not learn from the answer which of his guesses came close.
 */

/** How a refusal looks from outside (RFC 6750 §3.1). */
export interface Refusal {
  status: 401 | 403;
  /** The RFC's word; none when the request carried no credentials at all (RFC 6750 §3.1, last paragraph). */
  error?: 'invalid_token' | 'insufficient_scope';
  /** The code the caller may see. */
  publicCode: 'token_missing' | 'token_invalid' | 'token_expired' | 'scope_insufficient';
  /** One fixed sentence, in the characters RFC 6750 §3 allows. */
  description: string;
}

const INVALID = {
  status: 401,
  error: 'invalid_token',
  publicCode: 'token_invalid',
  description: 'The access token is not valid.',
} as const satisfies Refusal;

/** Refusals by code. Stable: codes are added, never renamed. */
export const REFUSALS = {
  token_missing: {
    status: 401,
    publicCode: 'token_missing',
    description: 'This resource needs an access token in the Authorization header.',
  },
  /** Not three segments of canonical base64url and canonical JSON, or too long. */
  token_malformed: INVALID,
  /** Another kind of token (`typ`), for instance an ID token. */
  token_wrong_type: INVALID,
  /** The header holds more than `alg`, `typ` and `kid` (`jku`, `jwk`, `x5u`, `x5c`, `crit`, `b64`, …). */
  token_header_refused: INVALID,
  /** `alg` is outside the allowlist, or not the one algorithm of the named key. */
  token_algorithm_refused: INVALID,
  /** The authority publishes no access-token key of this name. */
  token_unknown_key: INVALID,
  token_bad_signature: INVALID,
  token_expired: { ...INVALID, publicCode: 'token_expired', description: 'The access token has expired.' },
  /** Issued in the future, by our clock and leeway. */
  token_not_yet_valid: INVALID,
  token_wrong_audience: INVALID,
  /** Signed with the authority's key, yet never issued. The signing key is in other hands. */
  token_forged: INVALID,
  /** Issued, but with other content. The signing key is in other hands. */
  token_tampered: INVALID,
  /** No record of it at the authority. */
  token_unknown: INVALID,
  token_revoked: INVALID,
  token_superseded: INVALID,
  /** Bound to a key of its client (`cnf`): as a bare bearer token it is worth nothing (RFC 9449 §7.2). */
  token_binding_unproven: INVALID,
  scope_insufficient: {
    status: 403,
    error: 'insufficient_scope',
    publicCode: 'scope_insufficient',
    description: 'The access token does not carry the scope this resource needs.',
  },
} as const satisfies Record<string, Refusal>;

export type RefusalCode = keyof typeof REFUSALS;

/** Why nothing could be decided; the request fails closed with 503. */
export const UNAVAILABLE_CODES = [
  /** No answer in time, connection refused, TLS failure, redirect, 429 or 5xx. */
  'authority_unreachable',
  /** The authority does not accept this resource server's client id and secret, or not its role. */
  'authority_credentials_refused',
  /** This resource server is not registered there for the audience it was set up with. */
  'authority_audience_refused',
  /** It answered something else than the protocol says. */
  'authority_answer_invalid',
  /** Its metadata names another issuer or leads to another origin (RFC 8414 §3.3). */
  'authority_metadata_invalid',
  /** Its store is older than one seen before: an unannounced restore, under which revoked tokens could live again. */
  'authority_epoch_went_back',
  /** `close()` was called. */
  'verifier_closed',
] as const;

export type UnavailableCode = (typeof UNAVAILABLE_CODES)[number];

/**
 * The authority could not be asked, or not be believed. `message` says what was being done, what was wrong and what to do;
 * it holds no token, secret or answer body.
 */
export class AuthorityError extends Error {
  readonly code: UnavailableCode;

  constructor(code: UnavailableCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'AuthorityError';
    this.code = code;
  }
}
