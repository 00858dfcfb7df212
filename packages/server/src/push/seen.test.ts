import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cursorOf, isSeen, mayLack, type Seen, seenByEither, seenUpTo } from './seen.ts';

const seens: fc.Arbitrary<Seen> = fc
  .record({ upTo: fc.nat(12), open: fc.uniqueArray(fc.integer({ min: 1, max: 12 })) })
  .map(({ upTo, open }) => ({ upTo, open: open.filter((cursor) => cursor <= upTo) }));
const CURSORS = Array.from({ length: 14 }, (_, cursor) => cursor);

test('a row of a transaction that was open was not brought, nor is one from beyond', () => {
  const seen = { upTo: 9, open: [4, 7] };
  assert.deepEqual(
    CURSORS.filter((cursor) => isSeen(seen, cursor)),
    [0, 1, 2, 3, 5, 6, 8, 9],
  );
  assert.deepEqual([cursorOf(seen), cursorOf(seenUpTo(9)), cursorOf(seenUpTo(0))], [3, 9, 0]);
});

test('nothing is left out up to the cursor, and something after it may be', () => {
  fc.assert(
    fc.property(seens, (seen) => {
      const cursor = cursorOf(seen);
      assert.ok(CURSORS.every((one) => one > cursor || isSeen(seen, one)));
      assert.equal(isSeen(seen, cursor + 1), false);
    }),
  );
});

test('what was swept may be lacking where it lies beyond what was seen, or was open then and is over', () => {
  const before = { upTo: 9, open: [4, 7] };
  const after = (sweptUpTo: number, ...open: number[]) => mayLack(before, { seen: { upTo: 12, open }, sweptUpTo });
  assert.equal(after(3), false);
  assert.equal(after(9, 4, 7), false, 'what is open yet has written nothing that could be swept');
  assert.equal(after(6, 7), true, 'the older is over');
  assert.equal(after(6, 4), false, 'the younger is over, and swept was only what is older');
  assert.equal(after(9, 4), true);
  assert.equal(after(10, 4, 7), true);
});

test('two reads have brought what either did', () => {
  fc.assert(
    fc.property(seens, seens, (one, other) => {
      const either = seenByEither(one, other);
      for (const cursor of CURSORS) {
        assert.equal(isSeen(either, cursor), isSeen(one, cursor) || isSeen(other, cursor), String(cursor));
      }
      assert.equal(new Set(either.open).size, either.open.length);
    }),
  );
});
