import { isAccessTokenType, RESOURCE_SERVER_ALGORITHMS, type VerifierKey } from '@countersign/protocol';
import type { RefusalCode } from './errors.ts';

/** The members a header may have, and must: what the authority writes. */
const MEMBERS = ['alg', 'kid', 'typ'] as const;

/** The header of an access token as the authority writes it. Nothing says yet that the authority wrote it. */
export interface AccessTokenHeader {
  kind: 'header';
  alg: VerifierKey['alg'];
  kid: string;
}

/**
 * Reads a JOSE header against the allowlist of access tokens, before any key is looked up. Members beyond `alg`, `typ` and
 * `kid` refuse the token: `jku`, `x5u`, `jwk` and `x5c` would bring a key along (RFC 8725 §3.10), `crit` and `b64` change what
 * is signed (RFC 7515 §4.1.11, RFC 7797). `kid` stays an opaque name.
 */
export function readAccessTokenHeader(
  header: Record<string, unknown>,
): AccessTokenHeader | { kind: 'refused'; code: RefusalCode } {
  if (!isAccessTokenType(header.typ)) return { kind: 'refused', code: 'token_wrong_type' };
  const { alg, kid } = header;
  if (!isAllowedAlgorithm(alg)) return { kind: 'refused', code: 'token_algorithm_refused' };
  if (typeof kid !== 'string' || kid === '' || Object.keys(header).length !== MEMBERS.length) {
    return { kind: 'refused', code: 'token_header_refused' };
  }
  return { kind: 'header', alg, kid };
}

/** Whether access tokens may be signed by this algorithm, and keys be for it. */
export function isAllowedAlgorithm(alg: unknown): alg is VerifierKey['alg'] {
  return (RESOURCE_SERVER_ALGORITHMS as readonly unknown[]).includes(alg);
}
