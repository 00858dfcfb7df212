import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import type { RefusalCode } from '../errors.ts';
import { isObject } from '../json.ts';
import { isProofAlgorithm, type ProofAlgorithm } from './algorithms.ts';

/** Members that bring another key along (RFC 8725 §3.10) or change what is signed (RFC 7515 §4.1.11, RFC 7797). */
const REFUSED_MEMBERS = ['jku', 'x5u', 'x5c', 'crit', 'b64'];

/** Members of private and symmetric keys (RFC 7518 §6). Whoever sends one has published his key. */
const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** What makes a public key of each kind: what its thumbprint is taken over, in this order (RFC 7638 §3.2). */
const PUBLIC_MEMBERS = { EC: ['crv', 'kty', 'x', 'y'], OKP: ['crv', 'kty', 'x'], RSA: ['e', 'kty', 'n'] } as const;

const KINDS: Readonly<Record<ProofAlgorithm, { kty: keyof typeof PUBLIC_MEMBERS; crv?: string }>> = {
  ES256: { kty: 'EC', crv: 'P-256' },
  Ed25519: { kty: 'OKP', crv: 'Ed25519' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
  PS256: { kty: 'RSA' },
  RS256: { kty: 'RSA' },
};

/** RSA below 2048 bits is refused (RFC 7518 §3.3); above 4096 a client would choose how much work its proofs are. */
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 4096;
/** Verifying costs with the exponent's length; real ones are 65,537 or less. One signs with nothing. */
const MIN_RSA_EXPONENT = 3n;
const MAX_RSA_EXPONENT = 2n ** 32n;

/** The header of a proof. That the holder of this key made the proof is not yet said. */
export interface ProofHeader {
  kind: 'header';
  alg: ProofAlgorithm;
  /** The public members of `jwk`, and nothing else of it. */
  jwk: Record<string, string>;
  /** Its SHA-256 thumbprint, base64url (RFC 7638): what a token's `cnf.jkt` names. */
  thumbprint: string;
}

/** Reads a proof's header against lists that are fixed here. `kid` and members without a meaning here are passed over. */
export function readProofHeader(header: Record<string, unknown>): ProofHeader | { kind: 'refused'; code: RefusalCode } {
  const { typ, alg } = header;
  // A media type, compared as those are (RFC 7515 §4.1.9).
  if (typeof typ !== 'string' || !/^(application\/)?dpop\+jwt$/i.test(typ)) return refused('proof_wrong_type');
  if (!isProofAlgorithm(alg)) return refused('proof_algorithm_refused');
  if (REFUSED_MEMBERS.some((member) => Object.hasOwn(header, member))) return refused('proof_header_refused');
  const jwk = publicMembers(header.jwk, alg);
  if (!jwk) return refused('proof_key_refused');
  return { kind: 'header', alg, jwk, thumbprint: hash('sha256', JSON.stringify(jwk), 'base64url') };
}

/** The key of a header as Node holds it; undefined for one that is none, weak, or made to cost. */
export function importProofKey({ jwk }: ProofHeader): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    const { modulusLength: bits, publicExponent: exponent } = key.asymmetricKeyDetails ?? {};
    if (bits !== undefined && (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS)) return undefined;
    if (exponent !== undefined && (exponent < MIN_RSA_EXPONENT || exponent > MAX_RSA_EXPONENT)) return undefined;
    return key;
  } catch {
    return undefined;
  }
}

/** The members in the order of their names, which is the order that `JSON.stringify` then keeps. */
function publicMembers(jwk: unknown, alg: ProofAlgorithm): Record<string, string> | undefined {
  const { kty, crv } = KINDS[alg];
  if (!isObject(jwk) || jwk.kty !== kty || (crv !== undefined && jwk.crv !== crv)) return undefined;
  if (SECRET_MEMBERS.some((member) => Object.hasOwn(jwk, member))) return undefined;
  if (jwk.alg !== undefined && jwk.alg !== alg) return undefined;
  if (jwk.use !== undefined && jwk.use !== 'sig') return undefined;
  const members: Record<string, string> = {};
  for (const name of PUBLIC_MEMBERS[kty]) {
    const value = jwk[name];
    if (typeof value !== 'string' || value === '') return undefined;
    members[name] = value;
  }
  return members;
}

function refused(code: RefusalCode): { kind: 'refused'; code: RefusalCode } {
  return { kind: 'refused', code };
}
