/**
 * `@countersign/verifier`: access tokens of a Countersign authority, verified in a resource server. `createVerifier` for any
 * framework; `guard` in `@countersign/verifier/hono` for Hono.
 */
export { type BearerCredentials, readBearerCredentials } from './bearer.ts';
export { bearerChallenge } from './challenge.ts';
export type { Credentials } from './connection.ts';
export {
  AuthorityError,
  REFUSALS,
  type Refusal,
  type RefusalCode,
  UNAVAILABLE_CODES,
  type UnavailableCode,
} from './errors.ts';
export type { EvidenceCounts } from './evidence.ts';
export { DEFAULT_TIMEOUT_MS, type VerifierOptions } from './options.ts';
export type { Accepted, Refused, Unavailable, VerifiedClaims, VerifyResult } from './results.ts';
export { createVerifier, type Requirement, type Verifier, type VerifierStatus } from './verifier.ts';
export type { Fetch, VerifierClock } from './world.ts';
