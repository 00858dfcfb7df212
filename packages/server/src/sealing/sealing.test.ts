import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemRandom as random } from '../world/random.ts';
import { SealBroken, Sealer } from './sealing.ts';

const sealer = new Sealer({ masterKey: random.bytes(32), random });
const PLACE = { table: 'signing_key', row: 'key_1', column: 'sealed_private' };
const bytes = fc.uint8Array({ maxLength: 200 });

test('TC-04 what is sealed to a place opens there', () => {
  fc.assert(
    fc.property(bytes, fc.string(), (plain, row) => {
      const place = { ...PLACE, row };
      assert.deepEqual(new Uint8Array(sealer.open(place, sealer.seal(place, plain))), new Uint8Array(plain));
    }),
  );
});

test('TC-04 a sealed value holds nothing of what it seals, and no two are alike', () => {
  const plain = Buffer.from('a private key, in plain letters');
  const [one, two] = [sealer.seal(PLACE, plain), sealer.seal(PLACE, plain)];
  assert.equal(Buffer.from(one).includes(plain), false);
  assert.notDeepEqual(one, two);
});

test('TC-04 one changed bit anywhere breaks the seal', () => {
  const sealed = sealer.seal(PLACE, Buffer.from('secret'));
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = Uint8Array.from(sealed);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.throws(() => sealer.open(PLACE, changed), SealBroken);
  }
});

test('TC-04 a shortened value breaks, down to nothing', () => {
  const sealed = sealer.seal(PLACE, Buffer.from('secret'));
  for (let length = 0; length < sealed.length; length++) {
    assert.throws(() => sealer.open(PLACE, sealed.subarray(0, length)), SealBroken);
  }
});

for (const [what, place] of [
  ['another row', { ...PLACE, row: 'key_2' }],
  ['another column', { ...PLACE, column: 'public_jwk' }],
  ['another table', { ...PLACE, table: 'mail' }],
  ['a place whose parts join to the same text', { table: 'signing', row: '_keykey_1', column: 'sealed_private' }],
  ['a place that holds the separators', { table: 'signing_key","key_1', row: '', column: 'sealed_private' }],
] as const) {
  test(`TC-04 a value moved to ${what} does not open`, () => {
    const sealed = sealer.seal(PLACE, Buffer.from('secret'));
    assert.throws(() => sealer.open(place, sealed), SealBroken);
    assert.equal(Buffer.from(sealer.open(PLACE, sealed)).toString(), 'secret');
  });
}

test('TC-04 under another master key nothing opens, and the error says so without a secret', () => {
  const sealed = sealer.seal(PLACE, Buffer.from('the secret itself'));
  const stranger = new Sealer({ masterKey: random.bytes(32), random });
  assert.throws(
    () => stranger.open(PLACE, sealed),
    (error) => error instanceof SealBroken && error.code === 'seal_broken' && !/secret itself/.test(error.message),
  );
});

test('a value sealed to a holder opens only with what the holder presents', () => {
  const sealed = sealer.sealToHolder(PLACE, 'a refresh token', Buffer.from('answer'));
  assert.equal(Buffer.from(sealer.openFromHolder(PLACE, 'a refresh token', sealed)).toString(), 'answer');
  assert.throws(() => sealer.openFromHolder(PLACE, 'another refresh token', sealed), SealBroken);
  assert.throws(() => sealer.openFromHolder({ ...PLACE, row: 'key_2' }, 'a refresh token', sealed), SealBroken);
  assert.throws(() => sealer.open(PLACE, sealed), SealBroken, 'the server alone cannot');
});

test('a value that travels for one purpose is worth nothing for another', () => {
  const sealed = sealer.sealForTravel('authorization-request', Buffer.from('{}'));
  assert.equal(Buffer.from(sealer.openFromTravel('authorization-request', sealed)).toString(), '{}');
  assert.throws(() => sealer.openFromTravel('login', sealed), SealBroken);
});

test('a master key of another length is refused', () => {
  for (const length of [0, 16, 31, 33]) {
    assert.throws(() => new Sealer({ masterKey: random.bytes(length), random }), TypeError);
  }
});
