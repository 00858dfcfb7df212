import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { encodeBase64url } from '@countersign/protocol';
import type { Client } from '../clients/clients.ts';
import { HandleNames } from '../introspection/introspection.ts';
import { InvalidationLog, wakeUpsWithinProcess } from '../revocation/revocation.ts';
import { AUDIENCE, IS_POSTGRES, openAuthority } from '../testing/testing.ts';
import { Push, type StreamAsked } from './push.ts';
import { MAX_REPLAYED, MAX_ROWS } from './rounds.ts';

const opened = await openAuthority();
after(opened.close);
const { authority, store, clock, random, addClient, logLines } = opened;
const { clients, keys, revocation } = authority;
const service = { redirectUris: [], grantTypes: [], scopes: [], resourceServerFor: [AUDIENCE] };
const { client: api } = await addClient(service);

/** What counts the turns of a read needs one that comes within a turn. */
const inTurns = { skip: IS_POSTGRES && 'its reads take their time' };
const MINUTE_MS = 60_000;
const newNonce = () => encodeBase64url(random.bytes(16));
/** A push whose time and timers the test moves; the log it reads is real. */
function start(t: TestContext, given: { bounds?: { streams?: number; streamsPerClient?: number } } = {}) {
  let nowMs = 0;
  const steps = new Map<number, () => unknown>();
  const invalidations = new InvalidationLog(store);
  // Nothing is echoed before a write is acknowledged, which on a network is after the read.
  let confirming = 0;
  const confirm = invalidations.confirm.bind(invalidations);
  invalidations.confirm = async () => {
    confirming++;
    await confirm().finally(() => confirming--);
  };
  const wakeUps = wakeUpsWithinProcess();
  const found: { find: (id: string) => Promise<Client | undefined> } = { find: (id) => clients.find(id) };
  const push = new Push({
    ...{ invalidations, wakeUps, random, clients: { find: (id) => found.find(id) } },
    log: authority.world.log,
    handles: new HandleNames(keys),
    clock: opened.clock,
    stopwatch: { monotonicMs: () => nowMs },
    timers: {
      every(intervalMs, step) {
        steps.set(intervalMs, step);
        return { stop: () => void steps.delete(intervalMs) };
      },
    },
    ...given,
  });
  t.after(() => push.stop());
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  /** Until every read that is due was made and what it brought was read, too. */
  const settled = async () => {
    do await turn();
    while (!push.isAtRest || confirming > 0);
    await turn();
  };
  const open = async (client = api, asked: Partial<StreamAsked> = {}) => {
    const answer = await push.open(client, { nonce: newNonce(), maxStalenessMs: 30_000, resume: undefined, ...asked });
    if (answer.kind !== 'opened') throw new Error(answer.kind);
    return read(answer.body);
  };
  return {
    ...{ push, open, wakeUps, invalidations, found, steps, settled },
    poll: () => steps.get(100)?.(),
    /** Time passes, and the house is kept. */
    async pass(ms: number) {
      nowMs += ms;
      await steps.get(1_000)?.();
      await settled();
    },
  };
}

/** Reads a stream until it is told to pause. */
function read(body: ReadableStream<Uint8Array>) {
  const reader = body.getReader();
  const reading = { text: '', isOver: false, isPaused: false, cancel: () => reader.cancel() };
  const name = () => /"stream":"([\w-]+)"/.exec(reading.text)?.[1] ?? '';
  const go = async () => {
    while (!reading.isPaused) {
      const { done, value } = await reader.read();
      if (value) reading.text += new TextDecoder().decode(value);
      if (done) reading.isOver = true;
      if (done) return;
    }
  };
  void go();
  return Object.assign(reading, { name, go });
}

/** In one statement: thousands of them take their time on a network. */
async function append(rows: number): Promise<void> {
  await store.commit(
    revocation.appendingEach({
      text: `WITH RECURSIVE series (row) AS (SELECT 1 UNION ALL SELECT row + 1 FROM series WHERE row < $1)
        SELECT CAST($2 AS BIGINT), 'token', 'acctok_' || row, NULL, CAST($3 AS BIGINT), NULL FROM series`,
      values: [rows, clock.now(), clock.now() + 60 * MINUTE_MS],
    }),
  );
}

const revoke = () => store.write((tx) => revocation.append(tx, { kind: 'user', subjectId: 'user_1' }));

test('a wake-up is enough, and so is a poll', async (t) => {
  const { open, wakeUps, poll, settled } = start(t);
  const stream = await open();
  await settled();
  assert.match(
    stream.text,
    /^event: hello\ndata: \{.*\}\n\nevent: heartbeat\ndata: \{"nonce":"[\w-]{22}","cursor":\d+\}\n\n$/,
  );
  await revoke();
  await settled();
  assert.doesNotMatch(stream.text, /invalidate/);
  wakeUps.wake();
  await settled();
  assert.equal(stream.text.match(/event: invalidate/g)?.length, 1);
  await revoke();
  poll();
  await settled();
  assert.equal(stream.text.match(/event: invalidate/g)?.length, 2);
});

test('a pulse is echoed without a poll; a read that fails echoes nothing and ends nothing', async (t) => {
  const { push, open, invalidations, poll, settled } = start(t);
  const stream = await open();
  await settled();
  const pulse = (nonce: string) => push.pulse(api, { stream: stream.name(), nonce });
  const [good, late] = [newNonce(), newNonce()];
  assert.equal(pulse(good), 'taken');
  await settled();
  assert.ok(stream.text.includes(good));
  const real = invalidations.read.bind(invalidations);
  let isBroken = true;
  t.mock.method(invalidations, 'read', async (...given: Parameters<typeof real>) => {
    if (isBroken) throw new Error('the disk');
    return real(...given);
  });
  assert.equal(pulse(late), 'taken');
  await settled();
  poll();
  await settled();
  assert.equal(stream.text.includes(late), false);
  assert.equal(stream.isOver, false);
  assert.equal(logLines.filter((line) => line.includes('could not be read')).length, 1, 'said once');
  isBroken = false;
  poll();
  await settled();
  assert.ok(stream.text.includes(late));
});

test('a nonce that arrives while the log is read waits for the next read', async (t) => {
  const { push, open, invalidations, settled } = start(t);
  const stream = await open();
  await settled();
  const real = invalidations.read.bind(invalidations);
  const nonce = newNonce();
  let reads = 0;
  t.mock.method(invalidations, 'read', async (...given: Parameters<typeof real>) => {
    const answer = await real(...given);
    reads++;
    if (reads === 1) {
      push.pulse(api, { stream: stream.name(), nonce });
      await revoke(); // after the rows were read, before the echo could be written
    }
    return answer;
  });
  push.pulse(api, { stream: stream.name(), nonce: newNonce() });
  await settled();
  assert.ok(reads >= 2);
  const dead = stream.text.indexOf('event: invalidate');
  assert.ok(dead > 0 && dead < stream.text.indexOf(nonce), stream.text);
});

test(
  'all that arrives between two rounds shares the next one, which comes five milliseconds after',
  inTurns,
  async (t) => {
    const { push, open, invalidations, settled, wakeUps } = start(t);
    const stream = await open();
    await settled();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const turns = async () => {
      for (let count = 0; count < 20; count++) await new Promise((resolve) => setImmediate(resolve));
    };
    const real = invalidations.read.bind(invalidations);
    let reads = 0;
    t.mock.method(invalidations, 'read', async (...given: Parameters<typeof real>) => {
      if (++reads < 3) push.pulse(api, { stream: stream.name(), nonce: newNonce() });
      return real(...given);
    });
    wakeUps.wake();
    await turns();
    for (let count = 0; count < 5; count++) push.pulse(api, { stream: stream.name(), nonce: newNonce() });
    await turns();
    t.mock.timers.tick(4);
    await turns();
    assert.equal(reads, 1);
    t.mock.timers.tick(1);
    await turns();
    assert.equal(reads, 2);
    t.mock.timers.tick(5);
    await turns();
    assert.equal(reads, 3);
    assert.equal(stream.text.match(/event: heartbeat/g)?.length, 1 + 7);
  },
);

test(
  'whoever arrives waits for the one reader, so that no read that was overtaken looks like an older store',
  inTurns,
  async (t) => {
    const { push, open, invalidations, wakeUps } = start(t);
    await open();
    const real = invalidations.state.bind(invalidations);
    const waiting: (() => void)[] = [];
    let isSlow = true;
    t.mock.method(invalidations, 'state', async () => {
      const state = await real();
      if (isSlow) await new Promise<void>((resolve) => waiting.push(resolve));
      return state;
    });
    const arrivals = [open(), open()];
    const turns = async () => {
      for (let count = 0; count < 20; count++) await new Promise((resolve) => setImmediate(resolve));
    };
    await turns();
    assert.equal(waiting.length, 1, 'one look for both');
    await revoke();
    wakeUps.wake();
    arrivals.push(open());
    await turns();
    assert.equal(waiting.length, 1, 'and no other meanwhile');
    isSlow = false;
    waiting[0]?.();
    const streams = await Promise.all(arrivals);
    assert.deepEqual([push.size, streams.some(({ isOver }) => isOver)], [4, false]);
  },
);

test('whoever arrives while the log cannot be read is told so, and the next one is served', async (t) => {
  const { open, invalidations, push } = start(t);
  const state = t.mock.method(invalidations, 'state', () => Promise.reject(new Error('the disk')));
  await assert.rejects(Promise.all([open(), open()]), /^Error: the disk$/);
  state.mock.restore();
  await open();
  assert.equal(push.size, 1);
});

test('whoever arrives during a look that fails has one of his own, though nothing else wakes the reader', async (t) => {
  const { open, invalidations } = start(t);
  const real = invalidations.state.bind(invalidations);
  let isFirst = true;
  let second: Promise<unknown> | undefined;
  t.mock.method(invalidations, 'state', async () => {
    if (!isFirst) return real();
    isFirst = false;
    second = open();
    throw new Error('the disk');
  });
  await assert.rejects(open(), /^Error: the disk$/);
  assert.ok(second);
  await second;
});

test('an older copy of the store is told to the operator once, also where no stream is open', async (t) => {
  const { open, invalidations } = start(t);
  await revoke();
  const stream = await open();
  await stream.cancel();
  const linesBefore = logLines.length;
  const told = () => logLines.slice(linesBefore).filter((line) => line.includes('older copy')).length;
  const real = invalidations.state.bind(invalidations);
  const older = () => t.mock.method(invalidations, 'state', async () => ({ ...(await real()), head: 0 }));
  let { mock } = older();
  for (let count = 0; count < 3; count++) await assert.rejects(open(), /^Error: behind$/);
  assert.equal(told(), 1);
  mock.restore();
  await (await open()).cancel();
  ({ mock } = older());
  await assert.rejects(open(), /^Error: behind$/);
  assert.equal(told(), 2);
});

test('a copy that has come as far as the store, and lacks its newest row, is an older one', async (t) => {
  const { open, settled, poll } = start(t);
  await revoke();
  const stream = await open();
  await settled();
  await store.write((tx) => tx.run("UPDATE invalidation SET subject_id = 'of the copy'"));
  await revoke();
  poll();
  await settled();
  assert.equal(stream.isOver, true);
  await assert.rejects(open(), /^Error: behind$/);
  // One that comes into place while it is read, too.
  const another = start(t);
  await another.open();
  const real = another.invalidations.read.bind(another.invalidations);
  t.mock.method(another.invalidations, 'read', async (...asked: Parameters<typeof real>) => {
    await store.write((tx) => tx.run("UPDATE invalidation SET subject_id = 'of another copy'"));
    return real(...asked);
  });
  await another.settled();
  await assert.rejects(another.open(), /^Error: behind$/);
});

test('whoever comes back over as many rows as are replayed is not cut off, though he reads nothing of it yet', async (t) => {
  const { push, wakeUps, settled } = start(t);
  const { epoch, head } = await new InvalidationLog(store).state();
  await append(MAX_REPLAYED);
  const answer = await push.open(api, { nonce: newNonce(), maxStalenessMs: 30_000, resume: { epoch, cursor: head } });
  assert.ok(answer.kind === 'opened');
  for (let round = 0; round < 3; round++) {
    await settled();
    wakeUps.wake();
  }
  const stream = read(answer.body);
  await settled();
  const nonce = newNonce();
  assert.equal(push.pulse(api, { stream: stream.name(), nonce }), 'taken');
  await settled();
  assert.match(stream.text, /"resumed":true/);
  assert.equal(stream.text.match(/event: invalidate/g)?.length, MAX_REPLAYED);
  assert.ok(stream.text.includes(nonce));
});

test('whoever asks for as many rows as one read brings keeps no echo from anybody', async (t) => {
  const { push, open, settled } = start(t);
  await append(MAX_ROWS + 50);
  const stream = await open();
  await settled();
  const { epoch, head } = await new InvalidationLog(store).state();
  const { client: other } = await addClient(service);
  await open(other, { resume: { epoch, cursor: head - MAX_ROWS } });
  const nonce = newNonce();
  push.pulse(api, { stream: stream.name(), nonce });
  await settled();
  assert.ok(stream.text.includes(nonce));
});

test('a quiet stream says that it is there every fifteen seconds', async (t) => {
  const { open, pass, settled } = start(t);
  const stream = await open();
  await settled();
  const before = stream.text;
  await pass(14_000);
  assert.equal(stream.text, before);
  await pass(1_000);
  assert.equal(stream.text, `${before}:\n\n`);
  await pass(1_000);
  assert.equal(stream.text, `${before}:\n\n`);
});

test('a stream ends within the hour, so that its client authenticates again', async (t) => {
  const { push, open, pass, settled } = start(t);
  const stream = await open();
  await settled();
  await pass(54 * MINUTE_MS);
  assert.equal(stream.isOver, false);
  await pass(6 * MINUTE_MS);
  assert.equal(stream.isOver, true);
  assert.equal(push.size, 0);
});

test('streams that began together end apart', async (t) => {
  const { push, open, pass } = start(t);
  await Promise.all(Array.from({ length: 50 }, () => open()));
  const left: number[] = [];
  for (const ms of [55 * MINUTE_MS, 2.5 * MINUTE_MS, 2.5 * MINUTE_MS]) {
    await pass(ms);
    left.push(push.size);
  }
  assert.ok((left[1] ?? 0) > 5 && (left[1] ?? 0) < 45, `${left} of 50 are open`);
  assert.equal(left[2], 0);
});

test('a client whose audiences changed keeps no stream that was opened for the old ones', async (t) => {
  const { push, open, settled } = start(t);
  const { client: changing } = await addClient(service);
  const streams = [await open(changing), await open(changing), await open(api)];
  await open({ ...changing, resourceServerFor: ['https://other.example'] });
  await settled();
  assert.deepEqual(
    streams.map(({ isOver }) => isOver),
    [true, true, false],
  );
  assert.equal(push.size, 2);
});

test('of a full house a few clients are read again in one step, and the others in the next', async (t) => {
  const { open, pass, found } = start(t);
  const many = Array.from({ length: 250 }, (_, index) => ({ ...api, id: `${api.id}${index}` }));
  await Promise.all(many.map((client) => open(client)));
  const asked: string[] = [];
  found.find = async (id) => {
    asked.push(id);
    return { ...api, id };
  };
  await pass(30_000);
  assert.equal(asked.length, 200);
  await pass(1_000);
  assert.equal(new Set(asked).size, 250);
  assert.equal(asked.length, 250);
});

test('a client that could not be read is tried again in the next step, and delays no other', async (t) => {
  const { push, open, pass, found, settled } = start(t);
  const [broken, gone] = [(await addClient(service)).client, (await addClient(service)).client];
  const streams = [await open(broken), await open(gone)];
  await settled();
  found.find = async (id) => {
    if (id === broken.id) throw new Error('the disk');
    return undefined;
  };
  await assert.rejects(pass(30_000), /^Error: the disk$/);
  assert.deepEqual([push.size, streams[1]?.isOver], [1, true]);
  found.find = async () => undefined;
  await pass(1_000);
  assert.deepEqual([push.size, streams[0]?.isOver], [0, true]);
});

test('a client is read again every thirty seconds: one that may not listen any more, or to other audiences, is ended', async (t) => {
  const { push, open, pass, found, settled } = start(t);
  const [gone, changed] = [(await addClient(service)).client, (await addClient(service)).client];
  const streams = [await open(api), await open(gone), await open(changed)] as const;
  await settled();
  found.find = async (id) => {
    const client = await clients.find(id);
    if (id === gone.id) return client && { ...client, disabledAtMs: 1 };
    return id === changed.id ? client && { ...client, resourceServerFor: ['https://other.example'] } : client;
  };
  await pass(29_000);
  assert.deepEqual(
    streams.map(({ isOver }) => isOver),
    [false, false, false],
  );
  await pass(1_000);
  assert.deepEqual(
    streams.map(({ isOver }) => isOver),
    [false, true, true],
  );
  assert.equal(push.size, 1);
});

test('whoever comes back over the row of his own disabling is looked at anew at once', async (t) => {
  const { push, pass, found, settled } = start(t);
  const { client } = await addClient(service);
  const before = await new InvalidationLog(store).state();
  await revocation.disableClient(client.id);
  const resume = { epoch: before.epoch, cursor: before.head };
  const answer = await push.open(client, { nonce: newNonce(), maxStalenessMs: 30_000, resume });
  assert.ok(answer.kind === 'opened');
  const stream = read(answer.body);
  await settled();
  assert.match(stream.text, /"resumed":true/);
  let reads = 0;
  found.find = async (id) => {
    reads++;
    return clients.find(id);
  };
  await pass(1_000);
  assert.equal(reads, 1);
  assert.equal(stream.isOver, true);
});

test('a reader that takes nothing for ten seconds is cut off; one that has nothing to take is not', async (t) => {
  const { push, open, wakeUps, pass, settled } = start(t);
  const [slow, idle] = [await open(), await open()];
  await settled();
  slow.isPaused = true;
  await revoke();
  wakeUps.wake();
  await settled(); // the read that was waiting takes this one
  await revoke();
  wakeUps.wake();
  await settled();
  await pass(10_000);
  assert.equal(push.size, 2);
  await pass(1_000);
  assert.equal(push.size, 1);
  assert.equal(idle.isOver, false);
  await slow.go();
  slow.isPaused = false;
  await slow.go();
  assert.equal(slow.isOver, true);
});

test('no more streams are opened than there is room for, and a stopped one ends what is open', async (t) => {
  const { push, open, settled } = start(t, { bounds: { streams: 2, streamsPerClient: 1 } });
  const { client: other } = await addClient(service);
  const { client: third } = await addClient(service);
  const stream = await open(api);
  await assert.rejects(open(api), /^Error: too_many_of_client$/);
  await open(other);
  await assert.rejects(open(third), /^Error: too_many$/);
  push.stop();
  await settled();
  assert.equal(stream.isOver, true);
  await assert.rejects(open(api), /^Error: stopping$/);
});

test('without a stream nothing runs: no timer, no read', async (t) => {
  const { open, steps, wakeUps, invalidations, settled } = start(t);
  assert.equal(steps.size, 0);
  const stream = await open();
  await settled();
  assert.deepEqual([...steps.keys()].sort(), [100, 1_000]);
  await stream.cancel();
  assert.equal(steps.size, 0);
  const read = t.mock.method(invalidations, 'read');
  wakeUps.wake();
  await settled();
  assert.equal(read.mock.callCount(), 0);
});
