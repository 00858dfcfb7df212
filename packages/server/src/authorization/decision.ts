/** What an authorization request needs next, as a pure rule: (request, session, consent, now) → step. */
import type { AuthorizationRequest } from './request.ts';

export interface DecisionFacts {
  request: AuthorizationRequest;
  /** The browser's session, if it has one in force. */
  session: { userId: string; authTimeMs: number } | undefined;
  isIdentityAssured: boolean;
  /** What the user agreed to before, remembered where `isIdentityAssured`; undefined: nothing. */
  consentedScope: readonly string[] | undefined;
  nowMs: number;
}

export type Step =
  | { kind: 'login' }
  | { kind: 'consent' }
  | { kind: 'issue' }
  | { kind: 'refuse'; error: 'login_required' | 'consent_required' };

/** The next step. What `prompt=none` forbids to ask for is refused instead (OpenID Connect Core §3.1.2.6). */
export function decideStep(facts: DecisionFacts): Step {
  const isSilent = facts.request.prompt.includes('none');
  if (needsLogin(facts)) return isSilent ? { kind: 'refuse', error: 'login_required' } : { kind: 'login' };
  if (needsConsent(facts)) return isSilent ? { kind: 'refuse', error: 'consent_required' } : { kind: 'consent' };
  return { kind: 'issue' };
}

/** A login that happened after this request began satisfies every demand for a fresh one (OpenID Connect Core §3.1.2.1). */
function needsLogin({ request, session, nowMs }: DecisionFacts): boolean {
  if (!session) return true;
  if (request.hintedUserId !== undefined && request.hintedUserId !== session.userId) return true;
  if (session.authTimeMs >= request.startedAtMs) return false;
  if (request.prompt.includes('login') || request.prompt.includes('select_account')) return true;
  return request.maxAgeSeconds !== undefined && nowMs - session.authTimeMs > request.maxAgeSeconds * 1_000;
}

/**
 * Whether the answer can reach nobody but the client that is registered: it has a secret, and its redirect URI an owner. On loopback
 * and under a scheme of its own any program of the device may listen, and a program that is handed out keeps no secret.
 */
export function isIdentityAssured(client: { isConfidential: boolean }, redirectUri: string): boolean {
  return client.isConfidential && redirectUri.startsWith('https://');
}

/**
 * A client whose identity nothing proves is asked for every time: whoever copies its id could use a remembered consent
 * (RFC 6749 §10.2, RFC 8252 §8.6).
 */
function needsConsent({ request, isIdentityAssured, consentedScope }: DecisionFacts): boolean {
  if (!isIdentityAssured || request.prompt.includes('consent')) return true;
  return consentedScope === undefined || !request.scope.every((word) => consentedScope.includes(word));
}
