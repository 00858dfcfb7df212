import { hash, timingSafeEqual } from 'node:crypto';
import { CLOCK_LEEWAY_SECONDS } from '@countersign/protocol';
import type { RefusalCode } from '../errors.ts';
import { isSameTarget } from './target.ts';

/** How old a proof may be: time for a slow request and for a clock that is behind. For as long a used one is remembered. */
export const MAX_PROOF_AGE_SECONDS = 60;

/** How far in the future it may have been made: a clock that is ahead. Small, for a proof made ahead can be stolen ahead. */
export const MAX_PROOF_LEAD_SECONDS = 10;

/** Longest `jti`, in characters; a UUID has 36. */
const MAX_JTI_LENGTH = 256;

/** What a proof must have been made for. */
export interface ProofTarget {
  method: string;
  url: string;
  /** The access token, as it stands in the request. */
  token: string;
}

/** The claims of RFC 9449 §4.2 for one request and token, checked; `jti` and `iat` are the replay memory's matter. */
export function readProofClaims(
  claims: Record<string, unknown>,
  target: ProofTarget,
  nowMs: number,
): { kind: 'claims'; jti: string; iatSeconds: number } | { kind: 'refused'; code: RefusalCode } {
  const { jti, htm, htu, iat, ath, exp, nbf } = claims;
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH) return refused('proof_malformed');
  if (typeof htm !== 'string' || typeof htu !== 'string' || !isTime(iat)) return refused('proof_malformed');
  if ((exp !== undefined && !isTime(exp)) || (nbf !== undefined && !isTime(nbf))) return refused('proof_malformed');
  if (htm !== target.method) return refused('proof_wrong_method');
  if (!isSameTarget(htu, target.url)) return refused('proof_wrong_url');
  const nowSeconds = nowMs / 1000;
  if (nowSeconds - iat > MAX_PROOF_AGE_SECONDS || iat - nowSeconds > MAX_PROOF_LEAD_SECONDS) {
    return refused('proof_untimely');
  }
  // No proof needs them; one that has them means them (RFC 7519 §4.1.4, §4.1.5).
  if (exp !== undefined && nowSeconds >= exp + CLOCK_LEEWAY_SECONDS) return refused('proof_untimely');
  if (nbf !== undefined && nowSeconds < nbf - CLOCK_LEEWAY_SECONDS) return refused('proof_untimely');
  if (typeof ath !== 'string' || !isHashOf(ath, target.token)) return refused('proof_wrong_token');
  return { kind: 'claims', jti, iatSeconds: iat };
}

/** `ath` is the token's SHA-256 (RFC 9449 §4.2). Constant-time: a token's hash finds its entry in every cache of it. */
function isHashOf(ath: string, token: string): boolean {
  const expected = Buffer.from(hash('sha256', token, 'base64url'));
  const given = Buffer.from(ath);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** NumericDate of RFC 7519 §2: seconds, with or without a fraction. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function refused(code: RefusalCode): { kind: 'refused'; code: RefusalCode } {
  return { kind: 'refused', code };
}
