/** A scope word: printable ASCII without space, quote and backslash (RFC 6749 §3.3). */
export function isScopeToken(text: string): boolean {
  return /^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/.test(text);
}

/** The words of a scope parameter, without repeats, in the order given; undefined if it is none. */
export function parseScope(text: string): string[] | undefined {
  const words = text.split(' ');
  return words.every(isScopeToken) ? [...new Set(words)] : undefined;
}

/** Whether every word of `wanted` is in `granted`. */
export function isSubset(wanted: readonly string[], granted: readonly string[]): boolean {
  return wanted.every((word) => granted.includes(word));
}
