/** Loopback hosts of native apps (RFC 8252 §7.3); `localhost` is what widespread command-line tools register. */
const LOOPBACK_HOSTS = ['127.0.0.1', '[::1]', 'localhost'];

/**
 * What is wrong with a redirect URI somebody wants to register; undefined if nothing is. Absolute, no fragment, https; http only
 * for loopback; private-use schemes only with a period (RFC 6749 §3.1.2, RFC 8252 §7 and §8.4, RFC 9700 §2.6).
 */
export function redirectUriProblem(text: string): string | undefined {
  if (text.length > 2_000) return 'is longer than 2,000 characters';
  if (!URL.canParse(text) || !/^[a-z][a-z0-9+.-]*:/.test(text)) return 'must be an absolute URI';
  // It becomes a Location header as it stands: printable ASCII (RFC 3986 §2), anything else percent-encoded.
  if (!/^[\x21-\x7e]+$/.test(text) || /[\\#<>"]|\.\.\/|\*/.test(text))
    return 'must be printable ASCII without a fragment, white space, backslash, wildcard or path traversal';
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') return 'must not have user information';
  if (url.protocol === 'https:') return text.startsWith('https://') ? undefined : 'must begin with https://';
  if (url.protocol === 'http:') {
    return LOOPBACK_HOSTS.includes(url.hostname) && text.startsWith('http://')
      ? undefined
      : 'must use https; plain http is for loopback addresses only';
  }
  return url.protocol.includes('.') ? undefined : 'with a scheme of its own must use a reverse domain name as scheme';
}

/**
 * Whether a requested redirect URI is the registered one: the same string, except that a loopback registration meets any port
 * (RFC 8252 §7.3; RFC 9700 §4.1.3). Nothing is normalised, so nothing can be smuggled through normalisation.
 */
export function isSameRedirectUri(requested: string, registered: string): boolean {
  if (requested === registered) return true;
  const loopback = /^(http:\/\/(?:127\.0\.0\.1|\[::1\]|localhost))(?::\d{1,5})?(\/.*|\?.*)?$/;
  const wanted = loopback.exec(requested);
  const known = loopback.exec(registered);
  if (!wanted || !known) return false;
  return wanted[1] === known[1] && (wanted[2] ?? '') === (known[2] ?? '') && URL.canParse(requested);
}

/** A redirect URI with response parameters appended; an existing query stays as it is (RFC 6749 §3.1.2). */
export function withParameters(redirectUri: string, parameters: Record<string, string | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, value);
  return `${redirectUri}${redirectUri.includes('?') ? '&' : '?'}${query.toString()}`;
}
