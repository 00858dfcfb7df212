/**
 * `@countersign/verifier`: access tokens of a Countersign authority, verified in a resource server. `createVerifier` for any
 * framework; `guard` in `@countersign/verifier/{hono,express,fastify,node,web}` for those; metrics in `/opentelemetry`.
 */
export { type PresentedToken, readTokenCredentials, type TokenCredentials } from './bearer.ts';
export { bearerChallenge, bothChallenges, type ChallengeAttributes, dpopChallenge, type Scheme } from './challenge.ts';
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
export { DEFAULT_MAX_ENTRIES, DEFAULT_TIMEOUT_MS, type Mode, type VerifierOptions } from './options.ts';
export type { Proof, ReplayStore } from './proof/proof.ts';
export type { Accepted, Refused, Unavailable, VerifiedClaims, VerifyResult } from './results.ts';
export type { Latency, VerifierCounts } from './statistics.ts';
export { createVerifier, type Presentation, type Requirement, type Verifier, type VerifierStatus } from './verifier.ts';
export type { Fetch, VerifierClock } from './world.ts';
