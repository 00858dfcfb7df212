/** What an `Authorization` header says to a resource that reads bearer tokens. */
export type BearerCredentials =
  | { kind: 'token'; token: string }
  | { kind: 'none' }
  | { kind: 'repeated' }
  | { kind: 'malformed' };

const BEARER = /^bearer(?=[ ,]|$)/i;

/**
 * Reads a bearer token from the value of `Authorization` (RFC 6750 §2.1); the scheme is compared without case (RFC 9110
 * §11.1). Another scheme is `none`: it is not for us. Repeated headers arrive joined by a comma, which no token contains, so a
 * comma beside a bearer token means two credentials, of which a proxy and we might read different ones. The token is NOT
 * verified.
 */
export function readBearerCredentials(authorization: string | null | undefined): BearerCredentials {
  if (!authorization) return { kind: 'none' };
  const credentials = authorization.split(',').map((part) => part.trim());
  if (!credentials.some((part) => BEARER.test(part))) return { kind: 'none' };
  const [credential, ...others] = credentials;
  if (credential === undefined || others.length > 0) return { kind: 'repeated' };
  const token = credential.replace(BEARER, '').trimStart();
  if (token === '' || token.includes(' ')) return { kind: 'malformed' };
  return { kind: 'token', token };
}
