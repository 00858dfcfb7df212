import { createHash, timingSafeEqual } from 'node:crypto';

/** A code challenge by S256: 43 characters of base64url, the form of a SHA-256 (RFC 7636 §4.2). */
export function isCodeChallenge(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}

/** A code verifier: 43 to 128 unreserved characters (RFC 7636 §4.1). */
export function isCodeVerifier(text: string): boolean {
  return /^[A-Za-z0-9._~-]{43,128}$/.test(text);
}

/** Whether the verifier belongs to the challenge (RFC 7636 §4.6). Constant time. */
export function verifierFits(verifier: string, challenge: string): boolean {
  const computed = createHash('sha256').update(verifier, 'ascii').digest();
  const expected = Buffer.from(challenge, 'base64url');
  return isCodeVerifier(verifier) && expected.length === computed.length && timingSafeEqual(computed, expected);
}
