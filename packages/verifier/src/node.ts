import { type GuardedToken, type GuardVerifier, requestGuard } from './guard/guard.ts';
import {
  answerNode,
  type NodeRequest,
  type NodeResponse,
  readNodeRequest,
  startWithNoStore,
} from './guard/node-message.ts';
import type { Requirement } from './requirement.ts';

export type { GuardedToken, GuardVerifier } from './guard/guard.ts';

/**
 * For Node's own `http`, `https` and `http2` servers: lets a request through only with a good access token, in the
 * `Authorization` header and nowhere else. Resolves to the token, or to `undefined` after having answered.
 *
 * @example
 * const readsAccounts = guard(verifier, { scopes: ['accounts:read'] });
 * createServer(async (request, response) => {
 *   const token = await readsAccounts(request, response);
 *   if (!token) return;
 *   response.end(JSON.stringify({ user: token.claims.sub }));
 * });
 *
 * Answers 401 and 403 with a challenge, 400 to two credentials in one request, 503 where the authority cannot be asked; each
 * as JSON `{ error, error_description, code }`. The body is left unread. Everything that passes is `no-store` unless the
 * handler says otherwise. Rejects only where the verifier has a bug, unanswered: what your server does with errors is yours.
 *
 * @throws TypeError for a requirement that no token can meet.
 */
export function guard(
  verifier: GuardVerifier,
  requirement: Requirement = {},
): (request: NodeRequest, response: NodeResponse) => Promise<GuardedToken | undefined> {
  const decide = requestGuard(verifier, requirement);
  return async (request, response) => {
    const decision = await decide(readNodeRequest(request));
    if (decision.kind === 'refuse') {
      answerNode(response, decision);
      return undefined;
    }
    startWithNoStore(response);
    return decision.token;
  };
}
