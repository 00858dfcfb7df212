/** Longest address that SMTP carries: a path is 256 octets with its brackets (RFC 5321 §4.5.3.1.3). */
export const MAX_ADDRESS_LENGTH = 254;
/** RFC 5321 §4.5.3.1.1. */
const MAX_LOCAL_PART_LENGTH = 64;

export type AddressRefusal = 'address_missing' | 'address_too_long' | 'address_not_ascii' | 'address_malformed';

/** Dot-atom of RFC 5322 §3.2.3: no quotes, no comments, no empty atom, so no CR, LF, comma or angle bracket either. */
const LOCAL_PART = /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
/** Letters, digits, hyphens (RFC 5321 §2.3.5), at least two labels, the last not all digits: no address literal. */
const DOMAIN = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/;
const PRINTABLE_ASCII = /^[\x21-\x7e]+$/;

/**
 * Reads an e-mail address as a person typed it, into the one spelling that is stored, compared and written to.
 *
 * Only ASCII passes, and that is checked before anything is folded: under Unicode rules the Kelvin sign folds to `k` and the
 * full-width at sign normalises to `@`, so that two texts that differ would become one account (ML-13). White space
 * around the text is a slip of the keyboard and goes; inside, it is refused. The local part is lower-cased too: mail servers
 * that tell `Ann` from `ann` are rarer than people who type either.
 *
 * @returns the address, at most 254 characters, or why it is none. The refusal never repeats the input.
 */
export function emailAddress(
  text: string,
): { kind: 'address'; address: string } | { kind: 'refused'; code: AddressRefusal } {
  const trimmed = text.replace(/^[ \t]+|[ \t]+$/g, '');
  if (trimmed === '') return { kind: 'refused', code: 'address_missing' };
  if (trimmed.length > MAX_ADDRESS_LENGTH) return { kind: 'refused', code: 'address_too_long' };
  if (!PRINTABLE_ASCII.test(trimmed)) return { kind: 'refused', code: 'address_not_ascii' };
  const address = trimmed.replace(/[A-Z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) + 32));
  const at = address.indexOf('@');
  const local = address.slice(0, at);
  const domain = address.slice(at + 1);
  if (at < 1 || local.length > MAX_LOCAL_PART_LENGTH || !LOCAL_PART.test(local) || !DOMAIN.test(domain)) {
    return { kind: 'refused', code: 'address_malformed' };
  }
  return { kind: 'address', address };
}

/** `a***@example.org`: enough for its owner to know it again, too little to write to. */
export function maskedAddress(address: string): string {
  const at = address.indexOf('@');
  return `${address.slice(0, 1)}***${address.slice(at)}`;
}
