import { OAuthError } from '../oauth/oauth.ts';
import { parseAuthorization } from './authorization-header.ts';
import type { HttpContext } from './context.ts';
import { BearerChallenge } from './refusals.ts';

/**
 * The access token of a request: in the Authorization header, or in the form where the endpoint allows it (`formToken`; RFC 6750
 * §2.2), never in the query. Nothing about it is verified.
 * @throws BearerChallenge without any, OAuthError invalid_request for two at once or an unreadable header
 */
export function requireBearer(c: HttpContext, formToken?: string): string {
  const authorization = parseAuthorization(c.req.raw.headers.get('authorization'));
  if (authorization.kind === 'malformed') {
    throw new OAuthError(
      'invalid_request',
      'bad_request.authorization_header',
      'The Authorization header is not one "Bearer" and a token.',
    );
  }
  if (authorization.kind !== 'bearer') {
    if (formToken === undefined) throw new BearerChallenge();
    return formToken;
  }
  if (formToken !== undefined) {
    throw new OAuthError(
      'invalid_request',
      'bad_request.two_access_tokens',
      'Send the access token once: in the Authorization header or in the form.',
    );
  }
  return authorization.token;
}
