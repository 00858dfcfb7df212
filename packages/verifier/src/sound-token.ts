import { hash } from 'node:crypto';
import {
  type AccessTokenClaims,
  accessTokenClaims,
  type CompactToken,
  hasEntropyBucketForm,
  parseCompact,
  type Verdict,
} from '@countersign/protocol';
import type { RefusalCode } from './errors.ts';
import { readAccessTokenHeader } from './header.ts';
import type { KeyRing, VerificationKey } from './keys.ts';
import { isSignedBy } from './signature.ts';

/** A token whose signature and claims are good. Its record was NOT asked, nor were binding and scope looked at. */
export interface SoundToken {
  kind: 'sound';
  token: string;
  claims: AccessTokenClaims;
  kid: string;
  status: VerificationKey['status'];
  /** base64url of SHA-256 over the signing input: what the record knows the token by. */
  digest: string;
}

export interface Unsound {
  kind: 'refused';
  code: RefusalCode;
  verdict?: Verdict;
  /** The key whose thief wrote it: evidence for the authority. */
  forgedUnder?: string;
}

/**
 * The order of the checks up to the record. `isAllThereIs`: no record will be asked, so the key must be known to be good. What fails before the signature costs the authority nothing and proves nothing.
 * What fails after it, although the authority never writes such a thing, proves that the key is in other hands.
 *
 * @throws AuthorityError where the keys could not be had.
 */
export async function examine(
  token: string,
  by: { keys: KeyRing; issuer: string; audience: string; nowMs: () => number; isAllThereIs: boolean },
): Promise<SoundToken | Unsound> {
  // 1 Size and canonical shape
  const compact = parseCompact(token);
  if (compact.kind === 'malformed') return { kind: 'refused', code: 'token_malformed' };
  // 2 Type, algorithm, key: against lists that are fixed here, never by the token's choice
  const header = readAccessTokenHeader(compact.header);
  if (header.kind === 'refused') return header;
  const key = await by.keys.find(header.kid, { isAllThereIs: by.isAllThereIs });
  if (!key) return { kind: 'refused', code: 'token_unknown_key' };
  if (key.alg !== header.alg) return { kind: 'refused', code: 'token_algorithm_refused' };
  // 3 Signature
  if (!isSignedBy(compact, key)) return { kind: 'refused', code: 'token_bad_signature' };
  // 4 Form of the entropy bucket, 5 claims
  const { issuer, audience } = by;
  const read = readClaims(compact, { issuer, audience, nowMs: by.nowMs() });
  if (read.kind === 'refused') return read.code === 'token_forged' ? { ...read, forgedUnder: key.kid } : read;
  const digest = hash('sha256', compact.signingInput, 'base64url');
  return { kind: 'sound', token, claims: read.claims, kid: key.kid, status: key.status, digest };
}

function readClaims(
  compact: CompactToken,
  expected: { issuer: string; audience: string; nowMs: number },
): { kind: 'claims'; claims: AccessTokenClaims } | Unsound {
  const forged: Unsound = { kind: 'refused', code: 'token_forged', verdict: 'forged' };
  if (!hasEntropyBucketForm(compact.claims.eb)) return forged;
  const { issuer, audience, nowMs } = expected;
  const read = accessTokenClaims(compact.claims, { issuer, audiences: [audience], nowMs });
  switch (read.kind) {
    case 'impossible':
      return forged;
    case 'wrong_audience':
      return { kind: 'refused', code: 'token_wrong_audience' };
    case 'expired':
      return { kind: 'refused', code: 'token_expired' };
    case 'not_yet_valid':
      return { kind: 'refused', code: 'token_not_yet_valid' };
    case 'claims':
      return read;
  }
}
