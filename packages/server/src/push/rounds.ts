/**
 * The core of the push: who is owed what, and when an echo may be given. Pure: log and time are what it is told, it does no I/O and
 * keeps no promise, so that the simulation (test/simulation) drives this very code.
 *
 *     open → round begins → read → round ends: hello, invalidates, heartbeats → … → ended by either side
 *     driver:  state → begin(state) → read(round.after) → end(round, read)      whatever fails in between: begin again
 *
 * What must hold (design §5). A heartbeat echoes a nonce only if the nonce arrived before `begin` of a round whose read came back
 * complete, and every row of that read which concerns the stream and was not said before stands in front of it. One read serves all
 * streams. A row is never found by its position: cursors are the reader's own, and rows may come twice.
 *
 * Owns streams, nonces and what was said. Leaves reading, writing, slow readers and age to push.ts.
 */
import type { Handles, HelloMessage, StreamMessage } from '@countersign/protocol';
import { concerns, disables, type HandleOf, Saying } from './saying.ts';

export type { HandleOf } from './saying.ts';

/** Streams of one client: a fleet of a thousand processes under one registration. */
export const MAX_STREAMS_PER_CLIENT = 1_000;
/** Streams of one node: half of its sockets, so that the other half keeps answering checks. */
export const MAX_STREAMS = 5_000;
/** Nonces that wait on one stream. A verifier sends one a second at most and gives a stream up that owes it three. */
export const MAX_NONCES = 8;
/** Rows that one read brings at most, and that are replayed to one stream; past that, asking about each token again costs less. */
export const MAX_ROWS = 10_000;

/** Where the log stands. */
export interface LogState {
  epoch: number;
  /** Cursor of whoever needs nothing of the past. Never falls within an epoch. */
  head: number;
}

export interface LogRow {
  /** Names the row; says nothing of order. */
  position: number;
  /** A read whose answer ended at this cursor or beyond has brought the row. */
  cursor: number;
  /** When it was written, Unix milliseconds. */
  atMs: number;
  /** `superseded`: a token that its successor replaced, and nothing worse. */
  kind: keyof Handles | 'superseded';
  subjectId: string;
  /** Whose resource servers are concerned; undefined: all. */
  audience?: string | undefined;
  /** When the token ends by itself, where that is known. */
  expiresAtMs?: number | undefined;
}

/** The answer of a read. */
export interface LogRead {
  /** Read after the last row: an epoch that changed meanwhile makes the rows worth nothing. */
  state: LogState;
  /** In the order in which they are to be said. At most `MAX_ROWS`. */
  rows: readonly LogRow[];
  /** Where the next read goes on. Not complete: at the last row. */
  cursor: number;
  /** Everything that was visible when the read began is in `rows`. */
  isComplete: boolean;
  /** The highest cursor of a row ever swept, read after the rows: from before it the log is not whole. */
  sweptUpTo: number;
}

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
  /** The cursor to read after. */
  readonly after: number;
}

/** `epoch`: the store was restored. `behind`: an older copy of it. `client`: its client was disabled. */
export type StreamEnd = 'epoch' | 'behind' | 'client';

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
  readonly #streams = new Map<string, Stream>();
  readonly #perClient = new Map<string, number>();
  /** Streams with a nonce that waits; those without a hello are among them. */
  readonly #owed = new Set<Stream>();
  #greeted = 0;
  #begun = 0;
  #round: Round | undefined;
  /** The highest state ever seen. What is below is an older copy of the store. */
  #highest: LogState = { epoch: 0, head: 0 };
  #isBehind = false;
  /** How far all greeted streams have been told. */
  #cursor = 0;
  /** Rows beyond `#cursor` that were brought already, by position: a later engine may bring them again. */
  #brought = new Map<number, LogRow>();

  constructor(given: { handleOf: HandleOf; bounds?: Partial<RoundsBounds> }) {
    this.#handleOf = given.handleOf;
    this.#bounds = { streamsPerClient: MAX_STREAMS_PER_CLIENT, streams: MAX_STREAMS, ...given.bounds };
  }

  get size(): number {
    return this.#streams.size;
  }

  /** An older copy of the store was seen last: nothing is opened until the log is again where it was. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Somebody waits for a hello or an echo. */
  get isOwing(): boolean {
    return this.#owed.size > 0;
  }

  open(stream: NewStream): 'opened' | 'behind' | 'too_many' | 'too_many_of_client' {
    if (this.#isBehind) return 'behind';
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
    const { epoch, head } = this.#highest;
    this.#isBehind = state.epoch < epoch || (state.epoch === epoch && state.head < head);
    if (this.#isBehind) return this.#endAll('behind', () => true);
    this.#highest = state;
    return state.epoch === epoch ? [] : this.#endAll('epoch', (stream) => stream.hasHello);
  }

  /**
   * Begins a round, after `state` was read and before the rows are. Nonces and streams that arrive from now on wait for the next one.
   * A round that was begun before and not ended is void. No round: the store is behind.
   */
  begin(state: LogState): { round: Round | undefined; deliveries: Delivery[] } {
    this.#round = undefined;
    const deliveries = this.observe(state);
    if (this.#isBehind) return { round: undefined, deliveries };
    this.#begun++;
    if (this.#greeted === 0) {
      this.#cursor = state.head; // nobody is owed anything of the past
      this.#brought.clear();
    }
    let after = this.#cursor;
    for (const { hasHello, resume } of this.#owed) {
      if (!hasHello && resume && mayResume(resume, state)) after = Math.min(after, resume.cursor);
    }
    this.#round = { number: this.#begun, epoch: state.epoch, after };
    return { round: this.#round, deliveries };
  }

  /** Ends the round with what its read brought. */
  end(round: Round, read: LogRead): Delivery[] {
    if (round !== this.#round) throw new Error('Ending a round: another one was begun since.');
    this.#round = undefined;
    const ended = this.observe(read.state);
    if (this.#isBehind || read.state.epoch !== round.epoch) return ended;
    const saying = new Saying(this.#handleOf, this.#cursor);
    const fresh = read.rows.filter((row) => row.cursor > this.#cursor && !this.#brought.has(row.position));
    const deliveries: Delivery[] = [];
    const owed = read.isComplete ? [...this.#owed].filter((stream) => stream.openedAfter < round.number) : [];
    const told = this.#tell(fresh, saying);
    this.#moveOn(read);
    for (const stream of owed) {
      if (!this.#streams.has(stream.name)) continue; // its client was disabled by a row of this read
      if (!stream.hasHello) deliveries.push(this.#greet(stream, round, read));
      const heartbeats = this.#echoes(stream, round);
      const before = told.get(stream.name);
      if (before) told.set(stream.name, { ...before, messages: [...before.messages, ...heartbeats] });
      else deliveries.push({ stream: stream.name, messages: heartbeats });
    }
    return [...told.values(), ...deliveries];
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

  #greet(stream: Stream, round: Round, read: LogRead): Delivery {
    const { name, clientId, resume } = stream;
    const cursor = resume && isWhole(resume, round, read) ? resume.cursor : undefined;
    const hello: HelloMessage = {
      kind: 'hello',
      stream: name,
      epoch: round.epoch,
      cursor: cursor ?? this.#cursor,
      resumed: cursor !== undefined,
    };
    stream.hasHello = true;
    this.#greeted++;
    const missed = cursor === undefined ? [] : read.rows.filter((row) => row.cursor > cursor && concerns(row, stream));
    const saying = new Saying(this.#handleOf, hello.cursor);
    const messages = [hello, ...missed.map((row) => saying.of(clientId, row))];
    const isDoubtful = read.rows.some((row) => disables(row, stream));
    return { stream: name, messages, ...(isDoubtful && { isDoubtful }) };
  }

  /** Exactly the nonces that had arrived before the round began. */
  #echoes(stream: Stream, round: Round): StreamMessage[] {
    const isEchoed = ({ arrivedAfter }: { arrivedAfter: number }) => arrivedAfter < round.number;
    const echoed = stream.nonces.filter(isEchoed);
    stream.nonces = stream.nonces.filter((nonce) => !isEchoed(nonce));
    if (stream.nonces.length === 0) this.#owed.delete(stream);
    return echoed.map(({ nonce }) => ({ kind: 'heartbeat', nonce, cursor: this.#cursor }));
  }

  #moveOn(read: LogRead): void {
    this.#cursor = Math.max(this.#cursor, read.cursor);
    for (const row of read.rows) this.#brought.set(row.position, row);
    for (const [position, row] of this.#brought) if (row.cursor <= this.#cursor) this.#brought.delete(position);
  }

  #endAll(end: StreamEnd, isEnded: (stream: Stream) => boolean): Delivery[] {
    const ended = [...this.#streams.values()].filter(isEnded);
    for (const stream of ended) this.close(stream.name);
    return ended.map((stream) => ({ stream: stream.name, messages: [], end }));
  }
}

/** Before the read: whether reading from there is worth it. Each row moves the cursor by one at least. */
function mayResume(resume: { epoch: number; cursor: number }, state: LogState): boolean {
  return resume.epoch === state.epoch && resume.cursor <= state.head && state.head - resume.cursor <= MAX_ROWS;
}

/** After the read: whether it brought everything since that cursor. */
function isWhole(resume: { epoch: number; cursor: number }, round: Round, read: LogRead): boolean {
  const { epoch, cursor } = resume;
  return epoch === round.epoch && cursor >= round.after && cursor <= read.cursor && cursor >= read.sweptUpTo;
}
