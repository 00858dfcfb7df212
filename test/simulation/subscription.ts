/**
 * The stream of one verifier, driven as stream/stream.ts drives it: connects, pulses and hears, over a link that fails in every way.
 */
import type { StreamMessage } from '@countersign/protocol';
import type { Action, Coherence, Moment } from '../../packages/verifier/src/coherence/coherence.ts';
import type { KnownToken } from '../../packages/verifier/src/known-token.ts';
import { MAX_DRIFT } from './clocks.ts';
import { Line } from './line.ts';
import type { Link, LinkConditions } from './link.ts';
import { handlesFor, type Node, type Surroundings } from './node.ts';
import type { Witness } from './oracle.ts';
import type { Truth } from './store.ts';

/** A node notices within this that a stream is no longer read. */
const MAX_CLOSING_MS = 10_000;
/** A request for a stream is given up within this. */
const MAX_CONNECTING_MS = 4_000;

export interface MachineConditions extends LinkConditions {
  /** Share of pulses that arrive twice. */
  repeating: number;
  /** Share of pulses that reach another node than the one that holds the stream. */
  straying: number;
  /** What a slow proxy adds to the way of each message of a stream. */
  streamDelayMs: number;
  maxStalenessMs: number;
  maxEntries: number;
}

export interface Counts {
  accepted: number;
  hits: number;
  refused: number;
  undecided: number;
  leases: number;
  resumed: number;
  notResumed: number;
  shownOlder: number;
}

export interface MachineWorld extends Surroundings {
  nodes: readonly Node[];
  /** Those that matter yet. */
  tokens: () => readonly Truth[];
  tokenOf: (jti: string) => Truth;
  /** What died with the epochs before this one. */
  deadBefore: (epoch: number) => readonly Truth[];
  /** When a copy of the store was last put in place. */
  storeTroubleMs: () => number;
  /** An older copy was in place once, and no epoch told. */
  hadOlderCopy: () => boolean;
  machines: MachineConditions;
  counts: Counts;
  /** Promises are to be settled before the next step. */
  unsettle: () => void;
  failed: (error: unknown) => void;
}

export class Subscription {
  readonly #name: string;
  readonly #audience: string;
  readonly #clientId: string;
  readonly #world: MachineWorld;
  readonly #core: Coherence<KnownToken>;
  readonly #link: Link;
  readonly #witness: Witness;
  readonly #now: () => Moment;
  readonly #heard: () => void;
  /** The one that the core last asked for; undefined: it hung up. */
  #connection: number | undefined;
  #line: Line | undefined;
  #ticks = 0;
  #epochWhenAsked = 0;
  /** The highest that the verifier knows of. */
  epoch = 0;
  readonly #nonces = new Set<string>();
  /** When each token was named by an invalidation. */
  readonly #named = new Map<string, number[]>();

  constructor(given: {
    name: string;
    audience: string;
    clientId: string;
    world: MachineWorld;
    core: Coherence<KnownToken>;
    link: Link;
    witness: Witness;
    now: () => Moment;
    /** A message was taken in. */
    heard: () => void;
  }) {
    this.#name = given.name;
    this.#audience = given.audience;
    this.#clientId = given.clientId;
    this.#world = given.world;
    this.#core = given.core;
    this.#link = given.link;
    this.#witness = given.witness;
    this.#now = given.now;
    this.#heard = given.heard;
  }

  /** Nonces under way. */
  get pending(): number {
    return this.#nonces.size;
  }

  /** A proxy between holds everything back until then. */
  hold(untilMs: number): void {
    this.#line?.hold(untilMs);
  }

  /** The stream fails; `isNoticed`: the verifier is told. */
  fail(isNoticed: boolean): void {
    const line = this.#line;
    if (!line) return;
    line.break();
    this.#closeLater(line);
    if (isNoticed) this.#link.local(1, 'its stream is reset', () => this.#lost(line.connection));
  }

  perform(actions: readonly Action[]): void {
    for (const action of actions) {
      if (action.kind === 'connect') this.#connect(action);
      else if (action.kind === 'pulse') this.#pulse(action);
      else if (action.kind === 'disconnect') this.#hangUp();
    }
    this.#planTick();
  }

  #planTick(): void {
    const tick = ++this.#ticks;
    const dueMs = this.#core.nextTickMs();
    if (dueMs === undefined) return;
    const pauseMs = (dueMs - this.#now().monotonicMs) * (1 + MAX_DRIFT) + this.#world.chance.delayMs(5);
    this.#link.local(Math.max(pauseMs, 1), 'ticks', () => {
      if (tick === this.#ticks) this.perform(this.#core.tick(this.#now()));
    });
  }

  #connect({ connection, nonce, resume }: Extract<Action, { kind: 'connect' }>): void {
    this.#connection = connection;
    this.#epochWhenAsked = this.epoch;
    this.#nonces.clear();
    this.#nonces.add(nonce);
    const { maxStalenessMs } = this.#world.machines;
    let isAnswered = false;
    this.#link.out(`a request for connection ${connection}`, () => {
      isAnswered = true;
      const node = this.someNode();
      const line = node && this.#newLine(connection, node);
      const asked = { clientId: this.#clientId, audiences: [this.#audience], maxStalenessMs, nonce, resume };
      if (line?.open(asked)) {
        if (connection === this.#connection) this.#line = line;
        else this.#drop(line); // it was given up meanwhile
      } else this.#link.back(`that connection ${connection} is refused`, () => this.#lost(connection));
    });
    // As a request that times out, or that a machine without a network gives up at once.
    this.#link.local(this.#world.chance.between(10, MAX_CONNECTING_MS), `may give up connection ${connection}`, () => {
      if (!isAnswered) this.#lost(connection);
    });
  }

  #newLine(connection: number, node: Node): Line {
    const { agenda, machines, oldSinceMs } = this.#world;
    return new Line({
      ...{ connection, node, agenda, isOld: () => oldSinceMs() !== undefined },
      delayMs: () => this.#link.delayMs() + machines.streamDelayMs,
      heldUntilMs: () => this.#link.heldUntilMs,
      receive: (message, isOld) => this.#receive(connection, message, isOld),
      ended: () => this.#lost(connection),
    });
  }

  #receive(connection: number, message: StreamMessage, isOld: boolean): void {
    const { agenda, chance, counts, machines, tokens } = this.#world;
    if (connection === this.#connection && chance.is(machines.losing)) {
      this.fail(true);
      return;
    }
    const { stream } = this.#core.status(this.#now());
    const hadLease = this.#core.isLeased(this.#now());
    const actions = this.#core.message(connection, message, this.#now());
    if (connection === this.#connection && message.kind === 'hello' && stream === 'connecting') {
      counts[message.resumed ? 'resumed' : 'notResumed']++;
      const isLate = message.epoch < this.epoch && this.#epochWhenAsked < this.epoch;
      if (!isLate)
        this.#witness.greeted(message, {
          nowMs: agenda.nowMs,
          wasAlwaysWhole: !this.#world.hadOlderCopy(),
        });
      this.learnEpoch(message.epoch);
    } else if (connection === this.#connection && message.kind !== 'hello' && stream === 'open') {
      if (message.kind === 'heartbeat') this.#nonces.delete(message.nonce);
      else this.#countNamed(message);
      this.#witness.heard(message, { tokens: tokens(), nowMs: agenda.nowMs, isOld });
    }
    if (!hadLease && this.#core.isLeased(this.#now())) counts.leases++;
    if (this.#witness.isShownOld) counts.shownOlder++;
    this.perform(actions);
    // Between two messages of one burst a request may be served.
    this.#heard();
  }

  /** How often invalidations have named a token since then. */
  timesNamed(token: Truth, sinceMs: number): number {
    return (this.#named.get(token.jti) ?? []).filter((atMs) => atMs >= sinceMs).length;
  }

  #countNamed({ subject, handle }: Extract<StreamMessage, { kind: 'invalidate' }>): void {
    for (const token of this.#world.tokens()) {
      if (handlesFor(this.#clientId, token)[subject] !== handle) continue;
      this.#named.set(token.jti, [...(this.#named.get(token.jti) ?? []), this.#world.agenda.nowMs]);
    }
  }

  #pulse({ connection, stream, nonce }: Extract<Action, { kind: 'pulse' }>): void {
    const { chance, machines } = this.#world;
    this.#nonces.add(nonce);
    const times = chance.is(machines.repeating) ? 2 : 1;
    for (let time = 0; time < times; time++) {
      this.#link.out('a pulse', () => {
        const node = chance.is(machines.straying) ? this.someNode() : this.#line?.node;
        if (node?.pulse({ stream, clientId: this.#clientId, nonce }) !== 'unknown') return;
        this.#link.back('that a pulse is refused', () =>
          this.perform(this.#core.pulseRefused(connection, this.#now())),
        );
      });
    }
  }

  #hangUp(): void {
    this.#connection = undefined;
    if (this.#line) this.#drop(this.#line);
    this.#line = undefined;
  }

  #lost(connection: number): void {
    if (connection === this.#connection) this.#hangUp();
    this.perform(this.#core.disconnected(connection, this.#now()));
  }

  /** What the line still holds may come in after it was given up: bytes that were read already. */
  #drop(line: Line): void {
    if (this.#world.chance.is(0.5)) line.break();
    this.#closeLater(line);
  }

  #closeLater(line: Line): void {
    const { agenda, chance } = this.#world;
    const delayMs = this.#link.isCut ? chance.between(0, MAX_CLOSING_MS) : this.#link.delayMs();
    agenda.after(delayMs, `${this.#name} is gone from connection ${line.connection}`, () => line.close());
  }

  someNode(): Node | undefined {
    const up = this.#world.nodes.filter(({ isUp }) => isUp);
    return this.#world.chance.pick(up);
  }

  learnEpoch(epoch: number): void {
    if (epoch <= this.epoch) return;
    this.epoch = epoch;
    this.#witness.learnedEpoch(this.#world.deadBefore(epoch), epoch);
  }
}
