import { PROOF_ALGORITHMS } from './proof/algorithms.ts';

/** Outside RFC 6750 §3's characters for attribute values: %x20-21 / %x23-5B / %x5D-7E. No quote, backslash, CR or LF. */
const FORBIDDEN = /[^\x20\x21\x23-\x5b\x5d-\x7e]/g;

/** A scope-token of RFC 6749 §3.3. An `acr` of RFC 9470 §3 stands in a list with spaces between, too. */
const WORD = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

/** How a client may present a token (RFC 6750 §2.1, RFC 9449 §7.1). */
export type Scheme = 'Bearer' | 'DPoP';

export interface ChallengeAttributes {
  realm: string;
  error?:
    | 'invalid_request'
    | 'invalid_token'
    | 'insufficient_scope'
    | 'invalid_dpop_proof'
    | 'insufficient_user_authentication';
  description?: string;
  scopes?: readonly string[];
  /** What the login must have been: one of these (RFC 9470 §3). */
  acrValues?: readonly string[];
  /** How long ago the login may have been, in seconds (RFC 9470 §3). */
  maxAgeSeconds?: number;
}

/**
 * A value for `WWW-Authenticate` (RFC 6750 §3). Each attribute stands at most once, in a fixed order; characters that could
 * end the quoted string or the header are left out, so that no value from outside can add an attribute.
 *
 * @example bearerChallenge({ realm: 'https://api.example' }) // Bearer realm="https://api.example"
 */
export function bearerChallenge(attributes: ChallengeAttributes): string {
  return `Bearer ${parts(attributes).join(', ')}`;
}

/**
 * The same for tokens that come with a proof (RFC 9449 §7.1); it names the algorithms that a proof may have.
 *
 * @example dpopChallenge({ realm: 'https://api.example' })
 * // DPoP realm="https://api.example", algs="ES256 Ed25519 EdDSA PS256 RS256"
 */
export function dpopChallenge(attributes: ChallengeAttributes): string {
  return `DPoP ${[...parts(attributes), `algs="${PROOF_ALGORITHMS.join(' ')}"`].join(', ')}`;
}

/**
 * Both challenges as one value, `Bearer` first, as RFC 9449 §7.2 writes them: two header lines would reach a client joined
 * like this anyway. What went wrong stands with the scheme that was tried, and with both where that cannot be said.
 *
 * @example bothChallenges({ realm: 'r', error: 'invalid_token' }, 'Bearer')
 * // Bearer realm="r", error="invalid_token", DPoP realm="r", algs="ES256 Ed25519 EdDSA PS256 RS256"
 */
export function bothChallenges(attributes: ChallengeAttributes, tried?: Scheme): string {
  const { realm } = attributes;
  const bearer = bearerChallenge(tried === 'DPoP' ? { realm } : attributes);
  const dpop = dpopChallenge(tried === 'Bearer' ? { realm } : attributes);
  return `${bearer}, ${dpop}`;
}

/** Whether a token can carry it as a scope, or a challenge ask for it. */
export function isWord(value: unknown): value is string {
  return typeof value === 'string' && WORD.test(value);
}

function parts({ realm, error, description, scopes, acrValues, maxAgeSeconds }: ChallengeAttributes): string[] {
  const parts = [`realm="${permitted(realm)}"`];
  if (error) parts.push(`error="${error}"`);
  if (description) parts.push(`error_description="${permitted(description)}"`);
  if (scopes?.length) parts.push(`scope="${permitted(scopes.join(' '))}"`);
  if (acrValues?.length) parts.push(`acr_values="${permitted(acrValues.join(' '))}"`);
  if (maxAgeSeconds !== undefined) parts.push(`max_age="${maxAgeSeconds}"`);
  return parts;
}

function permitted(value: string): string {
  return value.replace(FORBIDDEN, '');
}
