import type { AccessTokenClaims } from './tokens.ts';

/**
 * Forward-auth: a reverse proxy asks, before it lets a request pass, who its access token is. The authority answers, or a
 * sidecar beside the proxy; both read the question and spell the answer as stands here.
 */
export const FORWARD_AUTH_PATH = '/forward-auth';

/** Longest query of a question. An audience and a few scopes are a tenth of it. */
const MAX_QUERY_LENGTH = 2048;

/** What an answer says of the token: a header for each, in this order. Spelled with hyphens alone, as every proxy passes them on. */
const IDENTITY = {
  'Countersign-Subject': (claims) => claims.sub,
  'Countersign-Client-Id': (claims) => claims.client_id,
  'Countersign-Scope': (claims) => claims.scope,
  'Countersign-Token-Id': (claims) => claims.jti,
  /** Unix seconds. */
  'Countersign-Expires': (claims) => String(claims.exp),
  /** Unix seconds; empty for a client that acts for itself. */
  'Countersign-Authenticated-At': (claims) => String(claims.auth_time ?? ''),
  /** Of RFC 8176, separated by spaces; empty likewise. */
  'Countersign-Authentication-Methods': (claims) => claims.amr?.join(' ') ?? '',
} as const satisfies Record<string, (claims: IdentityClaims) => string>;

export type IdentityHeader = keyof typeof IDENTITY;

/** Every header that says who a token is. A proxy strips or overwrites all of them in what comes from outside. */
export const IDENTITY_HEADERS = Object.keys(IDENTITY) as readonly IdentityHeader[]; // the keys of a literal are its names

/** Of an access token, what an answer tells. */
export type IdentityClaims = Pick<
  AccessTokenClaims,
  'sub' | 'client_id' | 'scope' | 'jti' | 'exp' | 'auth_time' | 'amr'
>;

/**
 * The headers of a 200. Always all of them, also the empty ones: a proxy that copies what it is given then overwrites whatever
 * came under that name from outside, where it would leave alone what the answer does not have.
 *
 * @throws Error where a value is not printable ASCII. The authority writes no such claim; a header may not hold it.
 */
export function identityHeaders(claims: IdentityClaims): Record<IdentityHeader, string> {
  const entries = Object.entries(IDENTITY).map(([name, read]): [string, string] => {
    const value = read(claims);
    if (/^[\x20-\x7e]*$/.test(value)) return [name, value];
    throw new Error(`Answering a proxy: the value of ${name} is not printable ASCII.`);
  });
  return Object.fromEntries(entries) as Record<IdentityHeader, string>; // one entry for each name
}

/** What the proxy's own configuration wants of a token, in the query of the address that it calls. */
export type ForwardAuthQuery =
  | { kind: 'asked'; audience: string | undefined; scopes: readonly string[] }
  /** `why` is a fixed sentence. */
  | { kind: 'malformed'; why: string };

/**
 * Reads `audience=https://api.example&scope=accounts:read` (scopes separated by spaces). Anything else in it, and anything
 * twice, is refused: such a query is a slip of the operator, or holds what a client wrote. `query` is given without its `?`.
 */
export function readForwardAuthQuery(query: string): ForwardAuthQuery {
  if (query.length > MAX_QUERY_LENGTH) return malformed('The query is too long.');
  const parameters = [...new URLSearchParams(query)];
  const values = new Map(parameters);
  if (values.size < parameters.length) return malformed('A parameter stands in the query twice.');
  const { audience, scope, ...others } = Object.fromEntries(values);
  if (Object.keys(others).length > 0) return malformed('The query may hold audience and scope alone.');
  if (audience !== undefined && !isWord(audience)) return malformed('The audience is not an identifier.');
  const scopes = scope?.split(' ') ?? [];
  if (!scopes.every(isWord)) return malformed('The scope is not a list of scopes.');
  return { kind: 'asked', audience, scopes };
}

/** Printable ASCII without space, quote and backslash: a scope (RFC 6749 §3.3), or an identifier as audiences are. */
function isWord(text: string): boolean {
  return /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(text);
}

function malformed(why: string): ForwardAuthQuery {
  return { kind: 'malformed', why };
}
