import { type Decision, type GuardVerifier, requestGuard } from './guard/guard.ts';
import {
  answerNode,
  type NodeRequest,
  type NodeResponse,
  readNodeRequest,
  startWithNoStore,
} from './guard/node-message.ts';
import { keepToken } from './guard/tokens.ts';
import type { Requirement } from './requirement.ts';

export type { GuardedToken, GuardVerifier } from './guard/guard.ts';
export { tokenOf } from './guard/tokens.ts';

/**
 * Express middleware: lets a request through only with a good access token, in the `Authorization` header and nowhere else.
 *
 * @example
 * app.get('/balance', guard(verifier, { scopes: ['accounts:read'] }), (request, response) => {
 *   response.json({ user: tokenOf(request).claims.sub });
 * });
 *
 * Answers 401 and 403 with a challenge, 400 to two credentials in one request, 503 where the authority cannot be asked; each
 * as JSON `{ error, error_description, code }`. The body is left unread. Everything that passes is `no-store` unless the
 * handler says otherwise. A bug in the verifier goes to the error handlers.
 *
 * @throws TypeError for a requirement that no token can meet.
 */
export function guard(
  verifier: GuardVerifier,
  requirement: Requirement = {},
): (request: NodeRequest, response: NodeResponse, next: (error?: unknown) => void) => Promise<void> {
  const decide = requestGuard(verifier, requirement);
  return async (request, response, next) => {
    let decision: Decision;
    try {
      decision = await decide(readNodeRequest(request));
    } catch (error) {
      next(error);
      return;
    }
    if (decision.kind === 'refuse') {
      answerNode(response, decision);
      return;
    }
    keepToken(request, decision.token);
    startWithNoStore(response);
    next();
  };
}
