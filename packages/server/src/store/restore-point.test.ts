import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStore } from '../testing/testing.ts';
import { systemRandom } from '../world/random.ts';
import { putUpFence, readFence } from './fence.ts';
import { setRestorePoint } from './restore-point.ts';

test('a restore point is settled behind a fence, and its epoch is above all that can have been seen', async (t) => {
  const { store, clock, close } = await openStore();
  t.after(close);
  const set = (settle: (epoch: number) => Promise<unknown>, aboveEpoch = 0) =>
    setRestorePoint({ store, clock, random: systemRandom, aboveEpoch, settle });
  const second = Math.floor(clock.now() / 1_000);
  const seen: unknown[] = [];
  const first = await set(async (epoch) => {
    seen.push(epoch, await store.epoch(), (await readFence(store.read))?.kind);
    return 'settled';
  });
  assert.deepEqual(seen, [second, second, 'restoring']);
  assert.deepEqual(first, { epoch: second, settled: 'settled' });
  assert.equal(await readFence(store.read), undefined);
  assert.equal((await set(async () => {})).epoch, second + 1, 'a second one within the second');
  assert.equal((await set(async () => {}, second + 100)).epoch, second + 101);
});

test('broken off, it stays fenced until it is set again', async (t) => {
  const { store, clock, close } = await openStore();
  t.after(close);
  const set = (settle: () => Promise<void>) =>
    setRestorePoint({ store, clock, random: systemRandom, aboveEpoch: 0, settle });
  await assert.rejects(
    set(async () => {
      throw new Error('broken off');
    }),
    /broken off/,
  );
  assert.equal((await readFence(store.read))?.kind, 'restoring');
  let inner: Promise<unknown> | undefined;
  await assert.rejects(
    set(async () => {
      inner = set(async () => {});
      await inner;
    }),
    { code: 'store_fenced', message: /another one was begun/ },
  );
  await inner;
  assert.equal(await readFence(store.read), undefined);
  for (const kind of ['leaving', 'arriving'] as const) {
    await store.write(async (tx) => {
      await tx.run('DELETE FROM store_fence');
      await putUpFence(tx, { kind, transferId: 'x', fencedAtMs: 0 });
    });
    await assert.rejects(
      set(async () => {}),
      { code: 'store_fenced' },
    );
    assert.equal((await readFence(store.read))?.kind, kind);
  }
});
