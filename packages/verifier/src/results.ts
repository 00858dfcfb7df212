import type { AccessTokenClaims, Handles, Verdict } from '@countersign/protocol';
import type { RefusalCode, UnavailableCode } from './errors.ts';

/**
 * Claims of an accepted token, without the entropy bucket: it has done its work, and what an application logs or passes on
 * must not hold it.
 */
export type VerifiedClaims = Readonly<Omit<AccessTokenClaims, 'eb'>>;

/** The outcome of a verification: accepted, refused, or not decidable now. */
export type VerifyResult = Accepted | Refused | Unavailable;

export interface Accepted {
  kind: 'accepted';
  /**
   * What the acceptance rests on: signature and record, or (mode `offline`) the signature alone, which whoever holds a leaked
   * key can make.
   */
  basis: 'record' | 'signature';
  /** Read-only, at run time too: it may be the same object for every request with this token. */
  claims: VerifiedClaims;
  /** Opaque names for grouping, different for each resource server. None on the basis of a signature alone. */
  handles?: Handles;
  /** End of the token's life by the authority's word, in Unix milliseconds of this machine; without it, by the token's `exp`. */
  expiresAtMs: number;
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
