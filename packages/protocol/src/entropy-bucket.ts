import { decodeBase64url } from './base64url.ts';

/**
 * Length of a decoded entropy bucket: 32 bytes `r` (the first names the bucket key's version, 248 bits are random) and 16
 * bytes (128 bits) of tag. The tag names the token's kind, its id and what else must not change (an access token's end, a refresh
 * token's family and generation); it never accepts anything, for the record decides.
 */
export const ENTROPY_BUCKET_BYTES = 48;

/**
 * Whether a claim has the form of an entropy bucket: a string of canonical base64url, 48 bytes, no other. A token whose
 * signature is good but whose `eb` fails this is forged (there is no "legacy" token without one).
 */
export function hasEntropyBucketForm(eb: unknown): eb is string {
  return typeof eb === 'string' && eb.length === 64 && decodeBase64url(eb)?.length === ENTROPY_BUCKET_BYTES;
}
