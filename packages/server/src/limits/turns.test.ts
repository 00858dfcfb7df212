import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRandom } from '../world/random.ts';
import { Limits } from './limits.ts';
import { MAX_WAITING, Turns } from './turns.ts';

const POINTS = 20;

/** Until those that may have begun. */
const begun = () => new Promise(setImmediate);

function steered() {
  const clock = { now: () => 1_000_000 };
  const limits = new Limits({ clock, random: systemRandom, overrides: { clientSecretPerNetwork: { points: POINTS } } });
  const turns = new Turns(limits, 'clientSecretPerNetwork');
  const running: { end: (isGood: boolean) => void; breakOff: () => void }[] = [];
  let most = 0;
  /** A check that ends when the test says so. */
  const start = (key = 'a') =>
    turns.run(key, {
      check: () =>
        new Promise<boolean>((resolve, reject) => {
          running.push({ end: resolve, breakOff: () => reject(new Error('away')) });
          most = Math.max(most, running.length);
        }),
      isGood: (isGood) => isGood,
    });
  /** Ends one after the other until none runs. */
  const endAll = async (isGood: boolean) => {
    await begun();
    for (let one = running.shift(); one; one = running.shift()) {
      one.end(isGood);
      await begun();
    }
  };
  return { start, endAll, running, most: () => most };
}

test('five hundred good checks at once are all done, some at a time', async () => {
  const { start, endAll, most } = steered();
  const all = Array.from({ length: 500 }, () => start());
  await endAll(true);
  assert.ok((await Promise.all(all)).every(({ kind }) => kind === 'checked'));
  assert.equal(most(), POINTS);
});

test('of five hundred guesses at once as many are tried as may fail, and all are answered', async () => {
  const { start, endAll } = steered();
  const all = Array.from({ length: 500 }, () => start());
  await endAll(false);
  const kinds = (await Promise.all(all)).map(({ kind }) => kind);
  assert.equal(kinds.filter((kind) => kind === 'checked').length, POINTS);
  assert.equal((await start()).kind, 'limited');
});

test('a good one among guesses makes room for one more, and another key is not held up', async () => {
  const { start, endAll, running } = steered();
  const all = Array.from({ length: 30 }, () => start());
  await begun();
  running.shift()?.end(true);
  await begun();
  const other = start('b');
  await begun();
  running.pop()?.end(true);
  assert.equal((await other).kind, 'checked');
  await endAll(false);
  const kinds = (await Promise.all(all)).map(({ kind }) => kind);
  assert.equal(kinds.filter((kind) => kind === 'checked').length, POINTS + 1);
});

test('checks that break off count for nothing', async () => {
  const { start, endAll, running } = steered();
  const broken = Array.from({ length: POINTS }, () => start());
  await begun();
  for (const one of running.splice(0)) one.breakOff();
  assert.ok((await Promise.allSettled(broken)).every(({ status }) => status === 'rejected'));
  const all = Array.from({ length: POINTS }, () => start());
  await endAll(false);
  assert.ok((await Promise.all(all)).every(({ kind }) => kind === 'checked'));
});

test('more than can wait are refused at once', async () => {
  const { start, endAll } = steered();
  const all = Array.from({ length: POINTS + MAX_WAITING }, () => start());
  await begun();
  assert.equal((await start()).kind, 'limited');
  await endAll(true);
  assert.ok((await Promise.all(all)).every(({ kind }) => kind === 'checked'));
});
