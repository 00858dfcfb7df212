import { decodePart } from './form.ts';

/**
 * The Authorization header, taken apart. `malformed` covers an unreadable one, an unknown scheme and more than one header; what to
 * answer depends on the endpoint.
 */
export type Authorization =
  | { kind: 'none' }
  | { kind: 'basic'; clientId: string; clientSecret: string }
  | { kind: 'bearer'; token: string }
  | { kind: 'malformed' };

/** RFC 6750 §2.1 `b64token`. */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;
const BASIC = /^basic +([A-Za-z0-9+/]+={0,2})$/i;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads an Authorization header. In Basic, client id and secret are form-encoded before base64 (RFC 6749 §2.3.1), so both are
 * decoded here. Verifies nothing.
 */
export function parseAuthorization(header: string | null | undefined): Authorization {
  if (header === null || header === undefined) return { kind: 'none' };
  const token = BEARER.exec(header)?.[1];
  if (token !== undefined) return { kind: 'bearer', token };
  const encoded = BASIC.exec(header)?.[1];
  if (encoded === undefined) return { kind: 'malformed' };
  try {
    const pair = utf8.decode(Buffer.from(encoded, 'base64'));
    const colon = pair.indexOf(':');
    if (colon < 1) return { kind: 'malformed' };
    return {
      kind: 'basic',
      clientId: decodePart(pair.slice(0, colon)),
      clientSecret: decodePart(pair.slice(colon + 1)),
    };
  } catch {
    return { kind: 'malformed' };
  }
}
