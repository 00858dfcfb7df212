import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createId, ID_PREFIXES, idCreatedAtMs, isId } from './ids.ts';

const prefix = fc.constantFrom(...ID_PREFIXES);
const random64 = fc.uint8Array({ minLength: 8, maxLength: 8 });
const timeMs = fc.nat({ max: 4_102_444_800_000 }); // up to the year 2100

test('an id parses back: its kind, its moment, and no other kind', () => {
  fc.assert(
    fc.property(prefix, timeMs, random64, (kind, nowMs, random) => {
      const id = createId(kind, nowMs, random);
      assert.equal(id.length, kind.length + 1 + 22);
      assert.equal(idCreatedAtMs(id), nowMs);
      assert.deepEqual(
        ID_PREFIXES.filter((other) => isId(other, id)),
        [kind],
      );
    }),
  );
});

test('ids sort by time as plain strings', () => {
  fc.assert(
    fc.property(timeMs, fc.integer({ min: 1, max: 1_000_000 }), random64, random64, (nowMs, laterMs, one, two) => {
      assert.ok(createId('evt', nowMs, one) < createId('evt', nowMs + laterMs, two));
    }),
  );
});

test('different chance makes different ids in one millisecond', () => {
  fc.assert(
    fc.property(timeMs, random64, random64, (nowMs, one, two) => {
      fc.pre(Buffer.compare(one, two) !== 0);
      assert.notEqual(createId('key', nowMs, one), createId('key', nowMs, two));
    }),
  );
});

test('the greatest number is an id, the next spelling is none', () => {
  const greatest = createId('user', 2 ** 64 - 2 ** 11, new Uint8Array(8).fill(255));
  assert.equal(isId('user', greatest), true);
  assert.equal(isId('user', `user_${'z'.repeat(22)}`), false, 'beyond 128 bits: a second spelling of nothing');
});

test('chance of another length than 64 bits is a mistake of the caller', () => {
  assert.throws(() => createId('user', 0, new Uint8Array(7)), TypeError);
  assert.throws(() => createId('user', 0, new Uint8Array(16)), TypeError);
});

const good = createId('user', 1_800_000_000_000, new Uint8Array(8));
for (const [what, value] of [
  ['nothing', undefined],
  ['a number', 5],
  ['an array that holds one', [good]],
  ['another kind', good.replace('user', 'acc')],
  ['a longer prefix', `x${good}`],
  ['a character short', good.slice(0, -1)],
  ['a character long', `${good}0`],
  ['a foreign character', `${good.slice(0, -1)}-`],
  ['a line break behind it', `${good}\n`],
  ['no separator', good.replace('_', '')],
] as const) {
  test(`${what} is no user id`, () => {
    assert.equal(isId('user', good), true);
    assert.equal(isId('user', value), false);
  });
}
