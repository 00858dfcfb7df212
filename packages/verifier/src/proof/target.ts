/** The characters of a URI (RFC 3986 §2), so that no backslash, space or control character is read in two ways. */
const WEB_URI = /^https?:\/\/[\w\-.~:/?#[\]@!$&'()*+,;=%]+$/i;

const PERCENT_ENCODED = /%[0-9a-f]{2}/gi;
const UNRESERVED = /^[A-Za-z0-9\-._~]$/;

/**
 * Whether `htu` names the address of the request, after the normalisation of RFC 3986 §6.2.2 and §6.2.3: case of scheme and host,
 * default port, empty path, dot segments, percent-encoding. Query and fragment of both are ignored (RFC 9449 §4.3, 9); so a client
 * that leaves them in, against §4.2, is understood. Everything else is compared as it stands: a path's case, a slash at its end.
 */
export function isSameTarget(htu: string, url: string): boolean {
  const target = normalised(htu);
  return target !== undefined && target === normalised(url);
}

function normalised(text: string): string | undefined {
  const url = WEB_URI.test(text) ? URL.parse(text) : null;
  if (url?.username !== '' || url.password !== '') return undefined; // none, or one with credentials
  return url.origin + url.pathname.replace(PERCENT_ENCODED, respelled);
}

/** What needs no encoding stands bare, the rest in upper case (RFC 3986 §6.2.2.1, §6.2.2.2). */
function respelled(encoded: string): string {
  const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
  return UNRESERVED.test(character) ? character : encoded.toUpperCase();
}
