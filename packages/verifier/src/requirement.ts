import {
  assertAuthenticationRequirement,
  assertScopes,
  bearerChallenge,
  bothChallenges,
  type ChallengeAttributes,
  dpopChallenge,
  type Scheme,
} from './challenge.ts';
import { REFUSALS, type Refusal, type RefusalCode } from './errors.ts';
import type { KnownToken } from './known-token.ts';
import { MODES, type Mode } from './options.ts';
import type { Proof } from './proof/proof.ts';
import { type AuthenticationRequirement, authenticationProblem } from './step-up.ts';

/** What a route needs beyond a good token. */
export interface Requirement extends AuthenticationRequirement {
  /** Scopes the token must all carry. Compared as RFC 6749 §3.3 does: case-sensitive, in any order. */
  scopes?: readonly string[];
  /** How this route verifies; default: the verifier's own mode. */
  mode?: Mode;
}

/** How a token was presented. Without it: as a bearer token. */
export interface Presentation {
  /** The scheme of the `Authorization` header. */
  scheme?: Scheme;
  /** The `DPoP` header, and the request it must be made for (RFC 9449 §4.3). */
  proof?: Proof;
}

/** Refuses what no token can meet, when the program starts rather than at each request. @throws TypeError */
export function assertRequirement(requirement: Requirement): void {
  if (requirement.scopes) assertScopes(requirement.scopes);
  if (requirement.mode !== undefined && !MODES.includes(requirement.mode)) {
    throw new TypeError('Requiring a mode: it must be "coherent", "strict" or "offline".');
  }
  assertAuthenticationRequirement(requirement);
}

/** Which requirement a good token does not meet. Looked at in each request, never remembered. */
export function unmet(requirement: Requirement, token: KnownToken, nowMs: number): RefusalCode | undefined {
  const { scopes, acrValues, maxAgeSeconds } = requirement;
  if (scopes && !scopes.every((scope) => token.scopes.has(scope))) return 'scope_insufficient';
  if (acrValues === undefined && maxAgeSeconds === undefined) return undefined;
  return authenticationProblem(token.accepted.claims, requirement, nowMs);
}

/** The `WWW-Authenticate` value of a refusal: what went wrong, and what this route wants. */
export function challengeOf(
  code: RefusalCode,
  of: { realm: string; asked: Requirement & Presentation; offersDpop: boolean },
): string {
  const refusal: Refusal = REFUSALS[code];
  const { scopes, acrValues, maxAgeSeconds, scheme, proof } = of.asked;
  const attributes: ChallengeAttributes = {
    realm: of.realm,
    ...(refusal.error && { error: refusal.error, description: refusal.description }),
    ...(code === 'scope_insufficient' && scopes && { scopes }),
    ...(code === 'authentication_insufficient' && acrValues && { acrValues }),
    ...(code === 'authentication_insufficient' && maxAgeSeconds !== undefined && { maxAgeSeconds }),
  };
  if (!of.offersDpop) return bearerChallenge(attributes);
  if (refusal.error === undefined) return bothChallenges(attributes);
  if (scheme === 'DPoP' || (scheme === undefined && proof !== undefined)) return dpopChallenge(attributes);
  // Bound, yet sent as Bearer: the client learns which scheme it should have used.
  return code === 'token_binding_unproven' ? bothChallenges(attributes, 'Bearer') : bearerChallenge(attributes);
}
