import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type LogRow, MAX_NONCES } from './rounds.ts';
import { seenUpTo } from './seen.ts';
import { API, ended, handles, NOW_MS, start, told } from './testing/fake-log.ts';

describe('a round', () => {
  test('greets, then tells what is dead, then echoes', () => {
    const { log, open, round, rounds } = start();
    log.add();
    open('a');
    assert.deepEqual(told(round(), 'a'), ['hello 1 anew', 'echo n1 @1']);
    log.add();
    log.add({ kind: 'grant' });
    assert.equal(rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p1' }), 'taken');
    assert.deepEqual(told(round(), 'a'), ['token t2 @1', 'grant t3 @1', 'echo p1 @3']);
    assert.deepEqual(round(), [], 'and nothing twice');
  });

  test('echoes only nonces that arrived before its read began', () => {
    const { log, open, round, rounds, begin } = start();
    open('a');
    round();
    rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'early' });
    const begun = begin();
    const read = log.read(begun.after);
    rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'late' });
    log.add(); // committed before `late` arrived, and not in this read
    assert.deepEqual(told(rounds.end(begun, read), 'a'), ['echo early @0']);
    assert.equal(rounds.isOwing, true);
    assert.deepEqual(told(round(), 'a'), ['token t1 @0', 'echo late @1']);
    assert.equal(rounds.isOwing, false);
  });

  test('leaves a stream that was opened during its read to the next one', () => {
    const { log, open, round, rounds, begin } = start();
    const begun = begin();
    const read = log.read(begun.after);
    open('a');
    log.add();
    assert.deepEqual(rounds.end(begun, read), []);
    assert.deepEqual(told(round(), 'a'), ['hello 1 anew', 'echo n1 @1']);
  });

  test('echoes nothing after a read that is not complete, and says what it brought', () => {
    const { log, open, round, rounds, begin } = start();
    open('a');
    round();
    log.add();
    log.add();
    rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p' });
    open('b');
    const begun = begin();
    const [first] = log.rows;
    assert.ok(first);
    const part = rounds.end(begun, log.read(begun.after, { rows: [first], seen: seenUpTo(1), isComplete: false }));
    assert.deepEqual(told(part, 'a'), ['token t1 @0']);
    assert.deepEqual(told(part, 'b'), []);
    const rest = round();
    assert.deepEqual(told(rest, 'a'), ['token t2 @1', 'echo p @2']);
    assert.deepEqual(told(rest, 'b'), ['hello 2 anew', 'echo n2 @2']);
  });

  test('that failed echoes nothing; the next one does', () => {
    const { open, round, rounds, begin, log } = start();
    open('a');
    round();
    rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p' });
    const failed = begin();
    const stale = log.read(failed.after);
    log.add();
    assert.deepEqual(told(round(), 'a'), ['token t1 @0', 'echo p @1']);
    assert.throws(() => rounds.end(failed, stale), /another one was begun/);
  });

  test('finds no row by its position: one that became visible late is told, one that comes again is not', () => {
    const { log, open, round, rounds } = start();
    log.add({ position: 4, cursor: 4 });
    open('a');
    round();
    log.add({ position: 9, cursor: 5 });
    assert.deepEqual(told(round(), 'a'), ['token t9 @4']);
    log.add({ position: 2, cursor: 6 }); // an older transaction that committed after it
    assert.deepEqual(told(round(), 'a'), ['token t2 @5']);
    // Of two transactions the younger commits first: what the older wrote comes when it is over, and nothing is brought again.
    const reading = (...open: number[]) => {
      const { round: begun } = rounds.begin(log.state(rounds.landmark), log.reach);
      assert.ok(begun);
      return { after: begun.after, said: told(rounds.end(begun, log.read(begun.after, { open })), 'a') };
    };
    log.add({ position: 12, cursor: 9 });
    assert.deepEqual(reading(7, 8).said, ['token t12 @6']);
    log.add({ position: 11, cursor: 8 });
    assert.deepEqual(reading(7), { after: { upTo: 9, open: [7, 8] }, said: ['token t11 @6'] });
    log.add({ position: 13, cursor: 10 });
    assert.deepEqual(reading(7).said, ['token t13 @6'], 'the oldest is open yet');
    assert.deepEqual(reading().said, [], 'it was taken back');
    assert.deepEqual(reading().after, seenUpTo(10));
  });

  test('reads from where everybody stands, and from where somebody resumes', () => {
    const { log, open, round, begin } = start();
    for (let row = 0; row < 5; row++) log.add();
    open('a');
    round();
    log.add();
    assert.deepEqual(begin().after, seenUpTo(5));
    open('b', { resume: { epoch: 1, cursor: 2 } });
    assert.deepEqual(begin().after, seenUpTo(2));
    const deliveries = round();
    assert.deepEqual(told(deliveries, 'a'), ['token t6 @5'], 'what it knows is not told again');
    const missed = ['token t3 @2', 'token t4 @3', 'token t5 @4', 'token t6 @5'];
    assert.deepEqual(told(deliveries, 'b'), ['hello 2 resumed', ...missed, 'echo n2 @6']);
  });

  test('tells each who comes back what he missed, however far back the read went for another', () => {
    const { log, open, round } = start();
    for (let row = 0; row < 3; row++) log.add();
    open('a', { resume: { epoch: 1, cursor: 1 } });
    open('b', { resume: { epoch: 1, cursor: 2 } });
    const deliveries = round();
    assert.deepEqual(told(deliveries, 'a'), ['hello 1 resumed', 'token t2 @1', 'token t3 @2', 'echo n1 @3']);
    assert.deepEqual(told(deliveries, 'b'), ['hello 2 resumed', 'token t3 @2', 'echo n2 @3']);
  });

  test('that went back for somebody and did not come to the end takes nobody else back, and the next one does not go back', () => {
    const { log, open, round, rounds, begin } = start();
    for (let row = 0; row < 5; row++) log.add();
    open('a');
    round();
    open('b', { resume: { epoch: 1, cursor: 2 } });
    const begun = begin();
    const rows = log.rows.slice(2, 3);
    assert.deepEqual(rounds.end(begun, log.read(begun.after, { rows, seen: seenUpTo(3), isComplete: false })), []);
    assert.deepEqual(begin().after, seenUpTo(5));
    const deliveries = round();
    assert.deepEqual(told(deliveries, 'a'), []);
    assert.deepEqual(told(deliveries, 'b'), ['hello 5 anew', 'echo n2 @5']);
    open('c', { resume: { epoch: 1, cursor: 2 } });
    assert.equal(told(round(), 'c').length, 5, 'and after it others go back again');
  });

  test('says to each stream what it has to say in one delivery', () => {
    const { log, open, round, rounds } = start();
    log.add();
    open('a');
    round();
    log.add();
    rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p' });
    open('b', { resume: { epoch: 1, cursor: 0 } });
    open('c');
    const deliveries = round();
    assert.deepEqual(deliveries.map(({ stream }) => stream).sort(), ['a', 'b', 'c']);
    assert.deepEqual(
      ['a', 'b', 'c'].map((stream) => told(deliveries, stream).length),
      [2, 4, 2],
    );
  });

  test('begins at the head where nobody was greeted before', () => {
    const { log, open, round, rounds, begin } = start();
    open('a');
    round();
    rounds.close('a');
    for (let row = 0; row < 3; row++) log.add();
    open('b');
    assert.deepEqual(begin().after, seenUpTo(3));
  });
});

describe('a stream hears', () => {
  test('of its audiences, and of what concerns all', () => {
    const { log, open, round } = start();
    open('a');
    open('b', { audiences: ['https://other.example'] });
    round();
    log.add({ audience: API });
    log.add({ audience: 'https://other.example' });
    log.add({ kind: 'user' });
    const deliveries = round();
    assert.deepEqual(told(deliveries, 'a'), ['token t1 @0', 'user t3 @0']);
    assert.deepEqual(told(deliveries, 'b'), ['token t2 @0', 'user t3 @0']);
  });

  test('nothing of a superseded token that ends by itself within its bound, and everything else', () => {
    const { log, open, round } = start();
    open('a', { maxStalenessMs: 30_000 });
    round();
    const superseded = (leftMs: number) => log.add({ kind: 'superseded', expiresAtMs: NOW_MS + leftMs });
    superseded(29_999);
    superseded(30_000);
    log.add({ kind: 'superseded' }); // its end is not known
    log.add({ kind: 'token', expiresAtMs: NOW_MS + 1 }); // taken back
    assert.deepEqual(told(round(), 'a'), ['token t2 @0', 'token t3 @0', 'token t4 @0']);
  });

  test('what is dead for good as final, and nothing else', () => {
    const { log, open, round } = start();
    open('a');
    round();
    const kinds = ['token', 'grant', 'superseded', 'user', 'client', 'key'] as const;
    for (const kind of kinds) log.add({ kind });
    open('b', { resume: { epoch: 1, cursor: 0 } });
    const deliveries = round();
    for (const stream of ['a', 'b']) {
      const messages = deliveries.flatMap((delivery) => (delivery.stream === stream ? delivery.messages : []));
      const finals = messages.flatMap((message) => (message.kind === 'invalidate' ? [message.final] : []));
      assert.deepEqual(finals, [true, true, false, false, false, false]);
    }
  });

  test('handles of its own; one is computed for a row and client, not for a stream', () => {
    const { log, open, round } = start();
    for (const name of ['a', 'b', 'c']) open(name);
    open('d', { clientId: 'other' });
    round();
    handles.length = 0;
    log.add({ audience: API });
    const deliveries = round();
    assert.equal(deliveries.length, 4);
    assert.deepEqual(handles.sort(), ['other/token/t1', 'rs/token/t1']);
  });

  test('nothing after it was closed, and its place is free again', () => {
    const { log, open, round, rounds } = start({ streams: 1 });
    open('a');
    round();
    rounds.close('a');
    rounds.close('a');
    log.add();
    assert.deepEqual(round(), []);
    assert.equal(rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p' }), 'unknown');
    assert.equal(open('b'), 'opened');
    assert.deepEqual([rounds.size, rounds.isOwing], [1, true]);
  });
});

describe('a stream ends', () => {
  test('when its client is disabled, and that client’s streams only', () => {
    const { log, open, round, rounds } = start();
    open('a');
    open('b', { clientId: 'other' });
    round();
    rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p' });
    log.add({ kind: 'client', subjectId: 'rs' });
    const deliveries = round();
    assert.deepEqual(ended(deliveries), ['a client']);
    assert.deepEqual(told(deliveries, 'a'), ['client rs @0'], 'and no echo');
    assert.equal(rounds.size, 1);
  });

  test('not when its client was enabled again before it came back; but it is looked at anew', () => {
    const { log, open, round } = start();
    log.add({ kind: 'client', subjectId: 'rs' });
    open('a', { resume: { epoch: 1, cursor: 0 } });
    const deliveries = round();
    assert.deepEqual(ended(deliveries), []);
    assert.equal(deliveries[0]?.isDoubtful, true);
  });

  test('when the epoch changes, whoever notices first; one not yet greeted goes on', () => {
    for (const noticed of ['before the read', 'during the read'] as const) {
      const { log, open, rounds, round, begin } = start();
      open('a');
      round();
      rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p' });
      open('b', { resume: { epoch: 1, cursor: 0 } });
      if (noticed === 'before the read') {
        log.epoch = 2;
        const deliveries = round();
        assert.deepEqual(ended(deliveries), ['a epoch'], noticed);
        assert.deepEqual(told(deliveries, 'b'), ['hello 0 anew', 'echo n2 @0']);
      } else {
        const begun = begin();
        log.epoch = 2;
        const deliveries = rounds.end(begun, log.read(begun.after));
        assert.deepEqual(ended(deliveries), ['a epoch'], noticed);
        assert.deepEqual(told(deliveries, 'b'), [], 'rows of one epoch say nothing of another');
        assert.deepEqual(told(round(), 'b'), ['hello 0 anew', 'echo n2 @0']);
      }
    }
  });

  test('when an older copy of the store answers, and none opens until the log is where it was', () => {
    for (const older of [
      { epoch: 1, rows: 0 },
      { epoch: 0, rows: 9 },
    ]) {
      const { log, open, rounds, round } = start();
      for (let row = 0; row < 3; row++) log.add();
      open('a');
      round();
      open('b');
      const whole = log.rows;
      log.rows = Array.from({ length: older.rows }, (_, at) => ({ ...(whole[0] as LogRow), position: at, cursor: at }));
      log.epoch = older.epoch;
      assert.deepEqual(ended(round()).sort(), ['a behind', 'b behind']);
      assert.deepEqual([rounds.isBehind, rounds.size, open('c')], [true, 0, 'behind']);
      log.rows = whole;
      log.epoch = 1;
      rounds.observe(log.state(rounds.landmark));
      assert.equal(rounds.isBehind, false);
      assert.equal(open('d'), 'opened');
      assert.deepEqual(told(round(), 'd'), ['hello 3 anew', 'echo n4 @3']);
    }
  });
});

test('an older copy that somebody writes to stays one, until the row is there that was newest, or the epoch rises', () => {
  for (const isHealed of [true, false]) {
    const { log, open, rounds, round } = start();
    for (let row = 0; row < 3; row++) log.add();
    open('a');
    round();
    const whole = log.rows;
    log.rows = whole.slice(0, 2);
    log.add({ subjectId: 'of the copy' });
    log.add({ subjectId: 'of the copy' });
    assert.deepEqual(ended(round()), ['a behind'], 'as far in numbers before anybody looked');
    assert.equal(open('b'), 'behind');
    log.addMany(5);
    rounds.observe(log.state(rounds.landmark));
    assert.equal(open('b'), 'behind');
    if (isHealed) log.rows = whole;
    else log.epoch++;
    rounds.observe(log.state(rounds.landmark));
    assert.equal(open('b'), 'opened');
    assert.deepEqual(told(round(), 'b'), [`hello ${log.head} anew`, `echo n4 @${log.head}`]);
  }
});

test('over a log with numbers of another server nothing is echoed until the epoch rises', () => {
  const { log, open, rounds, round } = start();
  log.add();
  open('a');
  round();
  rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p' });
  log.isForeign = true;
  assert.deepEqual(round(), [{ stream: 'a', messages: [], end: 'behind' }]);
  log.isForeign = false; // its numbers have grown, and what was written meanwhile has lower ones
  log.add();
  rounds.observe(log.state(rounds.landmark));
  assert.equal(open('b'), 'behind');
  log.epoch++;
  rounds.observe(log.state(rounds.landmark));
  assert.equal(open('b'), 'opened');
});

describe('a row that was swept before it was read', () => {
  test('ends every stream that was told of those before it, and none resumes over it', () => {
    const { log, open, rounds, round } = start();
    log.add();
    open('a');
    assert.deepEqual(told(round(), 'a'), ['hello 1 anew', 'echo n1 @1']);
    rounds.pulse({ stream: 'a', clientId: 'rs', nonce: 'p' });
    open('b');
    log.add(); // written, and swept by a node whose clock is ahead
    log.rows.pop();
    log.sweptUpTo = 2;
    log.add();
    const deliveries = round();
    assert.deepEqual(ended(deliveries), ['a swept']);
    assert.deepEqual(told(deliveries, 'a'), []);
    assert.deepEqual(told(deliveries, 'b'), ['hello 3 anew', 'echo n2 @3']);
    open('a again', { resume: { epoch: 1, cursor: 1 } });
    assert.deepEqual(told(round(), 'a again'), ['hello 3 anew', 'echo n3 @3']);
    rounds.pulse({ stream: 'b', clientId: 'rs', nonce: 'q' });
    assert.deepEqual(told(round(), 'b'), ['echo q @3'], 'once');
  });

  test('may be one of a transaction that was open when the log was read last', () => {
    const { log, open, rounds, round, begin } = start();
    open('a');
    round();
    log.add({ cursor: 2 });
    const begun = begin();
    assert.deepEqual(ended(rounds.end(begun, log.read(begun.after, { open: [1] }))), []);
    log.sweptUpTo = 1; // it committed and was swept
    assert.deepEqual(ended(round()), ['a swept']);
  });
});

test('an older copy that answers during a read ends the streams, too', () => {
  const { log, open, rounds, round, begin } = start();
  log.add();
  open('a');
  round();
  const begun = begin();
  const read = log.read(begun.after, { state: { ...log.state(), head: 0 } });
  assert.deepEqual(ended(rounds.end(begun, read)), ['a behind']);
});

describe('bounds', () => {
  test('nonces that wait on one stream are few; the same one again is no other', () => {
    const { open, round, rounds } = start();
    open('a');
    round();
    const pulse = (nonce: string) => rounds.pulse({ stream: 'a', clientId: 'rs', nonce });
    for (let sent = 0; sent < MAX_NONCES; sent++) assert.equal(pulse(`p${sent}`), 'taken');
    assert.equal(pulse('p0'), 'taken');
    for (let sent = 0; sent < 10_000; sent++) assert.equal(pulse(`q${sent}`), 'too_many');
    assert.equal(told(round(), 'a').length, MAX_NONCES);
    assert.equal(pulse('r'), 'taken');
  });

  test('a nonce for another client’s stream is one for none', () => {
    const { open, round, rounds } = start();
    open('a');
    round();
    assert.equal(rounds.pulse({ stream: 'a', clientId: 'other', nonce: 'p' }), 'unknown');
    assert.equal(rounds.pulse({ stream: 'z', clientId: 'rs', nonce: 'p' }), 'unknown');
    assert.equal(rounds.isOwing, false);
  });

  test('streams are counted by client and in all', () => {
    const { open, rounds } = start({ streamsPerClient: 2, streams: 3 });
    assert.deepEqual([open('a'), open('b'), open('c')], ['opened', 'opened', 'too_many_of_client']);
    rounds.close('a');
    assert.deepEqual([open('a'), open('c')], ['opened', 'too_many_of_client']);
    assert.deepEqual([open('d', { clientId: 'x' }), open('e', { clientId: 'y' })], ['opened', 'too_many']);
  });
});
