import { isSubset, OAuthError, parseScope } from '../oauth/oauth.ts';

/** The words of a scope as a row keeps it. */
export function scopeWords(stored: string): string[] {
  return stored.split(' ').filter((word) => word !== '');
}

/**
 * The scope of a token: all that may be had, or less on request; a refresh token itself keeps the whole (RFC 6749 §3.3, §6).
 * @throws OAuthError invalid_scope
 */
export function narrowedScope(all: readonly string[], parameter: string | undefined): string[] {
  if (parameter === undefined) return [...all];
  const wanted = parseScope(parameter);
  if (!wanted || !isSubset(wanted, all)) throw invalidScope();
  return wanted;
}

function invalidScope(): OAuthError {
  return new OAuthError(
    'invalid_scope',
    'bad_request.bad_param.scope',
    'The scope is malformed or goes beyond what the client is registered for or was granted.',
  );
}
