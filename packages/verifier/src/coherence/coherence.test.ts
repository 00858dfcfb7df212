import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Handles, StreamMessage } from '@countersign/protocol';
import { type Action, Coherence, type DeadVerdict, type Flight } from './coherence.ts';

const STALENESS_MS = 3_000;
const WALL_MS = 1_800_000_000_000;
const HANDLES: Handles = { token: 't', grant: 'g', client: 'c', user: 'u', key: 'k' };

/** A core with a clock of its own, and what one does with it in a test. */
class Bench {
  nowMs = 1_000;
  wallAheadMs = 0;
  connection = 0;
  nonces: string[] = [];
  actions: Action[] = [];
  readonly core: Coherence<string>;

  constructor({ maxStalenessMs = STALENESS_MS }: { maxStalenessMs?: number } = {}) {
    let nonces = 0;
    this.core = new Coherence({
      settings: { maxStalenessMs, maxEntries: 10 },
      newNonce: () => `nonce-${++nonces}`,
      random: () => 0.25, // the first attempt after 250 ms
    });
  }

  get now() {
    return { wallMs: WALL_MS + this.nowMs + this.wallAheadMs, monotonicMs: this.nowMs };
  }

  did(actions: readonly Action[]): readonly Action[] {
    for (const action of actions) {
      if (action.kind === 'connect') this.connection = action.connection;
      if (action.kind === 'connect') this.nonces = [action.nonce];
      if (action.kind === 'pulse') this.nonces.push(action.nonce);
    }
    this.actions.push(...actions);
    return actions;
  }

  pass(ms: number): readonly Action[] {
    this.nowMs += ms;
    return this.did(this.core.tick(this.now));
  }

  hears(message: StreamMessage, connection = this.connection): readonly Action[] {
    return this.did(this.core.message(connection, message, this.now));
  }

  hello(given: { epoch?: number; cursor?: number; resumed?: boolean } = {}): readonly Action[] {
    return this.hears({ kind: 'hello', stream: 's', epoch: 1, cursor: 10, resumed: false, ...given });
  }

  echo(cursor = 10): readonly Action[] {
    return this.hears({ kind: 'heartbeat', nonce: this.nonces.shift() ?? 'none', cursor });
  }

  invalidate(subject: keyof Handles, handle: string, cursor = 10, final = false): readonly Action[] {
    return this.hears({ kind: 'invalidate', cursor, subject, handle, final });
  }

  lost(): void {
    this.did(this.core.disconnected(this.connection, this.now));
  }

  /** Opens the stream and earns a lease. */
  lease(): this {
    this.did(this.core.start(this.now));
    this.hello();
    this.echo();
    assert.ok(this.core.isLeased(this.now));
    return this;
  }

  /** Loses the stream and opens another. */
  reconnect(hello: Parameters<Bench['hello']>[0]): void {
    this.lost();
    this.pass(500);
    this.hello(hello);
  }

  answer(flight: Flight, given: { kind?: 'live' | DeadVerdict; epoch?: number; expiresInMs?: number } = {}) {
    const { kind = 'live', epoch = 1, expiresInMs = 60_000 } = given;
    const record = kind === 'live' ? { kind, expiresInMs, handles: HANDLES, value: 'good' } : { kind };
    const expiresAtSeconds = (WALL_MS + 600_000) / 1_000;
    const answer = { key: 'digest', epoch, tokenLength: 800, expiresAtSeconds, record };
    const { decision, actions } = this.core.answered(flight, answer, this.now);
    this.did(actions);
    return decision.kind;
  }

  check(given: Parameters<Bench['answer']>[1] = {}): string {
    return this.answer(this.core.begin(this.now), given);
  }

  get hit(): string | undefined {
    return this.core.hit('digest', this.now);
  }
}

describe('a hit', () => {
  test('needs a live answer and a lease', () => {
    const bench = new Bench().lease();
    assert.equal(bench.hit, undefined);
    assert.equal(bench.check(), 'live');
    assert.equal(bench.hit, 'good');
  });

  test('EB-09 ends with the lease, not before, and comes back with another', () => {
    const bench = new Bench().lease();
    bench.check();
    bench.nowMs += STALENESS_MS;
    assert.equal(bench.hit, 'good');
    bench.nowMs += 1;
    assert.equal(bench.hit, undefined);
    bench.pass(0);
    bench.reconnect({ resumed: true });
    assert.equal(bench.hit, undefined, 'a hello is no echo');
    bench.echo();
    assert.equal(bench.hit, 'good');
  });

  test('EB-08 IN-05 ends where the authority said, counted from when it was asked', () => {
    const bench = new Bench().lease();
    const flight = bench.core.begin(bench.now);
    bench.nowMs += 400;
    bench.answer(flight, { expiresInMs: 1_000 });
    bench.nowMs += 599;
    assert.equal(bench.hit, 'good');
    bench.nowMs += 1;
    assert.equal(bench.hit, undefined);
  });

  test('EB-08 EB-06 ends where the authority said by the wall clock, too: a machine that slept through an overlap has another lease, not the token', () => {
    const bench = new Bench().lease();
    bench.check({ expiresInMs: 10_000 });
    assert.equal(bench.hit, 'good');
    bench.wallAheadMs = 600_000; // ten minutes for which the monotonic clock stood still
    bench.reconnect({ resumed: true });
    bench.echo();
    assert.ok(bench.core.isLeased(bench.now));
    assert.equal(bench.hit, undefined);
    assert.equal(bench.check({ kind: 'superseded' }), 'superseded');
  });

  test('EB-08 ends a second early by the wall clock at most, never late', () => {
    for (const [expiresInMs, livesMs] of [
      [10_000, 10_000],
      [10_999, 10_000],
      [9_999, 9_000],
    ] as const) {
      const bench = new Bench({ maxStalenessMs: 30_000 }).lease(); // it begins at a whole second of the wall clock
      bench.check({ expiresInMs });
      bench.nowMs += livesMs - 1;
      assert.equal(bench.hit, 'good', String(expiresInMs));
      bench.nowMs += 1;
      assert.equal(bench.hit, undefined, String(expiresInMs));
    }
  });

  test('EB-09 is not prolonged by anything but an echo of what was sent', () => {
    const bench = new Bench().lease();
    bench.check();
    bench.nowMs += STALENESS_MS;
    bench.invalidate('token', 'another');
    bench.hears({ kind: 'heartbeat', nonce: 'never sent', cursor: 10 });
    bench.nowMs += 1;
    assert.equal(bench.hit, undefined);
  });

  for (const subject of ['token', 'grant', 'client', 'user', 'key'] as const) {
    test(`EB-08 ends with an invalidation of its ${subject}`, () => {
      const bench = new Bench().lease();
      bench.check();
      bench.invalidate(subject, 'another');
      assert.equal(bench.hit, 'good');
      const actions = bench.invalidate(subject, HANDLES[subject] ?? '');
      assert.equal(bench.hit, undefined);
      assert.deepEqual(actions, subject === 'key' ? [{ kind: 'read_keys' }] : []);
    });
  }
});

describe('an invalidation', () => {
  test('EB-08 that is final leaves a tombstone: the token is refused without asking, also when its check is under way', () => {
    const bench = new Bench().lease();
    bench.check();
    const flight = bench.core.begin(bench.now);
    bench.invalidate('token', HANDLES.token, 11, true);
    assert.deepEqual(bench.core.recall('digest', bench.now), { kind: 'dead', verdict: 'revoked' });
    assert.equal(bench.answer(flight), 'again');
    assert.deepEqual(bench.core.recall('digest', bench.now), { kind: 'dead', verdict: 'revoked' });
  });

  test('EB-06 that is not final leaves none: a superseded token has its overlap, and the record says how long', () => {
    const bench = new Bench().lease();
    bench.check();
    bench.invalidate('token', HANDLES.token, 11, false);
    assert.equal(bench.core.recall('digest', bench.now), undefined);
  });
});

describe('a check', () => {
  test('EB-08 that an invalidation overtook proves nothing: the revocation came while the answer was under way', () => {
    const bench = new Bench().lease();
    const flight = bench.core.begin(bench.now);
    bench.invalidate('user', 'u');
    assert.equal(bench.answer(flight), 'again');
    assert.equal(bench.hit, undefined);
    assert.equal(bench.check(), 'live', 'asked after it, the answer counts');
  });

  test('EB-08 that a dead verdict overtook proves nothing: dead is final', () => {
    const bench = new Bench().lease();
    const early = bench.core.begin(bench.now);
    assert.equal(bench.check({ kind: 'revoked' }), 'revoked');
    bench.nowMs += 1;
    assert.equal(bench.answer(early), 'again');
    assert.equal(bench.hit, undefined);
  });

  test('that was under way for longer than the bound proves nothing, by either clock', () => {
    for (const suspendedMs of [0, 60_000]) {
      const bench = new Bench().lease();
      const flight = bench.core.begin(bench.now);
      if (suspendedMs === 0) bench.nowMs += STALENESS_MS + 1;
      bench.wallAheadMs = suspendedMs;
      assert.equal(bench.answer(flight), 'too_old');
    }
  });

  test('EB-08 that found its token dead counts, however long it was under way', () => {
    const bench = new Bench().lease();
    bench.check({ expiresInMs: 300_000 });
    const flight = bench.core.begin(bench.now);
    bench.wallAheadMs = 60_000;
    assert.equal(bench.hit, undefined);
    bench.reconnect({ resumed: true });
    bench.echo();
    assert.equal(bench.hit, 'good');
    assert.equal(bench.answer(flight, { kind: 'revoked' }), 'revoked');
    assert.equal(bench.hit, undefined);
  });

  test('EB-08 whose token ended while the answer was under way is of an expired one', () => {
    const bench = new Bench().lease();
    const flight = bench.core.begin(bench.now);
    bench.nowMs += 100;
    assert.equal(bench.answer(flight, { expiresInMs: 100 }), 'expired');
    assert.equal(bench.hit, undefined);
    assert.equal(bench.answer(flight, { expiresInMs: 101 }), 'live');
  });

  test('EB-08 found dead ends the entry, and is remembered for a moment', () => {
    const bench = new Bench().lease();
    bench.check();
    bench.check({ kind: 'superseded' });
    assert.equal(bench.hit, undefined);
    assert.deepEqual(bench.core.recall('digest', bench.now), { kind: 'dead', verdict: 'superseded' });
    bench.nowMs += 5_000;
    assert.equal(bench.core.recall('digest', bench.now), undefined);
  });

  test('EB-09 that began before the stream said hello serves its request and is not remembered', () => {
    const bench = new Bench();
    bench.did(bench.core.start(bench.now));
    const early = bench.core.begin(bench.now);
    bench.hello();
    bench.echo();
    assert.equal(bench.answer(early), 'live');
    assert.equal(bench.hit, undefined);
  });

  test('EB-09 that began before a gap in the stream is not remembered', () => {
    const bench = new Bench().lease();
    const early = bench.core.begin(bench.now);
    bench.reconnect({ resumed: false });
    bench.echo();
    assert.equal(bench.answer(early), 'live');
    assert.equal(bench.hit, undefined);
  });

  test('of an earlier epoch is refused, one of a later ends all that was known', () => {
    const bench = new Bench().lease();
    bench.check();
    assert.equal(bench.check({ epoch: 2 }), 'live');
    assert.equal(bench.hit, undefined, 'asked before the new epoch’s hello');
    assert.equal(bench.core.isLeased(bench.now), false);
    assert.equal(bench.core.status(bench.now).stream, 'waiting');
    assert.equal(bench.check({ epoch: 1 }), 'went_back');
    bench.pass(500);
    assert.deepEqual(bench.actions.at(-1), {
      kind: 'connect',
      connection: 2,
      nonce: bench.nonces[0],
      resume: undefined,
    });
  });
});

describe('a stream that comes back', () => {
  test('resumed: it asks from where it stood, entries stand, and what it missed is applied', () => {
    const bench = new Bench().lease();
    bench.check();
    bench.invalidate('token', 'another', 12);
    bench.lost();
    bench.pass(500);
    const connect = bench.actions.at(-1);
    assert.deepEqual(connect?.kind === 'connect' && connect.resume, { epoch: 1, cursor: 12 });
    bench.hello({ cursor: 12, resumed: true });
    assert.equal(bench.hit, 'good');
    bench.invalidate('grant', 'g', 13);
    assert.equal(bench.hit, undefined);
  });

  test('EB-09 not resumed: entries are asked about again, and their tokens need no second look', () => {
    const bench = new Bench().lease();
    bench.check();
    bench.reconnect({ resumed: false });
    bench.echo();
    assert.equal(bench.hit, undefined);
    assert.deepEqual(bench.core.recall('digest', bench.now), { kind: 'seen', value: 'good' });
    bench.check();
    assert.equal(bench.hit, 'good');
  });

  test('of a later epoch: nothing stands, the lease neither', () => {
    const bench = new Bench().lease();
    bench.check();
    bench.check({ kind: 'revoked' });
    bench.reconnect({ epoch: 2, cursor: 1, resumed: true });
    assert.equal(bench.core.isLeased(bench.now), false);
    assert.equal(bench.core.recall('digest', bench.now), undefined);
    bench.echo(1);
    assert.equal(bench.core.isLeased(bench.now), true);
  });

  test('that was asked for before a check told of its epoch is no older copy, only late', () => {
    const bench = new Bench();
    bench.did(bench.core.start(bench.now));
    assert.equal(bench.check({ epoch: 2 }), 'live');
    assert.deepEqual(bench.hello({ epoch: 1 }), [{ kind: 'disconnect', connection: 1 }]);
    assert.equal(bench.core.hasGoneBack, false);
    bench.pass(500);
    bench.hello({ epoch: 1 });
    assert.equal(bench.core.hasGoneBack, true, 'asked for after it, it is one');
  });

  test('messages of one that was given up are not heard', () => {
    const bench = new Bench().lease();
    const first = bench.connection;
    bench.lost();
    bench.pass(500);
    assert.deepEqual(bench.hears({ kind: 'hello', stream: 's', epoch: 9, cursor: 9, resumed: false }, first), []);
    assert.equal(bench.core.status(bench.now).stream, 'connecting');
    bench.did(bench.core.disconnected(first, bench.now));
    bench.did(bench.core.pulseRefused(first, bench.now));
    assert.equal(bench.core.status(bench.now).stream, 'connecting');
  });

  test('what speaks before its hello, or greets twice, is no stream', () => {
    const bench = new Bench();
    bench.did(bench.core.start(bench.now));
    assert.deepEqual(bench.echo(), [{ kind: 'disconnect', connection: 1 }]);
    bench.pass(500);
    bench.hello();
    assert.deepEqual(bench.hello(), [{ kind: 'disconnect', connection: 2 }]);
  });
});

describe('an older copy of the store', () => {
  for (const [shown, hello] of Object.entries({
    'a lower epoch': { epoch: 1, cursor: 99 },
    'a lower cursor': { epoch: 2, cursor: 9 },
  })) {
    test(`EB-09 is known by ${shown}: nothing is accepted until a hello that is not older`, () => {
      const bench = new Bench();
      bench.did(bench.core.start(bench.now));
      bench.hello({ epoch: 2 });
      bench.echo();
      bench.check({ epoch: 2 });
      assert.equal(bench.hit, 'good');
      const flight = bench.core.begin(bench.now);
      bench.reconnect(hello);
      assert.equal(bench.core.hasGoneBack, true);
      assert.equal(bench.hit, undefined);
      assert.equal(bench.answer(flight, { epoch: 2 }), 'went_back');
      bench.pass(1_000);
      const connect = bench.actions.at(-1);
      assert.equal(connect?.kind === 'connect' && connect.resume, undefined);
      bench.hello({ epoch: 2 });
      bench.echo();
      assert.equal(bench.core.hasGoneBack, false);
      assert.equal(bench.hit, undefined, 'the copy may have been asked');
      assert.equal(bench.answer(flight, { epoch: 2 }), 'again', 'and what it was asked is no answer');
    });
  }

  test('is known by a message whose cursor falls, too', () => {
    const bench = new Bench().lease();
    assert.deepEqual(bench.invalidate('token', 'another', 9), [{ kind: 'disconnect', connection: 1 }]);
    assert.equal(bench.core.hasGoneBack, true);
  });
});

describe('the pulse', () => {
  test('is a tenth of the bound, a second at least and ten at most', () => {
    for (const [maxStalenessMs, pulseMs] of [
      [3_000, 1_000],
      [30_000, 3_000],
      [3_600_000, 10_000],
    ] as const) {
      const bench = new Bench({ maxStalenessMs }).lease();
      assert.equal(bench.core.nextTickMs(), 1_000 + pulseMs);
      assert.deepEqual(bench.pass(pulseMs - 1), []);
      assert.deepEqual(
        bench.pass(1).map(({ kind }) => kind),
        ['pulse'],
      );
      assert.deepEqual(bench.pass(1), []);
    }
  });

  test('EB-09 three without an echo: the stream is given up, and tried again', () => {
    const bench = new Bench().lease();
    for (const wait of [1_000, 1_000, 1_000]) assert.equal(bench.pass(wait)[0]?.kind, 'pulse');
    assert.deepEqual(bench.pass(1_000), [{ kind: 'disconnect', connection: 1 }]);
    assert.equal(bench.core.status(bench.now).stream, 'waiting');
    assert.equal(bench.core.nextTickMs(), bench.nowMs + 250);
    assert.equal(bench.pass(250)[0]?.kind, 'connect');
    assert.deepEqual(bench.pass(3_000), [{ kind: 'disconnect', connection: 2 }], 'one that never greets, too');
  });

  test('EB-10 a stream that greets, echoes and breaks each time is asked for ever more rarely; one that lasted for a pulse, soon again', () => {
    const bench = new Bench({ maxStalenessMs: 30_000 }).lease();
    const pauses: number[] = [];
    for (let time = 0; time < 6; time++) {
      bench.lost();
      pauses.push((bench.core.nextTickMs() ?? 0) - bench.nowMs);
      bench.pass(pauses.at(-1) ?? 0);
      bench.hello({ resumed: true });
      bench.echo();
    }
    assert.deepEqual(pauses, [250, 500, 1_000, 2_000, 2_500, 2_500], 'a quarter of each bound, as chance has it here');
    bench.pass(3_000);
    bench.echo();
    bench.lost();
    assert.equal((bench.core.nextTickMs() ?? 0) - bench.nowMs, 250);
  });

  test('that another node refuses leads to a new stream at once; what is known stands', () => {
    const bench = new Bench().lease();
    bench.check();
    const actions = bench.did(bench.core.pulseRefused(bench.connection, bench.now));
    assert.deepEqual(
      actions.map(({ kind }) => kind),
      ['disconnect', 'connect'],
    );
    assert.equal(bench.hit, 'good');
  });

  test('a machine that was suspended asks anew before it accepts', () => {
    const bench = new Bench().lease();
    bench.check();
    bench.wallAheadMs = 60_000;
    assert.equal(bench.hit, undefined);
    bench.wallAheadMs = 0;
    assert.equal(bench.hit, undefined, 'a clock that is set back does not bring it back');
  });
});

test('stopped, it hears nothing, does nothing and accepts nothing', () => {
  const bench = new Bench().lease();
  bench.check();
  assert.deepEqual(bench.did(bench.core.stop()), [{ kind: 'disconnect', connection: 1 }]);
  assert.deepEqual(bench.core.stop(), []);
  assert.equal(bench.hit, undefined);
  assert.deepEqual(bench.pass(60_000), []);
  assert.equal(bench.core.nextTickMs(), undefined);
  assert.deepEqual(bench.echo(), []);
  bench.lost();
  assert.equal(bench.core.status(bench.now).stream, 'off');
});
