/** Every kind of id, by its prefix. Ids name things and sort by time; they are never secrets. */
export const ID_PREFIXES = [
  'user',
  'acc',
  'oauth2client',
  'grant',
  'sess',
  'acctok',
  'reftok',
  'maglnk',
  'azc',
  'key',
  'webhook',
  'whd',
  'feed',
  'alarm',
  'evt',
  'mail',
] as const;

/** Names the kind of thing an id belongs to. */
export type IdPrefix = (typeof ID_PREFIXES)[number];

/** `<prefix>_` and 22 base62 characters of a 128-bit number: 64 bits Unix milliseconds, then 64 random bits. */
export type Id<P extends IdPrefix = IdPrefix> = `${P}_${string}`;

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const TAIL_LENGTH = 22;
const TAIL = /^[0-9A-Za-z]{22}$/;
/** 2^128 - 1. The alphabet is in the order of its characters' codes, so tails compare as their numbers do. */
const LARGEST_TAIL = '7n42DGM5Tflk9n8mt7Fhc7';

/**
 * Makes an id. `random64` must be 8 bytes from a CSPRNG, `nowMs` Unix milliseconds.
 *
 * @example createId('grant', Date.now(), crypto.getRandomValues(new Uint8Array(8))) // grant_0000BqM…
 */
export function createId<P extends IdPrefix>(prefix: P, nowMs: number, random64: Uint8Array): Id<P> {
  if (random64.length !== 8) throw new TypeError('createId: random64 must be 8 bytes');
  let number = BigInt(nowMs);
  for (const byte of random64) number = (number << 8n) | BigInt(byte);
  let tail = '';
  for (let i = 0; i < TAIL_LENGTH; i++) {
    tail = BASE62.charAt(Number(number % 62n)) + tail;
    number /= 62n;
  }
  return `${prefix}_${tail}`;
}

/** Whether a value is an id of this kind, in the one spelling there is. */
export function isId<P extends IdPrefix>(prefix: P, value: unknown): value is Id<P> {
  if (typeof value !== 'string' || !value.startsWith(`${prefix}_`)) return false;
  const tail = value.slice(prefix.length + 1);
  return TAIL.test(tail) && tail <= LARGEST_TAIL;
}

/** When the thing was named, in Unix milliseconds. */
export function idCreatedAtMs(id: Id): number {
  return Number(decodeTail(id.slice(id.indexOf('_') + 1)) >> 64n);
}

function decodeTail(tail: string): bigint {
  let number = 0n;
  for (const character of tail) number = number * 62n + BigInt(BASE62.indexOf(character));
  return number;
}
