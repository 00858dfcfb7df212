import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Store, Transaction } from '../store/store.ts';
import { Held, LeaseLost, SILENCE_MS } from './leases.ts';
import { doneBy, nodeOf, pass, proxied, store, time } from './testing/nodes.ts';

test('a suspended holder’s late write is refused by the store, though its own clocks saw nothing', async () => {
  for (const how of ['write', 'commit'] as const) {
    const gate = Promise.withResolvers<void>();
    const slept = nodeOf(`slept-${how}`, {
      jobs: [how],
      step: async (held) => {
        await gate.promise;
        assert.ok(held.isHeld(), 'it knows of nothing');
        if (how === 'write') await slept.write(held);
        else
          await held.commit({
            steps: [{ text: 'INSERT INTO done_work (job, node) VALUES ($1, $2)', values: [held.name, 'slept'] }],
          });
      },
    });
    await slept.begin();
    const working = slept.work();
    const other = nodeOf('other', { jobs: [how] });
    await other.begin();
    const begunMs = time.passedMs;
    await pass(SILENCE_MS, other);
    await other.work();
    slept.offset.wallMs -= time.passedMs - begunMs;
    slept.offset.monotonicMs -= time.passedMs - begunMs;
    gate.resolve();
    await working;
    assert.deepEqual(await doneBy(), ['other'], how);
    await slept.work();
    assert.equal(slept.lines.filter((line) => line.includes('left undone')).length, 1, 'one line, no error');
    await slept.beat();
    await slept.work();
    assert.deepEqual(await doneBy(), ['other'], 'and it goes on as one that holds nothing');
    await other.leases.stop();
  }
});

test('a write that began in time and arrives late is refused', async () => {
  const gate = Promise.withResolvers<void>();
  const over: Store = {
    ...proxied(store),
    write: async <T>(work: (tx: Transaction) => Promise<T>) => {
      await gate.promise;
      return store.write(work);
    },
  };
  const slow = nodeOf('slow', { over });
  await slow.begin();
  const working = slow.work();
  const other = nodeOf('other');
  await other.begin();
  await pass(SILENCE_MS, other);
  gate.resolve();
  await working;
  assert.deepEqual(await doneBy(), []);
});

test('what a job writes is there before a takeover, or never', async () => {
  const asked = Promise.withResolvers<void>();
  const slow = nodeOf('slow', {
    jobs: ['a'],
    step: (held) =>
      held.write(async (tx) => {
        asked.resolve();
        // Some round trips: time for the other to come between, if it could.
        for (let turn = 0; turn < 100; turn++) await tx.all('SELECT * FROM done_work');
        await tx.run('INSERT INTO done_work (job, node) VALUES ($1, $2)', held.name, 'slow');
      }),
  });
  await slow.begin();
  const working = slow.work();
  await asked.promise;
  const found = await store.write(async (tx) => {
    await tx.run('UPDATE lease SET holder = NULL, number = number + 1');
    return tx.all('SELECT * FROM done_work');
  });
  await working;
  const after = await store.read.all('SELECT * FROM done_work');
  assert.equal(after.length, found.length, 'whoever holds the new number has seen all that the old one wrote');
});

test('a step that changes nothing writes nothing, not even its lease', async () => {
  const texts: string[] = [];
  const over: Store = {
    ...proxied(store),
    write: (work) =>
      store.write((tx) => {
        const run: Transaction['run'] = (text, ...values) => {
          texts.push(text);
          return tx.run(text, ...values);
        };
        const { all, get, journal, afterCommit } = tx;
        const doing = { all: all.bind(tx), get: get.bind(tx), do: tx.do.bind(tx) };
        return work({ ...doing, run, journal: journal.bind(tx), afterCommit: afterCommit.bind(tx) });
      }),
  };
  const UNCHANGING = 'UPDATE done_work SET node = $1 WHERE job = $2';
  const idle = nodeOf('idle', { over, step: (held) => held.write((tx) => tx.run(UNCHANGING, 'nobody', 'none')) });
  await idle.begin();
  texts.length = 0;
  await idle.work();
  assert.ok(texts.length > 0 && texts.every((text) => text === UNCHANGING), texts.join('\n'));
});

test('a step that runs while others take its lease over is told, also when its node has joined again', async () => {
  const gate = Promise.withResolvers<void>();
  const answers: boolean[] = [];
  const slept = nodeOf('slept', {
    jobs: ['a'],
    step: async (held) => {
      await gate.promise;
      answers.push(held.isHeld());
    },
  });
  await slept.begin();
  const working = slept.work();
  const other = nodeOf('other', { jobs: ['a'] });
  await other.begin();
  await pass(SILENCE_MS, other);
  await slept.beat();
  gate.resolve();
  await working;
  assert.deepEqual(answers, [false]);
});

test('after a restore a number that comes again lets nobody in under another name', async () => {
  const one = nodeOf('one', { jobs: ['a'] });
  await one.begin();
  await store.write((tx) => tx.run("UPDATE lease SET holder = 'other'"));
  await one.work();
  assert.deepEqual(await doneBy(), []);
});

test('a refusal of the job’s own act is the job’s own business', async () => {
  const outcomes: unknown[] = [];
  const one = nodeOf('one', {
    jobs: ['a'],
    step: async (held) => {
      const step = { text: 'DELETE FROM done_work WHERE job = $1', values: ['none'], must: { rows: 1, why: 'gone' } };
      outcomes.push(await held.commit({ steps: [step] }), held instanceof Held);
      await assert.rejects(
        held.write(() => Promise.reject(new LeaseLost('inner'))),
        LeaseLost,
      );
    },
  });
  await one.begin();
  await one.work();
  assert.deepEqual(outcomes, [{ kind: 'refused', why: 'gone' }, true]);
});
