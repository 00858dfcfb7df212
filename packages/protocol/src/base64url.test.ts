import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeBase64url, encodeBase64url } from './base64url.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const bytes = fc.uint8Array({ maxLength: 100 });

test('JT-10 bytes come back from their spelling, which is the one Node writes', () => {
  fc.assert(
    fc.property(bytes, (original) => {
      const text = encodeBase64url(original);
      assert.equal(text, Buffer.from(original).toString('base64url'));
      assert.deepEqual(decodeBase64url(text), new Uint8Array(original));
    }),
  );
});

test('JT-10 every string is either refused or the one spelling of its bytes', () => {
  const close = fc.string({ unit: fc.constantFrom(...ALPHABET, '=', '+', '/', ' ', '\n', 'é'), maxLength: 12 });
  fc.assert(
    fc.property(fc.oneof(close, fc.string()), (text) => {
      const decoded = decodeBase64url(text);
      if (decoded !== undefined) assert.equal(encodeBase64url(decoded), text);
    }),
    { numRuns: 2_000 },
  );
});

test('JT-10 exactly one of all strings of two or three characters spells each one or two bytes', () => {
  const accepted = (length: number): number => {
    if (length === 2) return pairs().filter((text) => decodeBase64url(text) !== undefined).length;
    return pairs().flatMap((pair) => [...ALPHABET].filter((last) => decodeBase64url(pair + last) !== undefined)).length;
  };
  assert.equal(accepted(2), 256);
  assert.equal(accepted(3), 65_536);
});

function pairs(): string[] {
  return [...ALPHABET].flatMap((first) => [...ALPHABET].map((second) => first + second));
}

for (const [what, text] of [
  ['padding', 'AA=='],
  ['a foreign alphabet', '+/AA'],
  ['white space', 'AA AA'],
  ['a line break at the end', 'AAAA\n'],
  ['an impossible length', 'AAAAA'],
  ['trailing bits that are not zero', 'AB'],
  ['a character past ASCII that looks like one', 'АAAA'],
] as const) {
  test(`JT-10 ${what} is refused`, () => assert.equal(decodeBase64url(text), undefined));
}
