import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_MADE_PER_ROUND, MAX_ROWS_PER_ROUND } from './replays.ts';
import { type Delivery, MAX_REPLAYED, MAX_ROWS } from './rounds.ts';
import { seenUpTo } from './seen.ts';
import { type FakeLog, handles, start, textOf, told } from './testing/fake-log.ts';

describe('who comes back', () => {
  const comeBack = (resume: { epoch: number; cursor: number }, prepare: (log: FakeLog) => void = () => {}) => {
    const { log, open, round } = start();
    for (let row = 0; row < 5; row++) log.add();
    prepare(log);
    open('a', { resume });
    return told(round(), 'a');
  };

  test('from the head misses nothing', () => {
    assert.deepEqual(comeBack({ epoch: 1, cursor: 5 }), ['hello 5 resumed', 'echo n1 @5']);
  });

  test('while nothing may be echoed waits, and is told of all when it may again', () => {
    const { log, open, round, begin, rounds } = start();
    for (let row = 0; row < 2; row++) log.add();
    open('a', { resume: { epoch: 1, cursor: 1 } });
    for (let tries = 0; tries < 2; tries++) {
      const begun = begin();
      assert.deepEqual(rounds.end(begun, log.read(begun.after, { landmark: rounds.landmark }), { mayEcho: false }), []);
    }
    assert.deepEqual(told(round(), 'a').slice(0, 1), ['hello 1 resumed']);
  });

  test('from before a swept row begins anew', () => {
    const sweep = (log: FakeLog) => {
      log.sweptUpTo = 3;
    };
    assert.deepEqual(comeBack({ epoch: 1, cursor: 2 }, sweep), ['hello 5 anew', 'echo n1 @5']);
    assert.equal(comeBack({ epoch: 1, cursor: 3 }, sweep)[0], 'hello 3 resumed');
  });

  test('from beyond the head hears the true cursor, which is lower, and stops by itself', () => {
    assert.deepEqual(comeBack({ epoch: 1, cursor: 6 }), ['hello 5 anew', 'echo n1 @5']);
  });

  test('from another epoch begins anew', () => {
    assert.deepEqual(comeBack({ epoch: 2, cursor: 4 }), ['hello 5 anew', 'echo n1 @5']);
    const raise = (log: FakeLog) => {
      log.epoch = 2;
    };
    assert.deepEqual(comeBack({ epoch: 1, cursor: 4 }, raise), ['hello 5 anew', 'echo n1 @5']);
  });

  test('from too far back begins anew, and the log is not read from there', () => {
    const { log, open, round, begin } = start();
    log.addMany(MAX_REPLAYED + 1);
    open('a', { resume: { epoch: 1, cursor: 0 } });
    assert.deepEqual(begin().after, seenUpTo(MAX_REPLAYED + 1));
    assert.equal(told(round(), 'a')[0], `hello ${MAX_REPLAYED + 1} anew`);
    open('b', { resume: { epoch: 1, cursor: 1 } });
    assert.equal(told(round(), 'b').length, 1 + MAX_REPLAYED + 1);
  });

  test('from as far back as a read reaches keeps no echo from anybody', () => {
    const { log, open, round, rounds } = start();
    log.addMany(MAX_ROWS + 50);
    open('a');
    round();
    open('b', { resume: { epoch: 1, cursor: log.head - MAX_ROWS } });
    rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p' });
    const deliveries = round();
    assert.deepEqual(told(deliveries, 'a'), [`echo p @${log.head}`]);
    assert.deepEqual(told(deliveries, 'b')[0], `hello ${log.head} anew`);
  });

  test('over few cursors with many rows begins anew, and keeps an echo from others for one round at most', () => {
    for (const rows of [MAX_REPLAYED + 1, MAX_ROWS]) {
      const { log, open, round, rounds } = start();
      log.add();
      log.addMany(rows, { cursor: 2 });
      open('a');
      for (let begun = 0; begun < 2; begun++) round();
      open('b', { resume: { epoch: 1, cursor: 1 } });
      rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p' });
      const deliveries = rows < MAX_ROWS ? round() : [...round(), ...round()];
      assert.deepEqual(told(deliveries, 'a'), ['echo p @2']);
      assert.deepEqual(told(deliveries, 'b'), ['hello 2 anew', 'echo n2 @2']);
    }
  });

  test('may be cut off in the middle and come back from there, and loses nothing', () => {
    const { log, open, round } = start();
    for (const cursor of [1, 3, 3, 7, 8]) log.add({ cursor });
    let streams = 0;
    const messages = (from: number) => {
      open(`s${++streams}`, { resume: { epoch: 1, cursor: from } });
      return round().flatMap((delivery) => delivery.messages.filter(({ kind }) => kind === 'invalidate'));
    };
    const whole = messages(0);
    assert.equal(whole.length, 5);
    for (const [index, { cursor }] of whole.entries()) {
      const missed = new Set(
        [...whole.slice(0, index), ...messages(cursor)].map(textOf).map((text) => text.split(' ')[1]),
      );
      assert.equal(missed.size, 5, `cut off before ${index}`);
    }
  });

  test('hears of a row from beyond where the read ends under a cursor up to which all was said', () => {
    const { log, open, rounds, begin } = start();
    open('there');
    rounds.end(begin(), log.read(seenUpTo(0)));
    log.add();
    log.add({ cursor: 9 });
    open('a', { resume: { epoch: 1, cursor: 0 } });
    const begun = begin();
    const deliveries = rounds.end(begun, log.read(begun.after, { open: [5] }));
    assert.deepEqual(told(deliveries, 'a'), ['hello 0 resumed', 'token t1 @0', 'token t2 @4', 'echo n2 @4']);
  });

  test('from beyond what is open here, as another node told it, takes nothing from those who are here', () => {
    const { log, open, round, rounds, begin } = start();
    open('here');
    round();
    log.add({ cursor: 7 });
    rounds.end(begin(), log.read(seenUpTo(0), { open: [6] }));
    log.add({ cursor: 6 });
    open('a', { resume: { epoch: 1, cursor: 6 } });
    assert.deepEqual(begin().after, seenUpTo(5));
    const deliveries = round();
    assert.deepEqual(told(deliveries, 'here'), ['token t2 @5']);
    assert.deepEqual(told(deliveries, 'a'), ['hello 6 resumed', 'token t1 @6', 'echo n2 @7']);
  });

  test('with a cursor that the read did not go back to begins anew', () => {
    const { log, rounds, open, begin, round } = start();
    for (let row = 0; row < 5; row++) log.add();
    open('a');
    round();
    const before = begin();
    assert.deepEqual(before.after, seenUpTo(5));
    open('b', { resume: { epoch: 1, cursor: 2 } });
    rounds.end(before, log.read(before.after));
    assert.equal(told(round(), 'b')[0], 'hello 2 resumed', 'it waits for a read that does');
  });
});

describe('a fleet that comes back', () => {
  const WHOLE_REPLAYS = MAX_ROWS_PER_ROUND / MAX_REPLAYED;
  const resumed = (deliveries: readonly Delivery[]) =>
    deliveries.filter(({ messages: [first] }) => first?.kind === 'hello' && first.resumed);

  test('is served over several rounds, in the order of arrival, and others are told and echoed in each', () => {
    const { log, open, round, rounds } = start();
    open('other', { clientId: 'other' });
    round();
    log.addMany(MAX_REPLAYED);
    round();
    for (let stream = 0; stream < 2.5 * WHOLE_REPLAYS; stream++)
      open(`s${stream}`, { resume: { epoch: 1, cursor: 0 } });
    const served: string[] = [];
    // The first makes messages for all of them.
    for (const count of [1, WHOLE_REPLAYS, WHOLE_REPLAYS, WHOLE_REPLAYS / 2 - 1]) {
      assert.equal(rounds.isOwing, true);
      rounds.pulse({ stream: 'other', clientId: 'other', nonce: `p${served.length}` });
      const deliveries = round();
      assert.deepEqual(told(deliveries, 'other'), [`echo p${served.length} @${log.head}`]);
      assert.equal(resumed(deliveries).length, count);
      for (const { messages } of resumed(deliveries)) assert.equal(messages.length, 1 + MAX_REPLAYED + 1);
      served.push(...resumed(deliveries).map(({ stream }) => stream));
    }
    assert.deepEqual(
      served,
      [...served].sort((left, right) => Number(left.slice(1)) - Number(right.slice(1))),
    );
    assert.deepEqual([served.length, rounds.isOwing], [2.5 * WHOLE_REPLAYS, false]);
  });

  test('of one client computes each handle once and shares each message, over all rounds and wherever each comes back from', () => {
    const { log, open, round } = start();
    log.addMany(MAX_REPLAYED);
    const streams = 2 * WHOLE_REPLAYS;
    for (let stream = 0; stream < streams; stream++) open(`s${stream}`, { resume: { epoch: 1, cursor: stream } });
    handles.length = 0;
    const deliveries = [...round(), ...round(), ...round()];
    assert.equal(resumed(deliveries).length, streams);
    assert.equal(handles.length, MAX_REPLAYED);
    const messages = new Set(
      deliveries.flatMap((delivery) => delivery.messages.filter(({ kind }) => kind === 'invalidate')),
    );
    assert.equal(messages.size, MAX_REPLAYED);
  });

  test('of many clients makes few messages in a round', () => {
    const { log, open, round } = start();
    log.addMany(MAX_MADE_PER_ROUND);
    for (const clientId of ['x', 'y', 'z']) open(clientId, { clientId, resume: { epoch: 1, cursor: 0 } });
    for (const clientId of ['x', 'y', 'z']) {
      handles.length = 0;
      assert.deepEqual(
        resumed(round()).map(({ stream }) => stream),
        [clientId],
      );
      assert.equal(handles.length, MAX_MADE_PER_ROUND);
    }
  });

  test('waits only for so long as it may resume, and whoever begins anew does not wait', () => {
    const { log, open, round } = start();
    log.addMany(MAX_REPLAYED);
    for (let stream = 0; stream <= WHOLE_REPLAYS; stream++) open(`s${stream}`, { resume: { epoch: 1, cursor: 0 } });
    open('new');
    const first = round();
    assert.deepEqual(told(first, `s${WHOLE_REPLAYS}`), []);
    assert.equal(told(first, 'new')[0], `hello ${log.head} anew`);
    log.add();
    assert.equal(told(round(), `s${WHOLE_REPLAYS}`)[0], `hello ${log.head} anew`);
  });

  test('is told nothing of an epoch in which the same positions named other rows', () => {
    const { log, open, round, rounds } = start();
    log.addMany(MAX_REPLAYED);
    for (let stream = 0; stream <= WHOLE_REPLAYS; stream++) open(`s${stream}`, { resume: { epoch: 1, cursor: 0 } });
    round();
    for (let stream = 0; stream <= WHOLE_REPLAYS; stream++) rounds.close(`s${stream}`);
    log.rows = [];
    log.epoch = 2;
    log.add({ subjectId: 'of the second epoch' });
    open('a', { resume: { epoch: 2, cursor: 0 } });
    assert.equal(told(round(), 'a')[1], 'token of the second epoch @0');
  });
});
