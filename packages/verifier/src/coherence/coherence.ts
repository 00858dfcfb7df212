/**
 * The coherence core: what a verifier may still believe of the tokens it has seen. Events and time go in, actions come out; no
 * I/O, no timer, no randomness but what is given, so that the simulation (test/simulation) drives this very code.
 *
 * The invariant (design §5). A token t is accepted at time a only if
 *   (i)   t was live in a read of the primary that began after its check was sent, in the current epoch;
 *   (ii)  a nonce that was sent at m came back, and a − m is at most `maxStalenessMs` by both clocks;
 *   (iii) every invalidation visible to a read begun after that nonce arrived was applied before its echo.
 * So nothing is accepted later than the commit of its revocation and `maxStalenessMs`. Without a lease an answer still serves the
 * request that asked for it, because it is no older than its own check; it is just not believed twice.
 *
 * Life of a stream: connect → hello (resumed: entries stand; not: they are asked about again on next use) → pulses out, echoes in
 * → ended by either side → connect again, with backoff. An epoch or a cursor below one seen before is an old copy of the
 * store: service stops until a hello that is not.
 *
 * Owns entries, flights, lease, backoff. Leaves signatures, claims and everything that is looked at in each request to the verifier.
 */
import type { Handles, HelloMessage, InvalidateMessage, StreamMessage } from '@countersign/protocol';
import { CHARACTERS_PER_COST, Entries, type Entry, isAlive } from './entries.ts';
import { Lease } from './lease.ts';
import { ageMs, type Moment } from './moment.ts';
import { type DeadVerdict, Negatives } from './negatives.ts';
import { Received } from './received.ts';
import { Reconnection } from './reconnection.ts';

export type { Moment } from './moment.ts';
export type { DeadVerdict } from './negatives.ts';

/** What the driver is to do. It tells how it went by `message`, `disconnected` and `pulseRefused`. */
export type Action =
  | { kind: 'connect'; connection: number; nonce: string; resume: { epoch: number; cursor: number } | undefined }
  | { kind: 'disconnect'; connection: number }
  | { kind: 'pulse'; connection: number; stream: string; nonce: string }
  /** A key was taken back, or may have been: read the keys again. */
  | { kind: 'read_keys' };

export interface CoherenceSettings {
  maxStalenessMs: number;
  /** Most entries; a token of more than a kibibyte counts as several. */
  maxEntries: number;
}

/** A check under way. Made by `begin`, ended by `answered` or by being dropped. */
export interface Flight {
  readonly sentAt: Moment;
  /** The run of the stream in which it began; undefined: none was heard, so its answer is not for the cache. */
  readonly generation: number | undefined;
  readonly mark: number;
}

/** What the record said, and what the verifier made of the token. */
export interface Answer<Value> {
  key: string;
  epoch: number;
  tokenLength: number;
  expiresAtSeconds: number;
  record: { kind: 'live'; expiresInMs: number; handles: Handles; value: Value } | { kind: DeadVerdict };
}

/**
 * `again`: revocations overtook the answer, so it proves nothing; ask once more. `too_old`: it was under way for longer than the
 * bound allows, so it proves nothing either; whoever asked an authority as slow again would only make it slower.
 */
export type Decision = { kind: 'live' | DeadVerdict | 'again' | 'too_old' | 'went_back' };

/** What the slow path knows of a token. `seen`: its bytes were verified before, only the record must be asked. */
export type Recalled<Value> = { kind: 'seen'; value: Value } | { kind: 'dead'; verdict: DeadVerdict } | undefined;

/** `open` from the hello on. `waiting` for the next attempt. */
export type StreamState = 'off' | 'connecting' | 'open' | 'waiting';

/** Bounds of the pulse: every tenth of the staleness bound, within these. */
const MIN_PULSE_MS = 1_000;
const MAX_PULSE_MS = 10_000;
/** A stream that owes an echo for so many pulses is given up. */
const PULSES_UNTIL_LOST = 3;

export class Coherence<Value> {
  readonly #settings: CoherenceSettings;
  readonly #newNonce: () => string;
  readonly #entries: Entries<Value>;
  readonly #negatives = new Negatives();
  readonly #received = new Received();
  readonly #lease: Lease;
  readonly #reconnection: Reconnection;
  readonly #pulseMs: number;

  /** Counts runs of the stream without a gap. Entries and flights of an earlier one prove nothing. */
  #generation = 0;
  /** Whether a hello came in this generation: before it, nobody promised to tell what dies. */
  #isListening = false;
  /** The highest (epoch, cursor) ever seen; what is below is an old copy of the store. */
  #epoch = 0;
  #cursor = 0;
  #hasGoneBack = false;

  #connection = 0;
  #connectNonce = '';
  #epochWhenAsked = 0;
  #state: StreamState = 'off';
  #streamName = '';
  #lastPulseMs = Number.NEGATIVE_INFINITY;

  constructor(given: { settings: CoherenceSettings; newNonce: () => string; random: () => number }) {
    this.#settings = given.settings;
    this.#newNonce = given.newNonce;
    this.#entries = new Entries(given.settings.maxEntries);
    this.#lease = new Lease(given.settings.maxStalenessMs);
    this.#reconnection = new Reconnection(given.random);
    this.#pulseMs = Math.min(Math.max(given.settings.maxStalenessMs / 10, MIN_PULSE_MS), MAX_PULSE_MS);
  }

  // What requests ask

  /** The hit: a look-up, the deadlines, the lease. Undefined sends the request on its slow way. */
  hit(key: string, now: Moment): Value | undefined {
    if (!this.isLeased(now)) return undefined; // looked at whatever is known, so that no jump of the clocks goes by unseen
    const entry = this.#entries.get(key);
    if (!entry || !this.#isCurrent(entry, now)) return undefined;
    entry.isVisited = true;
    return entry.value;
  }

  /** What else is known of a token that is no hit. */
  recall(key: string, now: Moment): Recalled<Value> {
    const verdict = this.#negatives.get(key, now);
    if (verdict) return { kind: 'dead', verdict };
    const entry = this.#entries.get(key);
    return entry && { kind: 'seen', value: entry.value };
  }

  isLeased(now: Moment): boolean {
    return !this.#hasGoneBack && this.#lease.isValid(now);
  }

  /** An older copy of the store said hello: nothing may be accepted, whatever is known. */
  get hasGoneBack(): boolean {
    return this.#hasGoneBack;
  }

  /** A token that another way of asking found dead. */
  forget(key: string): void {
    this.#entries.forget(key);
  }

  // Checks

  /** A check begins; called before it is sent. */
  begin(now: Moment): Flight {
    return {
      sentAt: now,
      generation: this.#isListening ? this.#generation : undefined,
      mark: this.#received.mark(),
    };
  }

  /** A check was answered: says what that is worth for whoever waits for it, and remembers what may be believed again. */
  answered(flight: Flight, answer: Answer<Value>, now: Moment): { decision: Decision; actions: Action[] } {
    if (answer.epoch < this.#epoch) return { decision: { kind: 'went_back' }, actions: [] };
    const actions = answer.epoch > this.#epoch ? this.#enterEpoch(answer.epoch, now) : [];
    if (this.#hasGoneBack) return { decision: { kind: 'went_back' }, actions };
    return { decision: this.#decide(flight, answer, now), actions };
  }

  #decide(flight: Flight, answer: Answer<Value>, now: Moment): Decision {
    const { key, record } = answer;
    // Dead is final, however long the word of it was under way.
    if (record.kind !== 'live') {
      this.#entries.forget(key);
      this.#received.add('verdict', key); // a check that was sent before this answer says nothing any more
      if (flight.generation === this.#generation) this.#negatives.put(key, record.kind, now);
      return { kind: record.kind };
    }
    // An answer that was long under way (a suspended machine, a full buffer) may be older than the bound allows.
    if (ageMs(flight.sentAt, now) > this.#settings.maxStalenessMs) return { kind: 'too_old' };
    if (this.#received.hasSince(flight.mark, { key, handles: record.handles })) return { kind: 'again' };
    // It may have ended while the answer was under way, whose word of it was the authority's at the latest then.
    if (ageMs(flight.sentAt, now) >= record.expiresInMs) return { kind: 'expired' };
    if (flight.generation === this.#generation) this.#remember(flight, answer, record, now);
    return { kind: 'live' };
  }

  #remember(
    flight: Flight,
    answer: Answer<Value>,
    record: Extract<Answer<Value>['record'], { kind: 'live' }>,
    now: Moment,
  ): void {
    const entry = {
      key: answer.key,
      value: record.value,
      handles: record.handles,
      generation: this.#generation,
      // The authority's word ends by both clocks: a machine that sleeps through the overlap of a superseded token stops the monotonic
      // one. From sending: the authority read its clock later than that. Whole, so that the engine stores them without a box.
      expiresAtSeconds: Math.min(answer.expiresAtSeconds, wholeSeconds(flight.sentAt.wallMs + record.expiresInMs)),
      deadlineMs: Math.floor(flight.sentAt.monotonicMs + record.expiresInMs),
      cost: Math.ceil(answer.tokenLength / CHARACTERS_PER_COST),
    };
    this.#entries.put(entry, (other) => this.#isCurrent(other, now));
  }

  #isCurrent(entry: Entry<Value>, now: Moment): boolean {
    return entry.generation === this.#generation && isAlive(entry, now);
  }

  // The stream

  start(now: Moment): Action[] {
    return this.#state === 'off' ? this.#connect(now) : [];
  }

  /** Ends the stream for good; what is known is no longer believed. */
  stop(): Action[] {
    const isUp = this.#state === 'connecting' || this.#state === 'open';
    this.#lease.end();
    this.#lease.streamEnded();
    this.#state = 'off';
    return isUp ? [{ kind: 'disconnect', connection: this.#connection }] : [];
  }

  /** Time passed. Call it at `nextTickMs` at the latest; more often does no harm. */
  tick(now: Moment): Action[] {
    switch (this.#state) {
      case 'off':
        return [];
      case 'waiting':
        return this.#reconnection.isDue(now) ? this.#connect(now) : [];
      case 'connecting':
      case 'open': {
        if (this.#lease.longestWaitMs(now) >= PULSES_UNTIL_LOST * this.#pulseMs) return this.#giveUp(now);
        return this.#state === 'open' && this.#pulseDueMs <= now.monotonicMs ? this.#pulse(now) : [];
      }
    }
  }

  /** Monotonic milliseconds of the next moment at which `tick` may have something to do; undefined while the stream is off. */
  nextTickMs(): number | undefined {
    switch (this.#state) {
      case 'off':
        return undefined;
      case 'waiting':
        return this.#reconnection.dueMs;
      case 'connecting':
        return this.#lastPulseMs + PULSES_UNTIL_LOST * this.#pulseMs;
      case 'open':
        return this.#pulseDueMs;
    }
  }

  /** A message of a stream. One of a connection that was given up is not heard. */
  message(connection: number, message: StreamMessage, now: Moment): Action[] {
    if (connection !== this.#connection || (this.#state !== 'connecting' && this.#state !== 'open')) return [];
    if (message.kind === 'hello') return this.#greet(message, now);
    if (this.#state !== 'open') return this.#giveUp(now); // whatever comes before the hello is no stream of ours
    if (message.cursor < this.#cursor) return this.#stopService(now);
    this.#cursor = message.cursor;
    if (message.kind === 'invalidate') return this.#apply(message, now);
    const isOurs = this.#lease.echoed(message.nonce, now);
    // Of a later pulse: a stream that greets and breaks each time would otherwise be asked for without a pause, by all at once.
    if (isOurs && message.nonce !== this.#connectNonce) this.#reconnection.succeeded();
    return [];
  }

  /** The stream ended or never came about. */
  disconnected(connection: number, now: Moment): Action[] {
    if (connection !== this.#connection || this.#state === 'off' || this.#state === 'waiting') return [];
    this.#wait(now);
    return [];
  }

  /** The authority does not know the stream where the pulse arrived (another node, or it ended): only a new one gets a lease. */
  pulseRefused(connection: number, now: Moment): Action[] {
    if (connection !== this.#connection || this.#state !== 'open') return [];
    return [{ kind: 'disconnect', connection }, ...this.#connect(now)];
  }

  status(now: Moment): { stream: StreamState; stalenessMs: number; entries: number } {
    return { stream: this.#state, stalenessMs: this.#lease.ageMs(now), entries: this.#entries.size };
  }

  get #pulseDueMs(): number {
    return this.#lastPulseMs + this.#pulseMs;
  }

  #greet(hello: HelloMessage, now: Moment): Action[] {
    if (this.#state === 'open') return this.#giveUp(now); // a stream has one hello
    const isOlder = hello.epoch < this.#epoch || (hello.epoch === this.#epoch && hello.cursor < this.#cursor);
    // A check told of this epoch after the stream was asked for: the hello may have been said before, and another will tell.
    if (isOlder) return this.#epochWhenAsked < this.#epoch ? this.#giveUp(now) : this.#stopService(now);
    if (hello.epoch > this.#epoch) this.#forgetEpoch(hello.epoch);
    else if (!hello.resumed) this.#newGeneration();
    this.#hasGoneBack = false;
    this.#cursor = hello.cursor;
    this.#streamName = hello.stream;
    this.#state = 'open';
    this.#isListening = true;
    // What was taken back before a stream begins anew, nobody will tell.
    return hello.resumed ? [] : [{ kind: 'read_keys' }];
  }

  /** What is dead for good is refused from here on without asking: mass revocation must not become a mass of checks. */
  #apply({ subject, handle, final }: InvalidateMessage, now: Moment): Action[] {
    this.#received.add(subject, handle);
    this.#entries.invalidate(subject, handle, ({ key }) => {
      if (final) this.#negatives.put(key, 'revoked', now);
    });
    return subject === 'key' ? [{ kind: 'read_keys' }] : [];
  }

  #connect(now: Moment): Action[] {
    this.#connection++;
    this.#epochWhenAsked = this.#epoch;
    this.#state = 'connecting';
    this.#reconnection.started();
    this.#lease.streamEnded();
    const nonce = this.#sendNonce(now);
    this.#connectNonce = nonce ?? '';
    const resume = this.#isListening ? { epoch: this.#epoch, cursor: this.#cursor } : undefined;
    return nonce === undefined ? [] : [{ kind: 'connect', connection: this.#connection, nonce, resume }];
  }

  #pulse(now: Moment): Action[] {
    const nonce = this.#sendNonce(now);
    if (nonce === undefined) return this.#giveUp(now);
    return [{ kind: 'pulse', connection: this.#connection, stream: this.#streamName, nonce }];
  }

  #sendNonce(now: Moment): string | undefined {
    const nonce = this.#newNonce();
    this.#lastPulseMs = now.monotonicMs;
    return this.#lease.sent(nonce, now) ? nonce : undefined;
  }

  #giveUp(now: Moment): Action[] {
    const connection = this.#connection;
    this.#wait(now);
    return [{ kind: 'disconnect', connection }];
  }

  #wait(now: Moment): void {
    this.#state = 'waiting';
    this.#lease.streamEnded();
    this.#reconnection.schedule(now);
  }

  /**
   * An older copy of the store speaks. Until an operator has said that this is meant (the epoch rises), or the store is itself
   * again, nothing is accepted. Answers to checks, remembered or under way, may have been that copy's: nothing told them apart.
   */
  #stopService(now: Moment): Action[] {
    this.#hasGoneBack = true;
    this.#lease.end();
    this.#newGeneration();
    this.#received.addUnknown();
    return this.#giveUp(now);
  }

  /** A check told of a new epoch before the stream did: what the stream said is of the old one. */
  #enterEpoch(epoch: number, now: Moment): Action[] {
    const isFirst = this.#epoch === 0;
    this.#forgetEpoch(epoch);
    if (isFirst) return []; // the stream, which is on its way, has not spoken yet
    const isUp = this.#state === 'connecting' || this.#state === 'open';
    return isUp ? this.#giveUp(now) : [];
  }

  #forgetEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#cursor = 0;
    this.#lease.end();
    this.#newGeneration();
  }

  #newGeneration(): void {
    this.#generation++;
    this.#isListening = false;
    this.#negatives.clear();
  }
}

/** Rounded down: an entry may end a little early, never late. */
function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1_000);
}
