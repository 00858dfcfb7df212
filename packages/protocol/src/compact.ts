import { decodeBase64url } from './base64url.ts';

/**
 * Longest token read, in characters. Real ones are 700 to 1,200; scopes may lengthen them. Longer input is refused before
 * any work is spent on it (RFC 8725bis §3.14), and stays well under the 16 KiB that HTTP servers give to all headers.
 */
export const MAX_TOKEN_LENGTH = 8192;

/** Why a string is not a compact JWS as this protocol writes them. Such a string costs no lookup and rings nothing. */
export type Malformed = 'too_long' | 'not_three_segments' | 'not_canonical_base64url' | 'not_canonical_json';

/** A compact JWS taken apart. Nothing in it is verified: neither signature nor claims. */
export interface CompactToken {
  kind: 'compact';
  header: Record<string, unknown>;
  claims: Record<string, unknown>;
  /** `BASE64URL(header) "." BASE64URL(payload)`: what the signature signs and what the record's digest is taken over. */
  signingInput: string;
  signature: Uint8Array<ArrayBuffer>;
}

/**
 * Takes a compact JWS apart, in the one spelling the authority writes: three segments of canonical base64url, header and
 * payload UTF-8 JSON objects exactly as `JSON.stringify` writes them (so no duplicate member, no white space, no trailing
 * bytes; RFC 7515 §5.2 and §10.12).
 *
 * Verifies nothing: the caller still owes `typ`/`alg`/`kid`, signature, `eb` form, claims and record, in this order.
 */
export function parseCompact(token: string): CompactToken | { kind: 'malformed'; why: Malformed } {
  if (token.length > MAX_TOKEN_LENGTH) return { kind: 'malformed', why: 'too_long' };
  const [header, payload, signature, rest] = token.split('.', 4);
  if (!header || !payload || !signature || rest !== undefined) return { kind: 'malformed', why: 'not_three_segments' };
  const headerBytes = decodeBase64url(header);
  const payloadBytes = decodeBase64url(payload);
  const signatureBytes = decodeBase64url(signature);
  if (!headerBytes || !payloadBytes || !signatureBytes) return { kind: 'malformed', why: 'not_canonical_base64url' };
  const headerObject = parseCanonicalObject(headerBytes);
  const claims = parseCanonicalObject(payloadBytes);
  if (!headerObject || !claims) return { kind: 'malformed', why: 'not_canonical_json' };
  return {
    kind: 'compact',
    header: headerObject,
    claims,
    signingInput: `${header}.${payload}`,
    signature: signatureBytes,
  };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function parseCanonicalObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const text = utf8.decode(bytes);
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    if (JSON.stringify(value) !== text) return undefined;
    return value as Record<string, unknown>; // an object, as just shown
  } catch {
    return undefined;
  }
}
