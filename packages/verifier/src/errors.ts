/**
 * Every way in which a verification ends without an accepted token: one table, from which codes, statuses and challenges
 * follow. `code` is for the resource server's own program and its metrics. What the caller is told is coarser
 * (`publicCode`): a forger must not learn from the answer which of his guesses came close.
 */

/** How a refusal looks from outside (RFC 6750 §3.1, RFC 9449 §7.1, RFC 9470 §3). */
export interface Refusal {
  status: 401 | 403;
  /** The RFC's word; none when the request carried no credentials at all (RFC 6750 §3.1, last paragraph). */
  error?: 'invalid_token' | 'insufficient_scope' | 'invalid_dpop_proof' | 'insufficient_user_authentication';
  /** The code the caller may see. */
  publicCode:
    | 'token_missing'
    | 'token_invalid'
    | 'token_expired'
    | 'scope_insufficient'
    | 'proof_invalid'
    | 'proof_not_taken'
    | 'authentication_insufficient';
  /** One fixed sentence, in the characters RFC 6750 §3 allows. */
  description: string;
}

const INVALID = {
  status: 401,
  error: 'invalid_token',
  publicCode: 'token_invalid',
  description: 'The access token is not valid.',
} as const satisfies Refusal;

/** The proof is bad and the token may be good: the client makes another proof, it does not ask for another token. */
const PROOF_INVALID = {
  status: 401,
  error: 'invalid_dpop_proof',
  publicCode: 'proof_invalid',
  description: 'The request needs one fresh DPoP proof, made for it and for this access token.',
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
  /** Its key is marked compromised, and the record, which alone could tell good tokens from the thief's, is not asked (`offline`). */
  token_key_compromised: INVALID,
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
  /** Bound to a key of its client (`cnf`), yet sent as `Bearer`: as that it is worth nothing (RFC 9449 §7.2). */
  token_binding_unproven: INVALID,
  /** Sent as `DPoP`, yet bound to no key: any key would do, so a proof proves nothing (RFC 9449 §7.1). */
  token_not_bound: INVALID,
  /** Sent as `DPoP` without a `DPoP` header. */
  proof_missing: PROOF_INVALID,
  /**
   * Bound, and sent as `DPoP`, where no `origin` is set up that a proof could be made for: another token or proof would fare no better.
   * The challenge offers `Bearer` and names no error, as for any scheme that is not taken (RFC 6750 §3.1).
   */
  proof_not_taken: {
    status: 401,
    publicCode: 'proof_not_taken',
    description: 'This resource takes bearer tokens only, and no DPoP proofs.',
  },
  /** More than one proof (RFC 9449 §4.3, 1). */
  proof_repeated: PROOF_INVALID,
  /** Too long, not a JWT, or a claim of RFC 9449 §4.2 is missing or not of its type. */
  proof_malformed: PROOF_INVALID,
  /** Another kind of token (`typ`). */
  proof_wrong_type: PROOF_INVALID,
  /** `alg` is not among those that challenges name. */
  proof_algorithm_refused: PROOF_INVALID,
  /** The header holds what brings another key along or changes what is signed (`jku`, `x5u`, `x5c`, `crit`, `b64`). */
  proof_header_refused: PROOF_INVALID,
  /** `jwk` is missing, private, weak, or not for the algorithm. */
  proof_key_refused: PROOF_INVALID,
  /** Made with another key than the one the token is bound to: token and client do not belong together (RFC 9449 §7.1). */
  proof_wrong_key: INVALID,
  proof_bad_signature: PROOF_INVALID,
  /** Made for another method (`htm`). */
  proof_wrong_method: PROOF_INVALID,
  /** Made for another address (`htu`). */
  proof_wrong_url: PROOF_INVALID,
  /** Made for another token, or for none (`ath`). */
  proof_wrong_token: PROOF_INVALID,
  /** Made too long ago or in the future, by our clock. Many of these: two clocks differ. */
  proof_untimely: PROOF_INVALID,
  /** Good, and used before. A client that repeats a request makes a new proof; only somebody who copied one does not. */
  proof_replayed: PROOF_INVALID,
  /** The user logged in too long ago, or in a weaker way than this resource asks (RFC 9470 §3). */
  authentication_insufficient: {
    status: 401,
    error: 'insufficient_user_authentication',
    publicCode: 'authentication_insufficient',
    description: 'This resource needs the user to log in again, or in another way.',
  },
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
  /** The authority is away, and has been for longer than what is known of the token may be believed. */
  'verification_stale',
  /** Checks of this token were overtaken by revocations several times in a row. Asking again helps. */
  'check_contended',
  /** The memory of used DPoP proofs is full: whether this one is a replay cannot be known. */
  'proof_replay_cache_full',
  /** The shared memory of used DPoP proofs failed or did not answer in time. */
  'proof_replay_store_failed',
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
