/**
 * One node of the authority: drives the real `Rounds` as push.ts does, and answers checks. Each read takes its time, and what it
 * shows is the store at one moment within. The node forgets everything when it restarts.
 */
import type { Handles, StreamMessage, Verdict } from '@countersign/protocol';
import { type Delivery, MAX_REPLAYED, type NewStream, type Rounds } from '../../packages/server/src/push/rounds.ts';
import type { Agenda } from './agenda.ts';
import type { Chance } from './chance.ts';
import { EPOCH_MS } from './clocks.ts';
import type { Cores } from './cores.ts';
import { Breach } from './oracle.ts';
import type { Store, Truth } from './store.ts';

/** Where a node writes what one stream says. */
export interface Outlet {
  write(messages: readonly StreamMessage[]): void;
  end(why: string): void;
}

/** A slow half of a read takes so long at most. */
const MAX_SLOW_MS = 1_500;

export interface Reply {
  epoch: number;
  verdict: Verdict;
  expiresInMs: number;
  handles: Handles;
  /** Since when an older copy of the store has been in place, where it was that one that said so and no epoch tells. */
  oldSinceMs: number | undefined;
}

/** How much of what truly happened a copy of the store holds. */
interface Course {
  epoch: number;
  commits: number;
  newest: number;
  /** It is an older copy that no epoch tells. */
  isOld: boolean;
}

/** How the world treats nodes. */
export interface NodeConditions {
  typicalReadMs: number;
  /** Share of half reads that are slow. */
  slow: number;
  /** Share of reads that fail. */
  failing: number;
  /** Share of reads that bring a page only. */
  paging: number;
  pollMs: number;
}

export interface Surroundings {
  agenda: Agenda;
  chance: Chance;
  store: Store;
  cores: Cores;
  conditions: NodeConditions;
  oldSinceMs: () => number | undefined;
  note: (what: string) => void;
}

export class Node {
  readonly name: string;
  readonly #world: Surroundings;
  #rounds: Rounds;
  #outlets = new Map<string, Outlet>();
  /** Counts lives: what was under way in an earlier one comes to nothing. */
  #life = 0;
  #streams = 0;
  #isReading = false;
  #isAskedAgain = false;
  /**
   * The last commit of which this life knows that the store had it: by the newest row. That a row came late, with a lower number than the
   * newest, no look at the log tells.
   */
  #known = { epoch: 0, commit: 0 };
  isUp = true;

  constructor(name: string, world: Surroundings) {
    this.name = name;
    this.#world = world;
    this.#rounds = this.#newRounds();
    this.#poll();
  }

  get streams(): number {
    return this.#rounds.size;
  }

  stop(): void {
    this.isUp = false;
    this.#life++;
    for (const outlet of this.#outlets.values()) outlet.end('restart');
    this.#outlets.clear();
    this.#isReading = false;
  }

  start(): void {
    this.#rounds = this.#newRounds();
    this.#known = { epoch: 0, commit: 0 };
    this.isUp = true;
  }

  /** The name of the stream, told to the verifier by its hello only. */
  open(asked: Omit<NewStream, 'name'>, outlet: Outlet): string | undefined {
    if (!this.isUp) return undefined;
    const { store } = this.#world;
    const course = this.#course();
    this.#deliver(this.#rounds.observe(store.state(this.#rounds.landmark)));
    this.#sees(course);
    const name = `${this.name}.${this.#life}.${this.#streams++}`;
    if (this.#rounds.open({ ...asked, name }) !== 'opened') return undefined;
    this.#outlets.set(name, outlet);
    this.wake();
    return name;
  }

  close(stream: string): void {
    this.#rounds.close(stream);
    this.#outlets.delete(stream);
  }

  pulse(pulse: { stream: string; clientId: string; nonce: string }): 'taken' | 'unknown' | 'too_many' | 'down' {
    if (!this.isUp) return 'down';
    const taken = this.#rounds.pulse(pulse);
    if (taken === 'taken') this.wake();
    return taken;
  }

  /** Reads soon. */
  wake(): void {
    this.#isAskedAgain = true;
    if (this.#isReading || !this.isUp || this.#rounds.size === 0) return;
    this.#isReading = true;
    this.#isAskedAgain = false;
    const { agenda, store, chance, conditions } = this.#world;
    const life = this.#life;
    agenda.after(chance.delayMs(conditions.typicalReadMs / 4), `${this.name} looks at the log`, () => {
      const { landmark } = this.#rounds;
      const state = store.state(landmark);
      agenda.after(chance.delayMs(conditions.typicalReadMs / 4), `${this.name} begins a round`, () => {
        if (life !== this.#life) return;
        if (this.#hasLooked(landmark)) return this.#rest();
        const { round, deliveries } = this.#rounds.begin(state, store.reach(MAX_REPLAYED));
        this.#deliver(deliveries);
        if (!round || chance.is(conditions.failing)) this.#rest();
        else this.#read(round, life);
      });
    });
  }

  #read(round: Parameters<Rounds['end']>[0], life: number): void {
    const { agenda, store, chance, conditions } = this.#world;
    agenda.after(this.#readMs(), `${this.name} reads`, () => {
      const { landmark } = this.#rounds;
      const atMost = chance.is(conditions.paging) ? chance.whole(0, 3) : Number.POSITIVE_INFINITY;
      const read = store.read(round.after, atMost, landmark);
      const course = this.#course();
      agenda.after(this.#readMs(), `${this.name} ends a round`, () => {
        if (life !== this.#life) return;
        if (this.#hasLooked(landmark)) return this.#rest();
        const deliveries = this.#rounds.end(round, read);
        this.#judge(deliveries, course);
        this.#sees(course);
        this.#deliver(deliveries);
        this.#rest();
      });
    });
  }

  /** Since a look that asked about this row there was another, for a stream that was opened. A real node makes one after the other. */
  #hasLooked(landmark: Rounds['landmark']): boolean {
    return this.#rounds.landmark !== landmark;
  }

  /** Half a read. Now and then the store is slow. */
  #readMs(): number {
    const { chance, conditions } = this.#world;
    const slowMs = chance.is(conditions.slow) ? chance.between(0, MAX_SLOW_MS) : 0;
    return chance.delayMs(conditions.typicalReadMs / 2) + slowMs;
  }

  #rest(): void {
    this.#isReading = false;
    if (this.#isAskedAgain || this.#rounds.isOwing) {
      this.#world.agenda.after(5, `${this.name} reads again`, () => this.wake());
    }
  }

  /** What wakes is only faster: the log is looked at in any case. */
  #poll(): void {
    this.#world.agenda.after(this.#world.conditions.pollMs, `${this.name} polls`, () => {
      this.wake();
      this.#poll();
    });
  }

  /** A check has arrived. Its read begins now. */
  check(token: Truth, clientId: string, reply: (answer: Reply) => void): void {
    const { agenda, store, chance, conditions } = this.#world;
    const life = this.#life;
    agenda.after(chance.delayMs(conditions.typicalReadMs / 2), `${this.name} reads the record of ${token.jti}`, () => {
      if (!this.isUp || life !== this.#life || chance.is(conditions.failing)) return;
      const verdict = store.verdict(token.jti, agenda.nowMs);
      const expiresInMs = Math.floor(token.expiresAtMs - agenda.nowMs);
      const answer = { epoch: store.epoch, verdict, expiresInMs, handles: handlesFor(clientId, token) };
      const oldSinceMs = this.#world.oldSinceMs();
      agenda.after(chance.delayMs(conditions.typicalReadMs / 2), `${this.name} answers a check`, () => {
        if (life === this.#life) reply({ ...answer, oldSinceMs });
      });
    });
  }

  #deliver(deliveries: readonly Delivery[]): void {
    for (const { stream, messages, end } of deliveries) {
      const outlet = this.#outlets.get(stream);
      if (!outlet) continue;
      if (messages.length > 0) outlet.write(messages);
      if (!end) continue;
      this.#world.note(`${this.name} ends ${stream}: ${end}`);
      this.#outlets.delete(stream);
      outlet.end(end);
    }
  }

  #course(): Course {
    const { store, oldSinceMs } = this.#world;
    return { ...store.course, epoch: store.epoch, isOld: oldSinceMs() !== undefined };
  }

  /** What a node has once seen in the store it never again takes for not having been. */
  #judge(deliveries: readonly Delivery[], { epoch, commits, isOld }: Course): void {
    const known = this.#known;
    if (!isOld || epoch !== known.epoch || commits >= known.commit) return;
    if (!deliveries.some(({ messages }) => messages.some(({ kind }) => kind === 'heartbeat'))) return;
    throw new Breach('older copy', `${this.name} echoes over ${commits} commits and has seen commit ${known.commit}`);
  }

  #sees({ epoch, newest }: Course): void {
    if (this.#rounds.isBehind || epoch < this.#known.epoch) return;
    const isNew = epoch > this.#known.epoch;
    this.#known = { epoch, commit: isNew ? newest : Math.max(newest, this.#known.commit) };
  }

  #newRounds(): Rounds {
    return new this.#world.cores.Rounds({ handleOf: handleFor });
  }
}

/** Unix seconds, as a token says them. */
export function expiresAtSeconds(token: Truth): number {
  return (EPOCH_MS + token.expiresAtMs) / 1_000;
}

export function handleFor(clientId: string, subject: keyof Handles, id: string): string {
  return `${clientId}/${subject}/${id}`;
}

export function handlesFor(clientId: string, { subjects }: Truth): Handles {
  const { token, grant, client, user, key } = subjects;
  return {
    token: handleFor(clientId, 'token', token),
    grant: handleFor(clientId, 'grant', grant),
    client: handleFor(clientId, 'client', client),
    user: handleFor(clientId, 'user', user),
    key: handleFor(clientId, 'key', key),
  };
}
