import { verify } from 'node:crypto';
import type { CompactToken } from '@countersign/protocol';
import type { VerificationKey } from './keys.ts';

/** r and s of P-256, 256 bits each. */
const ES256_BYTES = 64;

/** Whether this very key, by its one algorithm, signed the token. */
export function isSignedBy(
  compact: Pick<CompactToken, 'signingInput' | 'signature'>,
  { alg, key }: Pick<VerificationKey, 'alg' | 'key'>,
): boolean {
  const data = Buffer.from(compact.signingInput, 'latin1'); // base64url and a dot: each character is its byte
  switch (alg) {
    case 'ES256':
      return compact.signature.length === ES256_BYTES && verify('sha256', data, key, derOf(compact.signature));
    case 'Ed25519':
      return verify(null, data, key, compact.signature);
    case 'RS256':
      return verify('sha256', data, key, compact.signature);
  }
}

/** An INTEGER has tag and length, and a zero where its first bit is set; the SEQUENCE around both has tag and length, too. */
const MAX_DER_BYTES = 2 + 2 * (3 + ES256_BYTES / 2);

/**
 * An ECDSA signature as ASN.1 DER (RFC 3279 §2.2.3), from r ‖ s as JOSE writes it (RFC 7518 §3.4): OpenSSL reads DER, and
 * leaving the conversion to Node costs a quarter of the whole verification.
 */
function derOf(signature: Uint8Array): Uint8Array {
  const der = new Uint8Array(MAX_DER_BYTES);
  let end = 2;
  for (const part of [signature.subarray(0, ES256_BYTES / 2), signature.subarray(ES256_BYTES / 2)]) {
    let start = 0;
    while (start < part.length - 1 && part[start] === 0) start++; // shortest form
    const value = part.subarray(start);
    const isHigh = (value[0] ?? 0) >= 0x80; // would read as negative
    der[end++] = 0x02;
    der[end++] = value.length + (isHigh ? 1 : 0);
    if (isHigh) der[end++] = 0;
    der.set(value, end);
    end += value.length;
  }
  der[0] = 0x30;
  der[1] = end - 2;
  return der.subarray(0, end);
}
