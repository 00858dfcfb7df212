import type { RefusalCode } from './errors.ts';

/** How the user must have logged in for what a request does (RFC 9470). */
export interface AuthenticationRequirement {
  /** One of these must be the token's `acr`. They are names without an order: a stronger one that counts must be listed, too. */
  acrValues?: readonly string[];
  /** The longest time since the login, in seconds. */
  maxAgeSeconds?: number;
}

/**
 * Whether the login behind a token is as a resource asks. A token that does not say how or when its user logged in does not
 * meet a requirement. No leeway: where the authority's clock is behind, the user logs in a little earlier.
 *
 * `claims` must be verified; a login "in the future" is then the authority's clock being ahead, and counts as just now.
 */
export function authenticationProblem(
  claims: { readonly acr?: unknown; readonly auth_time?: unknown },
  { acrValues = [], maxAgeSeconds }: AuthenticationRequirement,
  nowMs: number,
): Extract<RefusalCode, 'authentication_insufficient'> | undefined {
  if (acrValues.length > 0 && !acrValues.some((value) => value === claims.acr)) return 'authentication_insufficient';
  if (maxAgeSeconds === undefined) return undefined;
  const { auth_time: authTime } = claims;
  if (typeof authTime !== 'number' || !Number.isFinite(authTime)) return 'authentication_insufficient';
  return nowMs / 1000 - authTime <= maxAgeSeconds ? undefined : 'authentication_insufficient';
}
