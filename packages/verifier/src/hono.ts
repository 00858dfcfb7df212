import type { MiddlewareHandler } from 'hono';
import { type GuardedToken, type GuardVerifier, requestGuard } from './guard/guard.ts';
import { readWebRequest } from './guard/web-request.ts';
import type { Requirement } from './requirement.ts';

export type { GuardedToken, GuardVerifier } from './guard/guard.ts';

export interface GuardVariables {
  token: GuardedToken;
}

/**
 * Hono middleware: lets a request through only with a good access token, in the `Authorization` header and nowhere else.
 *
 * @example
 * app.get('/balance', guard(verifier, { scopes: ['accounts:read'] }), (c) => c.json({ user: c.var.token.claims.sub }));
 *
 * Answers 401 and 403 with a challenge, 400 to two credentials in one request, 503 where the authority cannot be asked; each
 * as JSON `{ error, error_description, code }`. A token in the query is never used; one in a form body is never read.
 * Everything that passes is `no-store` unless the handler says otherwise.
 *
 * @throws TypeError for a requirement that no token can meet.
 */
export function guard(
  verifier: GuardVerifier,
  requirement: Requirement = {},
): MiddlewareHandler<{ Variables: GuardVariables }> {
  const decide = requestGuard(verifier, requirement);
  return async (c, next) => {
    const decision = await decide(readWebRequest(c.req.raw));
    if (decision.kind === 'refuse') return c.body(decision.body, decision.status, { ...decision.headers });
    c.set('token', decision.token);
    c.header('cache-control', 'no-store');
    await next();
    // A handler that made its response without `c` has left that out. By way of the context: the headers of a response that came out of fetch cannot be changed in place.
    if (!c.res.headers.has('cache-control')) c.header('cache-control', 'no-store');
    return;
  };
}
