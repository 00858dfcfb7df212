import type { Scheme } from './challenge.ts';

/** What the `Authorization` header says to a resource that reads access tokens, with or without a proof. */
export type TokenCredentials = PresentedToken | { kind: 'none' } | { kind: 'repeated' } | { kind: 'malformed' };

export interface PresentedToken {
  kind: 'token';
  scheme: Scheme;
  token: string;
}

const BEARER_OR_DPOP = /^(?:bearer|(dpop))(?=[ ,]|$)/i;

/**
 * Reads the access token of `Authorization: Bearer …` (RFC 6750 §2.1) or `DPoP …` (RFC 9449 §7.1); the scheme is compared without
 * case (RFC 9110 §11.1). Another scheme is `none`: it is not for us. Give every `Authorization` header of the request, as one value
 * or one by one: repeated headers arrive joined by a comma, which no token contains, so a comma beside a token means two
 * credentials, of which a proxy and we might read different ones. The token is NOT verified.
 *
 * @example readTokenCredentials('dpop a.b.c') // { kind: 'token', scheme: 'DPoP', token: 'a.b.c' }
 */
export function readTokenCredentials(authorization: string | readonly string[] | null | undefined): TokenCredentials {
  const value = typeof authorization === 'string' ? authorization : authorization?.join(',');
  if (!value) return { kind: 'none' };
  const credentials = value.split(',').map((part) => part.trim());
  if (!credentials.some((part) => BEARER_OR_DPOP.test(part))) return { kind: 'none' };
  const [credential, ...others] = credentials;
  if (credential === undefined || others.length > 0) return { kind: 'repeated' };
  const token = credential.replace(BEARER_OR_DPOP, '').trimStart();
  if (token === '' || token.includes(' ')) return { kind: 'malformed' };
  return { kind: 'token', scheme: BEARER_OR_DPOP.exec(credential)?.[1] ? 'DPoP' : 'Bearer', token };
}
