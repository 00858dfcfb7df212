import { type GuardVerifier, requestGuard } from './guard/guard.ts';
import { type NodeRequest, readNodeRequest } from './guard/node-message.ts';
import { keepToken } from './guard/tokens.ts';
import type { Requirement } from './requirement.ts';

export type { GuardedToken, GuardVerifier } from './guard/guard.ts';
export { tokenOf } from './guard/tokens.ts';

/** What is needed of Fastify's request, whatever server it runs on and whatever types a route gave it. */
export interface GuardableRequest {
  readonly raw: NodeRequest;
}

/** What is needed of Fastify's reply. */
export interface GuardableReply {
  code(status: number): unknown;
  header(name: string, value: string): unknown;
  send(body?: unknown): unknown;
}

/**
 * Fastify hook, for `onRequest` (before the body is parsed) or `preHandler`: lets a request through only with a good access
 * token, in the `Authorization` header and nowhere else. Decorates nothing.
 *
 * @example
 * app.get('/balance', { onRequest: guard(verifier, { scopes: ['accounts:read'] }) }, async (request) => {
 *   return { user: tokenOf(request).claims.sub };
 * });
 *
 * Answers 401 and 403 with a challenge, 400 to two credentials in one request, 503 where the authority cannot be asked; each
 * as JSON `{ error, error_description, code }`. Everything that passes is `no-store` unless the handler says otherwise. A bug
 * in the verifier goes to the error handler.
 *
 * @throws TypeError for a requirement that no token can meet.
 */
export function guard(
  verifier: GuardVerifier,
  requirement: Requirement = {},
): (request: GuardableRequest, reply: GuardableReply, done: (error?: Error) => void) => void {
  const decide = requestGuard(verifier, requirement);
  // With `done`, which a refusal never calls. An async hook cannot refuse for sure: when its promise resolves Fastify goes on,
  // unless the response has ended, and a slow `onSend` hook or a client that hangs up can be what keeps it from ending.
  return (request, reply, done) => {
    const passes = decide(readNodeRequest(request.raw)).then((decision) => {
      if (decision.kind === 'refuse') {
        reply.code(decision.status);
        for (const [name, value] of Object.entries(decision.headers)) reply.header(name, value);
        reply.send(decision.body);
        return false;
      }
      keepToken(request, decision.token);
      reply.header('cache-control', 'no-store');
      return true;
    });
    passes.then((isPassed) => {
      if (isPassed) done();
    }, done);
  };
}
