/**
 * The core of the push: who is owed what, and when an echo may be given. Pure: log and time are what it is told, it does no I/O and
 * keeps no promise, so that the simulation (test/simulation) drives this very code.
 *
 *     open → round begins → read → round ends: hello, invalidates, heartbeats → … → ended by either side
 *     driver:  state(landmark) → begin(state, reach) → read(round.after, landmark) → end(round, read)
 *              whatever fails in between: begin again
 *
 * What must hold (design §5). A heartbeat echoes a nonce only if the nonce arrived before `begin` of a round whose read came back
 * complete, and every row of that read which concerns the stream and was not said before stands in front of it. One read serves all
 * streams. A row is never found by its position: cursors are the log's own, and of two rows the one with the lower may come later (seen.ts).
 * Whoever comes back may take the read back by `MAX_REPLAYED` rows, and never takes it from those who are there.
 *
 * Owns streams, nonces and what was said. Leaves reading, writing, slow readers and age to push.ts.
 */
import type { HelloMessage, StreamMessage } from '@countersign/protocol';
import { KnownLog } from './known-log.ts';
import type { Landmark, LogRead, LogRow, LogState } from './reading.ts';
import { Replays } from './replays.ts';
import { concerns, disables, type HandleOf, Saying } from './saying.ts';
import { cursorOf, isSeen, mayLack, type Seen, seenByEither, seenUpTo } from './seen.ts';

export type { Landmark, LogRead, LogRow, LogState } from './reading.ts';
export type { HandleOf } from './saying.ts';

/** Streams of one client: a fleet of a thousand processes under one registration. */
export const MAX_STREAMS_PER_CLIENT = 1_000;
/** Streams of one node: half of its sockets, so that the other half keeps answering checks. */
export const MAX_STREAMS = 5_000;
/** Nonces that wait on one stream. A verifier sends one a second at most and gives a stream up that owes it three. */
export const MAX_NONCES = 8;
/** Rows that one read brings at most. */
export const MAX_ROWS = 10_000;
/**
 * Rows that are replayed to one stream: past that, asking about each token again costs less. They fit twice over: into what may wait
 * for a reader (230 of 256 KiB), and five times into a read, which thus comes to its end for everybody else, too.
 */
export const MAX_REPLAYED = MAX_ROWS / 5;

export interface NewStream {
  /** Names it for ever: random, 128 bits. */
  name: string;
  clientId: string;
  /** Audiences that the client serves: it hears of no other's rows. */
  audiences: readonly string[];
  maxStalenessMs: number;
  nonce: string;
  resume: { epoch: number; cursor: number } | undefined;
}

export interface Round {
  readonly number: number;
  readonly epoch: number;
  /** What the read need not bring. */
  readonly after: Seen;
}

/**
 * `epoch`: the store was restored. `behind`: an older copy of it. `client`: its client was disabled. `swept`: a row may have been swept
 * before it was read.
 */
export type StreamEnd = 'epoch' | 'behind' | 'client' | 'swept';

/** What to write to one stream, in order, before it ends where `end` says why. */
export interface Delivery {
  stream: string;
  messages: readonly StreamMessage[];
  end?: StreamEnd;
  /** A row named its client as disabled, perhaps from before it was enabled again: read the client anew, now. */
  isDoubtful?: boolean;
}

export interface RoundsBounds {
  streamsPerClient: number;
  streams: number;
}

interface Stream extends NewStream {
  /** Rounds begun when it was opened: it takes part in those that begin later. */
  readonly openedAfter: number;
  hasHello: boolean;
  /** With how many rounds had begun when each arrived. */
  nonces: { nonce: string; arrivedAfter: number }[];
}

export class Rounds {
  readonly #handleOf: HandleOf;
  readonly #bounds: RoundsBounds;
  readonly #replays: Replays;
  readonly #streams = new Map<string, Stream>();
  readonly #perClient = new Map<string, number>();
  /** Streams with a nonce that waits; those without a hello are among them. */
  readonly #owed = new Set<Stream>();
  #greeted = 0;
  #begun = 0;
  #round: Round | undefined;
  readonly #log = new KnownLog();
  /** The last read did not come to its end, perhaps because it went back. */
  #isCutShort = false;
  /** What all greeted streams have been told. */
  #seen = seenUpTo(0);

  constructor(given: { handleOf: HandleOf; bounds?: Partial<RoundsBounds> }) {
    this.#handleOf = given.handleOf;
    this.#replays = new Replays(given.handleOf);
    this.#bounds = { streamsPerClient: MAX_STREAMS_PER_CLIENT, streams: MAX_STREAMS, ...given.bounds };
  }

  get size(): number {
    return this.#streams.size;
  }

  /** An older copy of the store was seen last: nothing is opened until the log is again where it was. */
  get isBehind(): boolean {
    return this.#log.isBehind;
  }

  /** About which row the log is to be asked. */
  get landmark(): Landmark | undefined {
    return this.#log.landmark;
  }

  /** Somebody waits for a hello or an echo. */
  get isOwing(): boolean {
    return this.#owed.size > 0;
  }

  /** Somebody who came back may be told what he missed, if the log reaches back to it: `begin` is to be told how far it does. */
  get isResuming(): boolean {
    return [...this.#owed].some(({ hasHello, resume }) => !hasHello && resume !== undefined);
  }

  open(stream: NewStream): 'opened' | 'behind' | 'too_many' | 'too_many_of_client' {
    if (this.isBehind) return 'behind';
    const ofClient = this.#perClient.get(stream.clientId) ?? 0;
    if (ofClient >= this.#bounds.streamsPerClient) return 'too_many_of_client';
    if (this.#streams.size >= this.#bounds.streams) return 'too_many';
    if (this.#streams.has(stream.name)) throw new Error('Opening a stream: its name is taken, so it was not random.');
    const nonces = [{ nonce: stream.nonce, arrivedAfter: this.#begun }];
    const opened: Stream = { ...stream, openedAfter: this.#begun, hasHello: false, nonces };
    this.#streams.set(stream.name, opened);
    this.#perClient.set(stream.clientId, ofClient + 1);
    this.#owed.add(opened);
    return 'opened';
  }

  /** The stream is over, whoever ended it. Nothing is said to it any more. */
  close(name: string): void {
    const stream = this.#streams.get(name);
    if (!stream) return;
    this.#streams.delete(name);
    this.#owed.delete(stream);
    if (stream.hasHello) this.#greeted--;
    const left = (this.#perClient.get(stream.clientId) ?? 1) - 1;
    if (left > 0) this.#perClient.set(stream.clientId, left);
    else this.#perClient.delete(stream.clientId);
  }

  /** A nonce arrived. Of another client's stream it says `unknown`, as of none. */
  pulse(pulse: { stream: string; clientId: string; nonce: string }): 'taken' | 'unknown' | 'too_many' {
    const stream = this.#streams.get(pulse.stream);
    if (!stream || stream.clientId !== pulse.clientId) return 'unknown';
    if (stream.nonces.some(({ nonce }) => nonce === pulse.nonce)) return 'taken';
    if (stream.nonces.length >= MAX_NONCES) return 'too_many';
    stream.nonces.push({ nonce: pulse.nonce, arrivedAfter: this.#begun });
    this.#owed.add(stream);
    return 'taken';
  }

  /** Looks at where the log stands. What it says is to be written: streams that end. */
  observe(state: LogState): Delivery[] {
    const { isNewEpoch } = this.#log.observe(state);
    if (this.isBehind) return this.#endAll('behind', () => true);
    if (!isNewEpoch) return [];
    this.#replays.forget();
    return this.#endAll('epoch', (stream) => stream.hasHello);
  }

  /**
   * Begins a round, after `state` was read and before the rows are. Nonces and streams that arrive from now on wait for the next one.
   * `reach`: the lowest cursor after which the log holds at most `MAX_REPLAYED` rows, or about that; who comes back from before it begins
   * anew. A round that was begun before and not ended is void. No round: the store is behind.
   */
  begin(state: LogState, reach: number): { round: Round | undefined; deliveries: Delivery[] } {
    this.#round = undefined;
    const deliveries = this.observe(state);
    if (this.isBehind) return { round: undefined, deliveries };
    this.#begun++;
    if (this.#greeted === 0) this.#seen = seenUpTo(state.head); // nobody is owed anything of the past
    let back = this.#seen.upTo;
    for (const { hasHello, resume } of this.#owed) {
      if (this.#isCutShort) break; // this one is for those who are there
      if (!hasHello && resume && mayResume(resume, state, reach)) back = Math.min(back, resume.cursor);
    }
    const isBack = back < this.#seen.upTo;
    const after = isBack ? seenUpTo(Math.min(back, this.#cursor)) : this.#seen;
    this.#round = { number: this.#begun, epoch: state.epoch, after };
    return { round: this.#round, deliveries };
  }

  /**
   * Ends the round with what its read brought. `mayEcho` false: it is told to those who are there, and nobody is greeted or echoed; who
   * comes back is read for again, and loses nothing by it.
   */
  end(round: Round, read: LogRead, { mayEcho = true }: { mayEcho?: boolean } = {}): Delivery[] {
    if (round !== this.#round) throw new Error('Ending a round: another one was begun since.');
    this.#round = undefined;
    const ended = this.observe(read.state);
    if (this.isBehind || read.state.epoch !== round.epoch) return ended;
    // Who comes back has a cursor from before what was swept, and is not resumed.
    if (mayLack(this.#seen, read)) ended.push(...this.#endAll('swept', (stream) => stream.hasHello));
    const saying = new Saying(this.#handleOf, this.#cursor);
    const fresh = read.rows.filter((row) => !isSeen(this.#seen, row.cursor));
    this.#isCutShort = !read.isComplete;
    const owed =
      read.isComplete && mayEcho ? [...this.#owed].filter((stream) => stream.openedAfter < round.number) : [];
    const told = this.#tell(fresh, saying);
    this.#seen = seenByEither(this.#seen, read.seen);
    this.#replays.beginRound();
    let isWaiting = false;
    for (const stream of owed) {
      if (!this.#streams.has(stream.name)) continue; // its client was disabled by a row of this read
      const before = stream.hasHello ? told.get(stream.name) : this.#greet(stream, round, read);
      if (before) told.set(stream.name, { ...before, messages: [...before.messages, ...this.#echoes(stream, round)] });
      else if (stream.hasHello) told.set(stream.name, { stream: stream.name, messages: this.#echoes(stream, round) });
      else isWaiting = true;
    }
    if (!isWaiting) this.#replays.forget();
    return [...ended, ...told.values()];
  }

  /** What is new, to every stream that was greeted before. */
  #tell(fresh: readonly LogRow[], saying: Saying): Map<string, Delivery> {
    const told = new Map<string, Delivery>();
    if (fresh.length === 0) return told;
    for (const stream of [...this.#streams.values()]) {
      if (!stream.hasHello) continue;
      const messages = fresh.filter((row) => concerns(row, stream)).map((row) => saying.of(stream.clientId, row));
      const isDisabled = fresh.some((row) => disables(row, stream));
      if (isDisabled) this.close(stream.name);
      if (messages.length === 0 && !isDisabled) continue;
      told.set(stream.name, { stream: stream.name, messages, ...(isDisabled && { end: 'client' as const }) });
    }
    return told;
  }

  /** Undefined: what it missed is told in a later round. */
  #greet(stream: Stream, round: Round, read: LogRead): Delivery | undefined {
    const { name, clientId, resume } = stream;
    const cursor = resume && isWhole(resume, round, read) ? resume.cursor : undefined;
    if (cursor !== undefined && this.#replays.isFull) return undefined;
    const missed = cursor === undefined ? [] : read.rows.filter((row) => row.cursor > cursor && concerns(row, stream));
    if (cursor !== undefined) this.#replays.looked(read.rows.length);
    const isResumed = cursor !== undefined && missed.length <= MAX_REPLAYED;
    const hello: HelloMessage = {
      kind: 'hello',
      stream: name,
      epoch: round.epoch,
      cursor: isResumed ? cursor : this.#cursor,
      resumed: isResumed,
    };
    stream.hasHello = true;
    this.#greeted++;
    const isDoubtful = read.rows.some((row) => disables(row, stream));
    const replayed = isResumed ? missed.map((row) => this.#replays.of(clientId, row, read)) : [];
    return { stream: name, messages: [hello, ...replayed], ...(isDoubtful && { isDoubtful }) };
  }

  /** Exactly the nonces that had arrived before the round began. */
  #echoes(stream: Stream, round: Round): StreamMessage[] {
    const isEchoed = ({ arrivedAfter }: { arrivedAfter: number }) => arrivedAfter < round.number;
    const echoed = stream.nonces.filter(isEchoed);
    stream.nonces = stream.nonces.filter((nonce) => !isEchoed(nonce));
    if (stream.nonces.length === 0) this.#owed.delete(stream);
    return echoed.map(({ nonce }) => ({ kind: 'heartbeat', nonce, cursor: this.#cursor }));
  }

  /** Up to here every greeted stream has been told of everything. */
  get #cursor(): number {
    return cursorOf(this.#seen);
  }

  #endAll(end: StreamEnd, isEnded: (stream: Stream) => boolean): Delivery[] {
    const ended = [...this.#streams.values()].filter(isEnded);
    for (const stream of ended) this.close(stream.name);
    return ended.map((stream) => ({ stream: stream.name, messages: [], end }));
  }
}

/** Before the read: whether reading from there is worth it. */
function mayResume(resume: { epoch: number; cursor: number }, state: LogState, reach: number): boolean {
  return resume.epoch === state.epoch && resume.cursor <= state.head && resume.cursor >= reach;
}

/** After the read: whether it brought everything since that cursor. */
function isWhole(resume: { epoch: number; cursor: number }, round: Round, read: LogRead): boolean {
  const { epoch, cursor } = resume;
  const isBrought = cursor >= round.after.upTo && cursor <= cursorOf(read.seen);
  return epoch === round.epoch && isBrought && cursor >= read.sweptUpTo;
}
