/**
 * `@countersign/protocol`: the words that the authority and its verifiers agree on.
 *
 * Pure data and pure functions: no I/O, no clock, no randomness, no hash, no dependency. Both sides read the protocol with
 * code of their own (server and verifier never import each other), so that the two readings keep each other honest; what
 * stands here is only what both must spell alike.
 */
export { decodeBase64url, encodeBase64url } from './base64url.ts';
export { type CompactToken, MAX_TOKEN_LENGTH, type Malformed, parseCompact } from './compact.ts';
export { ENTROPY_BUCKET_BYTES, hasEntropyBucketForm } from './entropy-bucket.ts';
export {
  FORWARD_AUTH_PATH,
  type ForwardAuthQuery,
  IDENTITY_HEADERS,
  type IdentityClaims,
  type IdentityHeader,
  identityHeaders,
  readForwardAuthQuery,
} from './forward-auth.ts';
export { createId, ID_PREFIXES, type Id, type IdPrefix, idCreatedAtMs, isId } from './ids.ts';
export {
  type AccessTokenClaims,
  accessTokenClaims,
  CLOCK_LEEWAY_SECONDS,
  type ClaimsProblem,
  type Confirmation,
  isAccessTokenType,
  MAX_ACCESS_TOKEN_LIFETIME_SECONDS,
  RESOURCE_SERVER_ALGORITHMS,
  TOKEN_TYPES,
} from './tokens.ts';
export { isVerdict, VERDICTS, type Verdict } from './verdicts.ts';
export {
  type CheckAnswer,
  type CheckRequest,
  type CheckResponse,
  DEFAULT_STALENESS_MS,
  type Handles,
  type HeartbeatMessage,
  type HelloMessage,
  type InvalidateMessage,
  MAX_CHECK_BATCH,
  MAX_STALENESS_MS,
  MIN_STALENESS_MS,
  NONCE_LENGTH,
  type PulseRequest,
  type ReportRequest,
  type StreamMessage,
  type StreamRequest,
  type VerifierKey,
  type VerifierKeys,
  type VerifierMetadata,
} from './verifier-wire.ts';
