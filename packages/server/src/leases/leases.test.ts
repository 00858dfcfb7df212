import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Act, type Store, StoreUnavailable } from '../store/store.ts';
import { LEASE_MS, RENEW_MS, SILENCE_MS } from './leases.ts';
import { doneBy, holders, nodeOf, nodes, pass, proxied, store, time, unavailable } from './testing/nodes.ts';

test('a node that is alone does every job, from its start', async () => {
  const one = nodeOf('one');
  await one.begin();
  await one.work();
  assert.deepEqual(await holders(), { a: 'one', b: 'one' });
  assert.deepEqual(await doneBy(), ['one']);
});

test('nodes share the jobs, also those that come later, and a job is never in two hands', async () => {
  const jobs = ['a', 'b', 'c', 'd', 'e', 'f'];
  const nodes = [nodeOf('one', { jobs }), nodeOf('two', { jobs }), nodeOf('three', { jobs })];
  for (const node of nodes) {
    await node.begin();
    await nodes[0]?.work();
  }
  await pass(4 * RENEW_MS, ...nodes);
  const shares = Map.groupBy(Object.values(await holders()), (holder) => holder);
  assert.deepEqual([...shares.entries()].map(([name, list]) => [name, list.length]).sort(), [
    ['one', 2],
    ['three', 2],
    ['two', 2],
  ]);
  await store.write((tx) => tx.run('DELETE FROM done_work'));
  for (const node of nodes) await node.work();
  assert.equal((await store.read.all('SELECT * FROM done_work')).length, jobs.length);
});

test('a killed node’s jobs are done by another within the time, under a higher number', async () => {
  const killed = nodeOf('killed');
  await killed.begin();
  const before = await killed.leases.list();
  const other = nodeOf('other');
  await other.begin();
  await pass(SILENCE_MS - 1, other);
  await other.work();
  assert.deepEqual(await doneBy(), [], 'not while the killed one might still act');
  await pass(1, other);
  await other.work();
  assert.deepEqual(await doneBy(), ['other']);
  for (const { name, number } of await other.leases.list()) {
    assert.ok(number > (before.find((lease) => lease.name === name)?.number ?? number));
  }
  assert.deepEqual(await nodes(), ['other']);
});

test('a node that gives signs of life is never removed, whatever the clocks of the nodes say', async () => {
  const alive = nodeOf('alive');
  const other = nodeOf('other');
  other.offset.wallMs += 3_600_000;
  await alive.begin();
  await other.begin();
  await pass(10 * SILENCE_MS, alive, other);
  other.offset.wallMs -= 7_200_000;
  await pass(2 * SILENCE_MS, alive, other);
  assert.deepEqual(Object.values(await holders()).sort(), ['alive', 'other']);
});

test('a stop gives everything back at once', async () => {
  const one = nodeOf('one');
  const other = nodeOf('other');
  await one.begin();
  await other.begin();
  await one.leases.stop();
  assert.equal(one.stopped, 3);
  await one.work();
  await one.beat();
  assert.deepEqual(await nodes(), ['other'], 'and the node is not there any more');
  assert.deepEqual(await doneBy(), []);
  await other.beat();
  assert.deepEqual(await holders(), { a: 'other', b: 'other' });
});

test('a stop waits for the step that runs, and gives back the idle ones meanwhile', async () => {
  const gate = Promise.withResolvers<void>();
  const one = nodeOf('one', {
    step: async (held) => {
      if (held.name === 'a') await gate.promise;
      await one.write(held);
    },
  });
  await one.begin();
  const working = one.work();
  const stopping = one.leases.stop();
  while ((await holders()).b !== null) await new Promise(setImmediate);
  assert.equal((await holders()).a, 'one');
  gate.resolve();
  await stopping;
  await working;
  assert.deepEqual(await holders(), { a: null, b: null });
  assert.deepEqual(await doneBy(), ['one'], 'the step wrote what it had begun');
});

test('whoever comes back under the name of a killed node waits for nothing', async () => {
  const killed = nodeOf('data-folder');
  await killed.begin();
  const again = nodeOf('data-folder');
  await again.begin();
  await again.work();
  assert.deepEqual(await doneBy(), ['data-folder']);
  const [lease] = await store.read.all<{ number: number }>('SELECT number FROM lease');
  assert.equal(lease?.number, 3, 'taken, freed, taken');
});

test('a holder that was suspended finds its hands empty, by either clock, and asks before it goes on', async () => {
  for (const clock of ['wallMs', 'monotonicMs'] as const) {
    const asked: string[] = [];
    const over: Store = {
      ...proxied(store),
      commit(act) {
        asked.push('asked');
        return store.commit(act);
      },
    };
    const one = nodeOf(`one-${clock}`, { over, jobs: [clock] });
    await one.begin();
    asked.length = 0;
    await one.work();
    assert.deepEqual(asked, []);
    one.offset[clock] += LEASE_MS - 1;
    await one.work();
    assert.deepEqual(asked, [], clock);
    one.offset[clock] += 1;
    await one.work();
    assert.ok(asked.length > 0, clock);
  }
  assert.equal(
    (await store.read.all('SELECT * FROM done_work')).length,
    6,
    'nobody had taken the lease, so it went on',
  );
});

test('clocks that are set back keep nothing in anybody’s hands', async () => {
  let isAway = false;
  const over = { ...proxied(store), commit: (act: Act) => (isAway ? unavailable() : store.commit(act)) };
  const one = nodeOf('one', { over });
  await one.begin();
  isAway = true;
  one.offset.wallMs -= 3_600_000;
  time.passedMs += LEASE_MS;
  await assert.rejects(one.work(), StoreUnavailable);
  assert.deepEqual(await doneBy(), []);
});

test('of two candidates that reach for a lease at once, one has it', async () => {
  for (let round = 0; round < 20; round++) {
    const jobs = [`race-${round}`];
    const nodes = ['one', 'two', 'three'].map((name) => nodeOf(`${name}-${round}`, { jobs }));
    await Promise.all(nodes.map((node) => node.begin()));
    await Promise.all(nodes.map((node) => node.work()));
    const done = await store.read.all('SELECT * FROM done_work WHERE job = $1', jobs[0] ?? '');
    assert.equal(done.length, 1);
    for (const node of nodes) await node.leases.stop();
  }
});

test('two that remove a silent node at once do not free what one of them has taken', async () => {
  const killed = nodeOf('killed', { jobs: ['a'] });
  await killed.begin();
  const [one, two] = [nodeOf('one', { jobs: ['a'] }), nodeOf('two', { jobs: ['a'] })];
  await one.begin();
  await two.begin();
  await pass(SILENCE_MS - RENEW_MS, one, two);
  time.passedMs += RENEW_MS;
  await Promise.all([one.beat(), two.beat()]);
  await Promise.all([one.work(), two.work()]);
  assert.equal((await doneBy()).length, 1);
});

test('a node that is removed at the very moment takes nothing: a lease would stay with a node that is not there', async () => {
  const other = nodeOf('other', { jobs: ['a'] });
  let isSlow = true;
  const over: Store = {
    ...proxied(store),
    async commit(act) {
      if (isSlow && act.steps.some(({ text }) => text.includes('SET holder = $2'))) {
        isSlow = false;
        await store.write((tx) => tx.run("DELETE FROM lease_node WHERE name = 'slow'"));
      }
      return store.commit(act);
    },
  };
  const slow = nodeOf('slow', { over, jobs: ['a'] });
  await slow.begin();
  assert.deepEqual(await holders(), { a: null });
  await other.begin();
  assert.deepEqual(await holders(), { a: 'other' });
});

test('a node that gives a sign of life at the last moment keeps what it holds', async () => {
  const late = nodeOf('late', { jobs: ['a'] });
  await late.begin();
  let hasWaited = false;
  const over: Store = {
    ...proxied(store),
    async commit(act) {
      if (act.steps.some(({ text }) => text.startsWith('DELETE FROM lease_node'))) {
        hasWaited = true;
        await late.beat();
      }
      return store.commit(act);
    },
  };
  const other = nodeOf('other', { over, jobs: ['a'] });
  await other.begin();
  await pass(SILENCE_MS, other);
  assert.ok(hasWaited);
  assert.deepEqual(await holders(), { a: 'late' });
  await late.work();
  assert.deepEqual(await doneBy(), ['late']);
});

test('a job is not given to a node that came later while its step runs', async () => {
  const gate = Promise.withResolvers<void>();
  const one = nodeOf('one', { step: () => gate.promise });
  await one.begin();
  const working = one.work();
  const later = nodeOf('later');
  await later.begin();
  await one.beat();
  assert.deepEqual(await holders(), { a: 'one', b: null });
  gate.resolve();
  await working;
  await pass(2 * RENEW_MS, later, one, later);
  const given = Object.values(await holders());
  assert.deepEqual(given.sort(), ['later', 'one'], 'after it, the two share');
});

test('a renewal counts from before it was sent: one that took too long is over when its answer comes', async () => {
  let takesMs = 0;
  const over: Store = {
    ...proxied(store),
    async commit(act) {
      const outcome = await store.commit(act);
      time.passedMs += takesMs;
      return outcome;
    },
  };
  const one = nodeOf('one', { over });
  await one.begin();
  takesMs = LEASE_MS;
  await one.beat();
  await one.work();
  assert.deepEqual(await doneBy(), []);
  takesMs = 0;
  await one.work();
  assert.deepEqual(await doneBy(), ['one']);
});

test('a stop lets a beat end first, which would otherwise take what was just given back', async () => {
  const gate = Promise.withResolvers<void>();
  let isSlow = false;
  const over: Store = {
    ...proxied(store),
    async commit(act) {
      if (isSlow) {
        isSlow = false;
        await gate.promise;
      }
      return store.commit(act);
    },
  };
  const one = nodeOf('one', { over });
  await one.begin();
  isSlow = true;
  const beating = one.beat();
  const stopping = one.leases.stop();
  await new Promise(setImmediate);
  gate.resolve();
  await beating;
  await stopping;
  assert.deepEqual(await nodes(), []);
  assert.ok(
    one.lines.every((line) => !line.includes('silent')),
    one.lines.join(),
  );
});

test('a stop does not wait for ever: a step that takes too long is refused what it then writes', async () => {
  const gate = Promise.withResolvers<void>();
  const answers: boolean[] = [];
  const one = nodeOf('one', {
    stopWithinMs: 20,
    jobs: ['a'],
    step: async (held) => {
      await gate.promise;
      answers.push(held.isHeld());
      await one.write(held);
    },
  });
  await one.begin();
  const working = one.work();
  const stopping = one.leases.stop();
  await stopping;
  gate.resolve();
  await working;
  assert.deepEqual(answers, [false]);
  assert.deepEqual(await doneBy(), []);
  assert.deepEqual(await holders(), { a: null });
});

test('a stop that the store does not take is no error: the others wait and take over', async () => {
  let isAway = false;
  const over = { ...proxied(store), commit: (act: Act) => (isAway ? unavailable() : store.commit(act)) };
  const one = nodeOf('one', { over });
  await one.begin();
  isAway = true;
  await one.leases.stop();
  assert.equal(one.lines.filter((line) => line.includes('not given back')).length, 1);
});

test('while the store is away the holder stops when its lease is over; what nobody could renew is not taken for silence', async () => {
  let isAway = false;
  const away = (target: Store): Store => ({
    ...proxied(target),
    commit: (act: Act) => (isAway ? unavailable() : target.commit(act)),
    get read() {
      if (isAway) throw new StoreUnavailable('Reading: away.');
      return target.read;
    },
  });
  const one = nodeOf('one', { over: away(store), jobs: ['a'] });
  const other = nodeOf('other', { over: away(store), jobs: ['a'] });
  await one.begin();
  await other.begin();
  await one.work();
  assert.deepEqual(await doneBy(), ['one']);
  isAway = true;
  for (let ms = 0; ms < 3 * SILENCE_MS; ms += RENEW_MS) {
    time.passedMs += RENEW_MS;
    await assert.rejects(other.beat(), StoreUnavailable);
    if (ms >= LEASE_MS) await assert.rejects(one.work(), StoreUnavailable, 'it asks before it acts');
  }
  assert.equal((await store.read.all('SELECT * FROM done_work')).length, 1);
  isAway = false;
  await other.beat();
  await one.beat();
  assert.deepEqual(await holders(), { a: 'one' }, 'it came back within the time that others wait');
  await one.work();
  assert.equal((await store.read.all('SELECT * FROM done_work')).length, 2);
});

test('a step that throws is tried again, and its error is told', async () => {
  let tries = 0;
  const one = nodeOf('one', {
    jobs: ['a'],
    step: async () => {
      if (++tries === 1) throw new Error('once');
    },
  });
  await one.begin();
  await assert.rejects(one.work(), /once/);
  await one.work();
  assert.equal(tries, 2);
});

test('a taking whose answer was lost is found again with the next beat', async () => {
  let isLosing = false;
  const over = {
    ...proxied(store),
    async commit(act: Act) {
      const outcome = await store.commit(act);
      return isLosing && act.steps.some(({ text }) => text.includes('SET holder = $2')) ? unavailable() : outcome;
    },
  };
  const other = nodeOf('other');
  await other.begin();
  const one = nodeOf('one', { over });
  await one.begin();
  await other.leases.stop();
  isLosing = true;
  await assert.rejects(one.beat(), StoreUnavailable);
  isLosing = false;
  await one.beat();
  await one.work();
  assert.deepEqual(await holders(), { a: 'one', b: 'one' });
  assert.equal((await store.read.all('SELECT * FROM done_work')).length, 2);
});

test('a job that this release does not know is left to whoever knows it', async () => {
  const newer = nodeOf('newer', { jobs: ['a', 'new'] });
  await newer.begin();
  await newer.leases.stop();
  const older = nodeOf('older', { jobs: ['a'] });
  await older.begin();
  assert.deepEqual(await holders(), { a: 'older', new: null });
});
