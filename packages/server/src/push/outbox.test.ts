import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_STALL_MS, MAX_UNSENT_BYTES, Outbox } from './outbox.ts';

const text = (characters: string) => new TextEncoder().encode(characters);
const kib = (count: number) => text('x'.repeat(count * 1_024));

function start() {
  const time = { nowMs: 1_000_000 };
  let hasGone = false;
  const onGone = () => {
    hasGone = true;
  };
  const outbox = new Outbox({ stopwatch: { monotonicMs: () => time.nowMs }, onGone });
  const reader = outbox.body.getReader();
  const take = async () => {
    const { value, done } = await reader.read();
    return done ? 'end' : new TextDecoder().decode(value);
  };
  return { time, outbox, reader, take, hasGone: () => hasGone };
}

test('what waits is taken in order, together, and at most a record at once', async () => {
  const { outbox, take } = start();
  outbox.write([text('a'), text('b')]);
  outbox.write([text('c')]);
  assert.equal(await take(), 'abc');
  const pending = take();
  outbox.write([text('d')]);
  assert.equal(await pending, 'd');
  outbox.write([kib(10), kib(10), kib(40)]);
  assert.deepEqual([(await take()).length, (await take()).length, (await take()).length], [10_240, 10_240, 40_960]);
});

test('a reader past the bound is refused more, and not before', async () => {
  const { outbox, take } = start();
  assert.equal(outbox.write([kib(MAX_UNSENT_BYTES / 1_024)]), true);
  assert.equal(outbox.write([text('!')]), true);
  assert.equal(outbox.write([text('?')]), false);
  await take();
  assert.equal(outbox.write([text('?')]), true);
  assert.equal(await take(), '!?');
});

test('a round may say more at once than may wait: whoever reads gets all of it', async () => {
  const { outbox, take } = start();
  assert.equal(outbox.write(Array.from({ length: 100 }, () => kib(10))), true);
  let taken = 0;
  while (taken < 1_000 * 1_024) taken += (await take()).length;
  assert.equal(outbox.write([text('more')]), true);
});

test('a reader stalls by taking nothing while something waits, not by having nothing to take', async () => {
  const { outbox, take, time } = start();
  outbox.write([text('a')]);
  assert.equal(await take(), 'a');
  time.nowMs += 10 * MAX_STALL_MS;
  assert.equal(outbox.isStalled, false);
  outbox.write([kib(12), kib(12)]);
  assert.equal(outbox.isStalled, false, 'it counts from when something waits');
  time.nowMs += MAX_STALL_MS;
  assert.equal(outbox.isStalled, false);
  await take();
  time.nowMs += MAX_STALL_MS;
  outbox.write([text('b')]);
  assert.equal(outbox.isStalled, false, 'it counts from when something was taken');
  time.nowMs += 1;
  assert.equal(outbox.isStalled, true, 'and writing more is no taking');
});

test('an end comes after what waits; a cut comes at once', async () => {
  const ending = start();
  ending.outbox.write([kib(12), kib(12)]);
  ending.outbox.end();
  assert.equal(ending.outbox.write([text('late')]), true);
  assert.deepEqual(
    [(await ending.take()).length, (await ending.take()).length, await ending.take()],
    [12_288, 12_288, 'end'],
  );
  const cut = start();
  cut.outbox.write([text('a')]);
  cut.outbox.cut();
  assert.equal(await cut.take(), 'end');
  const waiting = start();
  const pending = waiting.take();
  waiting.outbox.end();
  assert.equal(await pending, 'end');
});

test('a reader that goes away is told of once, and may be written to without harm', async () => {
  const { outbox, reader, hasGone } = start();
  outbox.write([text('a')]);
  await reader.cancel();
  assert.equal(hasGone(), true);
  assert.equal(outbox.write([text('b')]), true);
  outbox.end();
  assert.equal(outbox.isStalled, false);
});
