import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeBase64url } from './base64url.ts';
import { ENTROPY_BUCKET_BYTES, hasEntropyBucketForm } from './entropy-bucket.ts';

test('EB-04 any 48 bytes have the form', () => {
  const bucket = fc.uint8Array({ minLength: ENTROPY_BUCKET_BYTES, maxLength: ENTROPY_BUCKET_BYTES });
  fc.assert(fc.property(bucket, (bytes) => assert.equal(hasEntropyBucketForm(encodeBase64url(bytes)), true)));
});

test('EB-04 bytes of any other number have not', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      assert.equal(hasEntropyBucketForm(encodeBase64url(bytes)), bytes.length === ENTROPY_BUCKET_BYTES);
    }),
  );
});

const good = 'A'.repeat(64);
for (const [what, eb] of [
  ['missing', undefined],
  ['null', null],
  ['empty', ''],
  ['one character short', good.slice(1)],
  ['one character long', `${good}A`],
  ['a number', 1],
  ['true', true],
  ['an array that holds one', [good]],
  ['an object that spells one', { toString: () => good, length: 64 }],
  ['a String object', Object(good)],
  ['padded', `${good.slice(2)}==`],
  ['of another alphabet', `${good.slice(1)}+`],
  ['with white space', `${good.slice(1)} `],
] as const) {
  test(`EB-04 an eb that is ${what} has not the form`, () => {
    assert.equal(hasEntropyBucketForm(good), true);
    assert.equal(hasEntropyBucketForm(eb), false);
  });
}
