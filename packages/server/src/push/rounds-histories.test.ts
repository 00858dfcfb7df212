/**
 * Random histories of one node: rows, sweeps, restores, pulses, reads that fail or come to no end, verifiers that go and come back.
 * No echo overtakes a row that was visible before its nonce, nobody is told of a cursor below one he knows, and everybody gets his
 * echo in the end. test/simulation does the same with the real verifier; this is smaller, and shrinks what it finds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Delivery, type LogRead, type LogRow, type Round, Rounds } from './rounds.ts';

const NOW_MS = 1_800_000_000_000;
const VERIFIERS = 3;
const ACTS = [
  ...['row', 'row', 'twins', 'sweep', 'restore', 'pulse', 'pulse'],
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
  under: { round: Round; read: LogRead } | undefined;
  #count = 0;

  get head(): number {
    return this.ever.reduce((head, { cursor }) => Math.max(head, cursor), 0);
  }

  act(act: (typeof ACTS)[number], chosen: number): void {
    const verifier = this.verifiers[chosen % VERIFIERS] as Verifier;
    switch (act) {
      case 'row':
        this.#add([this.head + 1]);
        break;
      case 'twins': // of one transaction
        this.#add([this.head + 1, this.head + 1]);
        break;
      case 'sweep': {
        // A row is swept long after whoever listens was told of it, not after whoever went away.
        const told = this.verifiers.filter(({ isGreeted }) => isGreeted).map(({ cursor }) => cursor);
        if (this.under) told.push(this.under.read.cursor);
        this.sweptUpTo = Math.max(this.sweptUpTo, Math.min(chosen, this.head - 1, ...told));
        this.rows = this.rows.filter(({ cursor }) => cursor > this.sweptUpTo);
        break;
      }
      case 'restore': {
        const head = this.head - (chosen % 3);
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
    const { round, deliveries } = this.rounds.begin({ epoch: this.epoch, head: this.head });
    this.#hear(deliveries);
    this.under = round && { round, read: this.#read(round.after) };
  }

  /** `atMost`: the read brings a page of so many rows, if there are more. */
  end(atMost?: number): void {
    if (!this.under) return;
    const { round, read } = this.under;
    this.under = undefined;
    const isCut = atMost !== undefined && atMost < read.rows.length;
    const rows = isCut ? read.rows.slice(0, atMost) : read.rows;
    // A page never ends between two rows of one cursor: where the next read goes on, nothing must be left behind.
    const last = isCut
      ? Math.min(rows.at(-1)?.cursor ?? round.after, (read.rows[rows.length]?.cursor ?? 0) - 1)
      : read.cursor;
    this.#hear(this.rounds.end(round, { ...read, rows, cursor: Math.max(last, round.after), isComplete: !isCut }));
  }

  #read(after: number): LogRead {
    const { epoch, head, sweptUpTo } = this;
    const rows = this.rows.filter(({ cursor }) => cursor > after);
    return { state: { epoch, head }, rows, cursor: Math.max(head, after), isComplete: true, sweptUpTo };
  }

  #add(cursors: readonly number[]): void {
    for (const cursor of cursors) {
      const position = this.ever.length + 1; // after a restore the same positions name other rows
      const subjectId = `row ${++this.#count}`;
      const row: LogRow = { position, cursor, atMs: NOW_MS, kind: 'token', subjectId };
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
          if (!message.resumed) verifier.known = new Set(this.ever.filter((row) => row.cursor <= message.cursor));
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
    { numRuns: 1_000 },
  );
});
