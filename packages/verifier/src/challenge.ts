/** Outside RFC 6750 §3's characters for attribute values: %x20-21 / %x23-5B / %x5D-7E. No quote, backslash, CR or LF. */
const FORBIDDEN = /[^\x20\x21\x23-\x5b\x5d-\x7e]/g;

/** A scope-token of RFC 6749 §3.3. */
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

/**
 * A value for `WWW-Authenticate` (RFC 6750 §3). Each attribute stands at most once, in a fixed order; characters that could
 * end the quoted string or the header are left out, so that no value from outside can add an attribute.
 *
 * @example bearerChallenge({ realm: 'https://api.example' }) // Bearer realm="https://api.example"
 */
export function bearerChallenge(attributes: {
  realm: string;
  error?: 'invalid_request' | 'invalid_token' | 'insufficient_scope';
  description?: string;
  scopes?: readonly string[];
}): string {
  const parts = [`realm="${permitted(attributes.realm)}"`];
  if (attributes.error) parts.push(`error="${attributes.error}"`);
  if (attributes.description) parts.push(`error_description="${permitted(attributes.description)}"`);
  if (attributes.scopes?.length) parts.push(`scope="${permitted(attributes.scopes.join(' '))}"`);
  return `Bearer ${parts.join(', ')}`;
}

/** Refuses scopes that no token can carry, when the program starts rather than at each request. */
export function assertScopes(scopes: readonly string[]): void {
  if (scopes.every((scope) => SCOPE_TOKEN.test(scope))) return;
  throw new TypeError(
    'Requiring scopes: each scope must be one non-empty word of printable ASCII without space, quote or backslash (RFC 6749 section 3.3).',
  );
}

function permitted(value: string): string {
  return value.replace(FORBIDDEN, '');
}
