import { FORWARD_AUTH_PATH, identityHeaders, readForwardAuthQuery } from '@countersign/protocol';
import { Hono } from 'hono';
import { BearerChallenge, type HttpContext, type HttpEnv, HttpRefusal, readAuthorization } from '../http/http.ts';
import { OAuthError } from '../oauth/oauth.ts';
import type { ForwardAuth, Wanted } from './forward-auth.ts';

/** A proxy asks by GET, or by the method of the request it asks about. None of them changes anything. */
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/**
 * Answers what is asked by 200, 401 and 403 alone, and 503 while the store is away: proxies make a failure of their own of anything
 * else, and the client would not learn that it is its token. What is no question at all the frame refuses as on every path: another
 * method (405), a body or an address that is too long (413, 414). No proxy that is set up as documented sends such a one, and
 * none lets it pass. Order: who asks, what is wanted, the token.
 *
 * Who asks is the peer of the socket, whatever headers say: one of `forwardAuthProxies`, and none of `trustedProxies`, through which
 * anybody comes.
 */
export function forwardAuthRoutes({ forwardAuth }: { forwardAuth: ForwardAuth }): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.on(METHODS, FORWARD_AUTH_PATH, async (c) => {
    if (!c.var.request.isAskingProxy) {
      throw new HttpRefusal(403, 'forbidden.not_a_proxy', 'Only a proxy that is set up for it may ask who a token is.');
    }
    const wanted = readWanted(c);
    const claims = await forwardAuth.identify(readToken(c), wanted, c.var.request);
    return c.body(null, 200, { ...identityHeaders(claims), 'Cache-Control': 'no-store' });
  });
  return routes;
}

/** From the address that the proxy was set up with, never from the request it asks about. */
function readWanted(c: HttpContext): Wanted {
  const asked = readForwardAuthQuery(new URL(c.req.raw.url).search.slice(1));
  if (asked.kind === 'malformed') throw new HttpRefusal(403, 'forbidden.forward_auth_query', asked.why);
  const { audience, scopes } = asked;
  if (audience !== undefined) return { audience, scopes };
  throw new HttpRefusal(403, 'forbidden.forward_auth_query', 'The query must name the audience.');
}

/** Two credentials are 401 here and not 400, which a proxy would not pass on. Those of another scheme are none. */
function readToken(c: HttpContext): string {
  const authorization = readAuthorization(c);
  if (authorization.kind === 'bearer') return authorization.token;
  if (authorization.kind !== 'malformed') throw new BearerChallenge();
  throw new OAuthError(
    'invalid_token',
    'bad_request.authorization_header',
    'The Authorization header is not one "Bearer" and a token.',
    { challenge: 'Bearer' },
  );
}
