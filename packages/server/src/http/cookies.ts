import type { HttpContext } from './context.ts';

/**
 * The only kind of cookie there is here: `__Host-`, so that no subdomain and no plaintext page can set one over it (RFC 6265bis
 * §4.1.3.2); HttpOnly; SameSite=Lax, for a link in a mail must arrive with it.
 */
const PREFIX = '__Host-';
const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Lax';

/** RFC 6265 §4.1.1 without the comma, quote and semicolon troubles: what base64url and ids are made of. */
const COOKIE_VALUE = /^[A-Za-z0-9._~-]{1,512}$/;

/** The value of `__Host-<name>`, or undefined. Two of one name are as good as none: it is not known who set which. */
export function readCookie(c: HttpContext, name: string): string | undefined {
  const values = parseCookies(c.req.raw.headers.get('cookie') ?? '').filter(([found]) => found === PREFIX + name);
  const [only] = values;
  return values.length === 1 && only && COOKIE_VALUE.test(only[1]) ? only[1] : undefined;
}

/** Sets `__Host-<name>`; without `maxAgeSeconds` it ends with the browser. Throws TypeError on a value of other characters. */
export function setHostCookie(c: HttpContext, cookie: { name: string; value: string; maxAgeSeconds?: number }): void {
  const { name, value, maxAgeSeconds } = cookie;
  if (!COOKIE_VALUE.test(value))
    throw new TypeError(`setHostCookie: the value for ${name} has characters of no cookie here`);
  const age = maxAgeSeconds === undefined ? '' : `; Max-Age=${Math.floor(maxAgeSeconds)}`;
  c.header('Set-Cookie', `${PREFIX}${name}=${value}; ${ATTRIBUTES}${age}`, { append: true });
}

export function clearHostCookie(c: HttpContext, name: string): void {
  c.header('Set-Cookie', `${PREFIX}${name}=; ${ATTRIBUTES}; Max-Age=0`, { append: true });
}

/** Name and value of each cookie in a Cookie header, as sent. */
export function parseCookies(header: string): [name: string, value: string][] {
  return header.split(';').flatMap((part): [string, string][] => {
    const equals = part.indexOf('=');
    return equals < 0 ? [] : [[part.slice(0, equals).trim(), part.slice(equals + 1).trim()]];
  });
}
