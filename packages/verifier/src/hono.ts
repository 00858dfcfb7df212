import type { Handles } from '@countersign/protocol';
import type { Context, MiddlewareHandler } from 'hono';
import { readBearerCredentials } from './bearer.ts';
import { assertScopes, bearerChallenge } from './challenge.ts';
import { REFUSALS } from './errors.ts';
import type { VerifiedClaims, VerifyResult } from './results.ts';
import type { Requirement, Verifier } from './verifier.ts';

/** What handlers behind `guard` find in `c.var.token`. */
export interface GuardedToken {
  claims: VerifiedClaims;
  handles: Handles;
}

export interface GuardVariables {
  token: GuardedToken;
}

/**
 * Hono middleware: lets a request through only with a good access token, in `Authorization: Bearer` and nowhere else.
 *
 * @example
 * app.get('/balance', guard(verifier, { scopes: ['accounts:read'] }), (c) => c.json({ user: c.var.token.claims.sub }));
 *
 * Answers 401 and 403 with an RFC 6750 challenge, 400 to two credentials in one request, 503 where the authority cannot be
 * asked; each as JSON `{ error, error_description, code }`. A token in the query is never used; one in a form body is never
 * read. Everything that passes is `no-store` unless the handler says otherwise.
 *
 * @throws TypeError for scopes that no token can carry.
 */
export function guard(
  verifier: Pick<Verifier, 'verify' | 'audience'>,
  requirement: Requirement = {},
): MiddlewareHandler<{ Variables: GuardVariables }> {
  assertScopes(requirement.scopes ?? []);
  return async (c, next) => {
    const credentials = readBearerCredentials(c.req.header('authorization'));
    if (credentials.kind === 'repeated' || (credentials.kind === 'token' && hasQueryToken(c))) {
      return refuseRequest(c, verifier.audience, {
        code: 'credentials_repeated',
        description: 'The request carries more than one access token. Send one, in the Authorization header.',
      });
    }
    if (credentials.kind === 'malformed') {
      return refuseRequest(c, verifier.audience, {
        code: 'credentials_malformed',
        description: 'The Authorization header must be the word Bearer, one space and the access token.',
      });
    }
    const token = credentials.kind === 'token' ? credentials.token : undefined;
    const result = await verifier.verify(token, requirement);
    if (result.kind !== 'accepted') return answer(c, result);
    c.set('token', { claims: result.claims, handles: result.handles });
    await next();
    // By way of the context: the headers of a response that came out of fetch cannot be changed in place.
    if (!c.res.headers.has('cache-control')) c.header('cache-control', 'no-store');
    return;
  };
}

/** More than one way of sending a token makes a request invalid (RFC 6750 §2); alone, a token in the query is no credential. */
function hasQueryToken(c: Context): boolean {
  return c.req.query('access_token') !== undefined;
}

function refuseRequest(c: Context, realm: string, refusal: { code: string; description: string }): Response {
  const { code, description } = refusal;
  c.header('www-authenticate', bearerChallenge({ realm, error: 'invalid_request', description }));
  c.header('cache-control', 'no-store');
  return c.json({ error: 'invalid_request', error_description: description, code }, 400);
}

function answer(c: Context, result: Exclude<VerifyResult, { kind: 'accepted' }>): Response {
  c.header('cache-control', 'no-store');
  if (result.kind === 'unavailable') {
    // The caller learns that the fault is not his; which fault it is stands in the counters.
    return c.json(
      {
        error: 'temporarily_unavailable',
        error_description: 'The access token cannot be verified at the moment. Try again later.',
        code: 'verification_unavailable',
      },
      503,
    );
  }
  const refusal = REFUSALS[result.code];
  c.header('www-authenticate', result.challenge);
  return c.json(
    {
      error: 'error' in refusal ? refusal.error : 'invalid_token',
      error_description: refusal.description,
      code: refusal.publicCode,
    },
    result.status,
  );
}
