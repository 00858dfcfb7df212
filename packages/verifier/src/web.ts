import { type GuardedToken, type GuardVerifier, requestGuard } from './guard/guard.ts';
import { readWebRequest } from './guard/web-request.ts';
import type { Requirement } from './requirement.ts';

export type { GuardedToken, GuardVerifier } from './guard/guard.ts';

/** Either who asks, or the response to send back. */
export type GuardedRequest = { kind: 'pass'; token: GuardedToken } | { kind: 'refuse'; response: Response };

/**
 * Looks at a Web `Request`, for whatever serves one: lets it pass only with a good access token, in the `Authorization`
 * header and nowhere else. The body is left unread.
 *
 * @example
 * const guarded = await guardRequest(verifier, request, { scopes: ['accounts:read'] });
 * if (guarded.kind === 'refuse') return guarded.response;
 * return Response.json({ user: guarded.token.claims.sub }, { headers: { 'cache-control': 'no-store' } });
 *
 * Refuses with 401 and 403 and a challenge, 400 for two credentials in one request, 503 where the authority cannot be asked;
 * each as JSON `{ error, error_description, code }`, `no-store`. The headers of an answer that passes are the caller's: give it
 * `Cache-Control: no-store`. Rejects only where the verifier has a bug; such a request must not be served.
 *
 * @throws TypeError for a requirement that no token can meet.
 */
export async function guardRequest(
  verifier: GuardVerifier,
  request: Request,
  requirement: Requirement = {},
): Promise<GuardedRequest> {
  const decision = await requestGuard(verifier, requirement)(readWebRequest(request));
  if (decision.kind === 'pass') return decision;
  const { status, headers, body } = decision;
  return { kind: 'refuse', response: new Response(body, { status, headers }) };
}
