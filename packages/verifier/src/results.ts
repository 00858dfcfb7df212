import type { AccessTokenClaims, Handles, Verdict } from '@countersign/protocol';
import type { RefusalCode, UnavailableCode } from './errors.ts';

/**
 * Claims of an accepted token, without the entropy bucket: it has done its work, and what an application logs or passes on
 * must not hold it.
 */
export type VerifiedClaims = Omit<AccessTokenClaims, 'eb'>;

/** The outcome of a verification: accepted, refused, or not decidable now. */
export type VerifyResult = Accepted | Refused | Unavailable;

export interface Accepted {
  kind: 'accepted';
  claims: VerifiedClaims;
  /** Opaque names for grouping, different for each resource server. */
  handles: Handles;
  /** Milliseconds of life left, by the authority's clock, when it answered. */
  expiresInMs: number;
}

export interface Refused {
  kind: 'refused';
  /** The cause, for this program only. Callers are told `REFUSALS[code].publicCode`. */
  code: RefusalCode;
  /** What the token is, where that is known: the authority's word, or `forged` where the claims already prove it. */
  verdict?: Verdict;
  status: 401 | 403;
  /** Ready value of `WWW-Authenticate` (RFC 6750 §3). */
  challenge: string;
}

export interface Unavailable {
  kind: 'unavailable';
  code: UnavailableCode;
  status: 503;
  /** One sentence for the operator's log. */
  message: string;
}
