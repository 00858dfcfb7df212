import type { Random } from '../world/random.ts';

/**
 * Digits and capitals without those that are read for one another (0 O, 1 I L): 31 characters, six of them 29.7 bits. ML-07
 * asks for 20; together with five tries a guess succeeds once in 177 million.
 */
const ALPHABET = '23456789ABCDEFGHJKMNPQRSTUVWXYZ';
const CODE_LENGTH = 6;
/** Tries of one code, right or wrong. A sixth is refused unseen; the link of the same mail still works. */
export const MAX_CODE_TRIES = 5;

/** A byte below this multiple of 31 falls on each character equally often; others are drawn again. */
const UNBIASED_BELOW = 256 - (256 % ALPHABET.length);

/** Makes a code, each character equally likely. */
export function makeCode(random: Random): string {
  let code = '';
  while (code.length < CODE_LENGTH) {
    for (const byte of random.bytes(CODE_LENGTH * 2)) {
      if (byte < UNBIASED_BELOW && code.length < CODE_LENGTH) code += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return code;
}

/** As it stands in the mail: `ABC-DEF`, easier to carry over in two looks. */
export function spacedCode(code: string): string {
  return `${code.slice(0, 3)}-${code.slice(3)}`;
}

/** What a person typed, in the one spelling that is compared; undefined when it cannot be a code at all. */
export function readCode(text: string): string | undefined {
  const code = text.replace(/[\s\-\u2010-\u2015]/g, '').replace(/[a-z]/g, (letter) => letter.toUpperCase());
  if (code.length !== CODE_LENGTH) return undefined;
  for (const character of code) if (!ALPHABET.includes(character)) return undefined;
  return code;
}
