/**
 * Random histories of one node: transactions that are over in another order than they began, sweeps, restores, crashes, pulses, reads that fail or come to no end, verifiers that go and come back.
 * No echo overtakes a row that was visible before its nonce, nobody is told of a cursor below one he knows, and everybody gets his
 * echo in the end. test/simulation does the same with the real verifier; this is smaller, and shrinks what it finds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Delivery, type LogRead, type LogRow, type LogState, MAX_REPLAYED, type Round, Rounds } from './rounds.ts';
import { cursorOf, isSeen, type Seen } from './seen.ts';

const NOW_MS = 1_800_000_000_000;
const VERIFIERS = 3;
const ACTS = [
  ...[
    'row',
    'row',
    'twins',
    'open',
    'open',
    'commit',
    'commit',
    'roll back',
    'crash',
    'sweep',
    'restore',
    'pulse',
    'pulse',
  ],
  ...['begin', 'begin', 'end', 'end', 'end', 'page', 'fail', 'anew', 'come back', 'come back', 'cut'],
] as const;

/** What a verifier knows. It outlives its streams. */
interface Verifier {
  stream: string | undefined;
  /** On that stream. */
  isGreeted: boolean;
  /** It loses its stream after so many messages of the next delivery. */
  cutAfter: number;
  epoch: number;
  cursor: number;
  /** Rows that it holds no verdict against: it was told of them, or asked about everything after them. */
  known: Set<LogRow>;
}

class World {
  readonly rounds = new Rounds({ handleOf: (_clientId, _subject, id) => id });
  readonly verifiers: Verifier[] = Array.from({ length: VERIFIERS }, () => ({
    ...{
      stream: undefined,
      isGreeted: false,
      cutAfter: Number.POSITIVE_INFINITY,
      epoch: 0,
      cursor: 0,
      known: new Set<LogRow>(),
    },
  }));
  epoch = 1;
  sweptUpTo = 0;
  /** What can be read. */
  rows: LogRow[] = [];
  /** The same, and what was swept. */
  ever: LogRow[] = [];
  /** Rows that stand before the echo of a nonce. */
  readonly mustHave = new Map<string, readonly LogRow[]>();
  /** `visible`: what could be read then. */
  under: { round: Round; read: LogRead; visible: readonly LogRow[] } | undefined;
  /** Transactions that have a number and are not over. */
  open: number[] = [];
  next = 1;
  #visible: readonly LogRow[] = [];
  #count = 0;

  get newest(): number {
    return this.ever.reduce((newest, { cursor }) => Math.max(newest, cursor), 0);
  }

  get head(): number {
    return cursorOf({ upTo: this.newest, open: this.open });
  }

  act(act: (typeof ACTS)[number], chosen: number): void {
    const verifier = this.verifiers[chosen % VERIFIERS] as Verifier;
    switch (act) {
      case 'row':
        this.#add(this.next++, 1);
        break;
      case 'twins': // of one transaction
        this.#add(this.next++, 2);
        break;
      case 'open':
        this.open.push(this.next++);
        break;
      case 'commit':
      case 'roll back': {
        const [transaction] = this.open.splice(chosen % Math.max(this.open.length, 1), 1);
        if (transaction !== undefined && act === 'commit') this.#add(transaction, 1 + (chosen % 3));
        break;
      }
      case 'crash': // numbers of which nothing is on the disk are given again
        this.open = [];
        this.next = this.newest + 1;
        break;
      case 'sweep': {
        // A row is swept long after whoever listens was told of it, not after whoever went away.
        const told = this.verifiers.filter(({ isGreeted }) => isGreeted).map(({ cursor }) => cursor);
        if (this.under) told.push(cursorOf(this.under.read.seen));
        this.sweptUpTo = Math.max(this.sweptUpTo, Math.min(chosen, this.head - 1, ...told));
        this.rows = this.rows.filter(({ cursor }) => cursor > this.sweptUpTo);
        break;
      }
      case 'restore': {
        const head = this.newest - (chosen % 3);
        this.open = [];
        this.next = Math.max(head, 0) + 1;
        this.epoch++;
        this.ever = this.ever.filter(({ cursor }) => cursor <= head);
        this.rows = this.rows.filter(({ cursor }) => cursor <= head);
        this.sweptUpTo = Math.min(this.sweptUpTo, Math.max(head, 0));
        break;
      }
      case 'pulse':
        if (verifier.stream === undefined) break;
        this.rounds.pulse({ stream: verifier.stream, clientId: 'rs', nonce: this.#nonce() });
        break;
      case 'begin':
        this.begin();
        break;
      case 'end':
        this.end();
        break;
      case 'page':
        this.end(chosen % 4);
        break;
      case 'cut':
        verifier.cutAfter = chosen % 6;
        break;
      case 'fail':
        this.under = undefined;
        break;
      case 'anew':
      case 'come back':
        this.#open(verifier, act === 'come back');
    }
  }

  begin(): void {
    const { round, deliveries } = this.rounds.begin(this.#state(), this.#reach());
    this.#hear(deliveries);
    this.under = round && { round, read: this.#read(round.after), visible: [...this.ever] };
  }

  /** `atMost`: the read brings a page of so many rows, if there are more. */
  end(atMost?: number): void {
    if (!this.under) return;
    const { round, read, visible } = this.under;
    this.under = undefined;
    this.#visible = visible;
    this.#hear(this.rounds.end(round, atMost === undefined ? read : page(read, round.after, atMost)));
  }

  #read(after: Seen): LogRead {
    const { sweptUpTo } = this;
    const rows = this.rows.filter(({ cursor }) => !isSeen(after, cursor));
    rows.sort((left, right) => left.cursor - right.cursor || left.position - right.position);
    const upTo = Math.max(this.newest, after.upTo);
    const seen = { upTo, open: this.open.filter((transaction) => transaction <= upTo) };
    return { state: this.#state(), rows, seen, isComplete: true, sweptUpTo };
  }

  #state(): LogState {
    const { epoch, head } = this;
    return { epoch, head, newest: undefined, landmark: 'there', isForeign: false };
  }

  #reach(): number {
    const cursors = this.rows.map(({ cursor }) => cursor).sort((left, right) => right - left);
    return cursors[MAX_REPLAYED] ?? 0;
  }

  #add(transaction: number, rows: number): void {
    for (let count = 0; count < rows; count++) {
      const position = this.ever.length + 1; // after a restore the same positions name other rows
      const subjectId = `row ${++this.#count}`;
      const row: LogRow = { position, cursor: transaction, atMs: NOW_MS, kind: 'token', subjectId };
      this.rows.push(row);
      this.ever.push(row);
    }
  }

  #nonce(): string {
    const nonce = `nonce ${++this.#count}`;
    this.mustHave.set(nonce, [...this.ever]);
    return nonce;
  }

  #open(verifier: Verifier, isBack: boolean): void {
    if (verifier.stream !== undefined) this.rounds.close(verifier.stream);
    const { epoch, cursor } = verifier;
    const resume = isBack ? { epoch, cursor } : undefined;
    const name = `stream ${++this.#count}`;
    const stream = { name, clientId: 'rs', audiences: [], maxStalenessMs: 30_000, nonce: this.#nonce(), resume };
    verifier.isGreeted = false;
    verifier.stream = this.rounds.open(stream) === 'opened' ? name : undefined;
  }

  #hear(deliveries: readonly Delivery[]): void {
    const streams = deliveries.map(({ stream }) => stream);
    assert.equal(new Set(streams).size, streams.length, 'one delivery a stream');
    for (const { stream, messages, end } of deliveries) {
      const verifier = this.verifiers.find((one) => one.stream === stream);
      if (!verifier) continue;
      const isCut = verifier.cutAfter < messages.length;
      for (const message of isCut ? messages.slice(0, verifier.cutAfter) : messages) {
        if (message.kind === 'hello') {
          if (message.epoch !== verifier.epoch) verifier.cursor = 0;
          if (!message.resumed) verifier.known = new Set(this.#visible);
          verifier.epoch = message.epoch;
          verifier.isGreeted = true;
        }
        assert.ok(
          message.cursor >= verifier.cursor,
          `${message.kind} names ${message.cursor} after ${verifier.cursor}`,
        );
        verifier.cursor = message.cursor;
        if (message.kind === 'invalidate') {
          const row = this.ever.find(({ subjectId }) => subjectId === message.handle);
          if (row) verifier.known.add(row);
        }
        if (message.kind === 'heartbeat') this.#check(verifier, message.nonce);
      }
      verifier.cutAfter = Number.POSITIVE_INFINITY;
      if (isCut) this.rounds.close(stream);
      if (end === undefined && !isCut) continue;
      verifier.stream = undefined;
      verifier.isGreeted = false;
    }
  }

  /** Rows that a restore took away are no more. */
  #check(verifier: Verifier, nonce: string): void {
    for (const row of this.mustHave.get(nonce) ?? []) {
      if (this.ever.includes(row)) assert.ok(verifier.known.has(row), `${row.subjectId} before ${nonce}`);
    }
    this.mustHave.delete(nonce);
  }
}

/** Of a read its late rows, so many others, and the rest of the last one's transaction. */
function page(read: LogRead, after: Seen, atMost: number): LogRead {
  const last = read.rows.filter(({ cursor }) => cursor > after.upTo)[atMost - 1]?.cursor ?? after.upTo;
  const rows = read.rows.filter(({ cursor }) => cursor <= last);
  if (rows.length === read.rows.length) return read;
  const open = read.seen.open.filter((transaction) => transaction <= last);
  return { ...read, rows, seen: { upTo: last, open }, isComplete: false };
}

test('over random histories no echo overtakes a row, no cursor falls, and nobody is left without an echo', () => {
  const step = fc.record({ act: fc.constantFrom(...ACTS), chosen: fc.nat({ max: 30 }) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (history) => {
      const world = new World();
      for (const { act, chosen } of history) world.act(act, chosen);
      for (let round = 0; round < 2; round++) {
        world.begin();
        world.end();
      }
      assert.equal(world.rounds.isOwing, false);
    }),
    { numRuns: 2_000 },
  );
});
