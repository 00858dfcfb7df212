import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRandom } from './random.ts';

test('TC-06 OA-22 pieces are as long as asked, and no two are alike, over many pools', () => {
  const seen = new Set<string>();
  for (const length of [8, 16, 31, 32, 512, 513, 5_000]) {
    for (let drawn = 0; drawn < 2_000; drawn++) {
      const piece = systemRandom.bytes(length);
      assert.equal(piece.length, length);
      seen.add(Buffer.from(piece).toString('latin1'));
    }
  }
  assert.equal(seen.size, 7 * 2_000);
});

test('a piece belongs to its owner alone', () => {
  const first = systemRandom.bytes(32);
  const copy = first.slice();
  systemRandom.bytes(32).fill(0);
  assert.deepEqual(first, copy);
  assert.equal(first.buffer.byteLength, 32);
});

test('bytes are spread over all values', () => {
  const counts = new Array<number>(256).fill(0);
  for (let drawn = 0; drawn < 8_192; drawn++) {
    for (const byte of systemRandom.bytes(32)) counts[byte] = (counts[byte] ?? 0) + 1;
  }
  // 1,024 of each are expected, with a deviation of 32: eight deviations off is not chance.
  for (const count of counts) assert.ok(Math.abs(count - 1_024) < 256);
});
