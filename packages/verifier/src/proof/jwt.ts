import { decodeBase64url } from '@countersign/protocol';
import type { RefusalCode } from '../errors.ts';
import { isObject } from '../json.ts';

/**
 * Longest proof read, in characters. One by ES256 has about 600, one by a 4,096-bit RSA key 2,300, with room for a long `htu`.
 */
export const MAX_PROOF_LENGTH = 4096;

/** A proof taken apart. Nothing in it is verified. */
export interface ProofJwt {
  kind: 'jwt';
  /** BASE64URL(header), as it came. */
  header: string;
  claims: Record<string, unknown>;
  signingInput: string;
  signature: Uint8Array<ArrayBuffer>;
}

/**
 * Takes a proof apart: one compact JWS of canonical base64url whose payload is a UTF-8 JSON object. Its JSON is not held to one
 * spelling, as the authority's own tokens are: proofs are written by clients in every language, with spaces or `\/` in them, and
 * nothing here depends on their bytes. Of a member that stands twice the last counts (RFC 7515 §4).
 */
export function readProofJwt(jwt: string): ProofJwt | { kind: 'refused'; code: RefusalCode } {
  if (jwt.length > MAX_PROOF_LENGTH) return { kind: 'refused', code: 'proof_malformed' };
  // Repeated headers arrive joined by a comma, which no JWT contains (RFC 9449 §4.3, 1).
  if (jwt.includes(',')) return { kind: 'refused', code: 'proof_repeated' };
  const [header, payload, signature, rest] = jwt.split('.', 4);
  if (!header || !payload || !signature || rest !== undefined) return { kind: 'refused', code: 'proof_malformed' };
  const claims = readJsonSegment(payload);
  const signatureBytes = decodeBase64url(signature);
  if (!claims || !signatureBytes) return { kind: 'refused', code: 'proof_malformed' };
  return { kind: 'jwt', header, claims, signingInput: `${header}.${payload}`, signature: signatureBytes };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The JSON object that a segment holds; undefined where it holds none. */
export function readJsonSegment(segment: string): Record<string, unknown> | undefined {
  const bytes = decodeBase64url(segment);
  if (!bytes) return undefined;
  try {
    const value: unknown = JSON.parse(utf8.decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
