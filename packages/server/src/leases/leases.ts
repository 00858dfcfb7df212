/**
 * Leases: which node does which job.
 *
 *     start → joins → takes its share of what is free → renews every three seconds → leaves, and all it held is free
 *                          └── silent for twelve seconds: another node removes it, and all it held is free
 *
 * Owns the tables `lease` and `lease_node`, and when a job's step runs. Leaves to each job what its step does. Three things keep two
 * nodes from doing one job:
 *
 * - A node acts for ten seconds from before it sent its last successful renewal, by the larger of its wall and monotonic age: a
 *   suspended machine wakes with nothing in its hands.
 * - The others take over only after they have themselves seen twelve seconds of silence, each by its own monotonic clock. Clocks of
 *   different nodes are never compared.
 * - Whatever a step writes asks in the same commit for the lease's number (held.ts). A step that slept between its last look and
 *   its write is refused there. docs/decisions/0020 says what that cannot reach: effects outside the store happen at least once.
 */
import { onlyDone, type Store, type Transaction } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import type { Log } from '../world/log.ts';
import type { Random } from '../world/random.ts';
import type { Stopwatch } from '../world/stopwatch.ts';
import type { RunningTimer, Timers } from '../world/timers.ts';
import { afterMs } from '../world/turn.ts';
import { Held, LeaseLost } from './held.ts';
import * as table from './table.ts';
import { ageMs, fairShare, type Moment, rotated, Watch } from './watch.ts';

export { Held, LeaseLost } from './held.ts';
export type { LeaseRow } from './table.ts';

/** A third of what a renewal is good for: two of them may fail before a job stands still. */
export const RENEW_MS = 3_000;
/** A renewal is good for this long. A pause of a busy process or a failover of the database within seconds costs no takeover. */
export const LEASE_MS = 10_000;
/**
 * Then the others take over: two seconds after the holder has stopped by itself, for clocks that run apart and a write that was on its
 * way. A killed node's jobs go on within this and one beat: 15 seconds.
 */
export const SILENCE_MS = 12_000;
/** How long a stop waits for running steps. What takes longer (a slow mail server) is refused its last write, and done again. */
const STOP_WITHIN_MS = 5_000;
const NODE_NAME_BYTES = 8; // no two nodes that run at one time draw the same 64 bits

/** A node by this name is the only one there can be: whatever it left behind is taken over at once. */
export const ONLY_NODE = 'data-folder';

export interface Job {
  /** As operators read it, e.g. `sweep-tokens`. Stays: it is the lease's key. */
  readonly name: string;
  readonly intervalMs: number;
  /** One bounded step. Writes only through what it is given. */
  step(held: Held): Promise<unknown>;
}

export class Leases {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #stopwatch: Stopwatch;
  readonly #random: Random;
  readonly #log: Log;
  readonly #node: string;
  readonly #stopWithinMs: number;
  readonly #watch = new Watch();
  readonly #held = new Map<string, Held>();
  readonly #running = new Map<string, Promise<unknown>>();
  #jobs: readonly Job[] = [];
  #timers: RunningTimer[] = [];
  /** When the last successful renewal was about to be sent; undefined: not joined. */
  #renewedAt: Moment | undefined;
  #beating: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  /** `node`: a name that no other running node has; drawn if absent. */
  constructor(given: {
    store: Store;
    clock: Clock;
    stopwatch: Stopwatch;
    random: Random;
    log: Log;
    node?: string;
    stopWithinMs?: number;
  }) {
    this.#store = given.store;
    this.#clock = given.clock;
    this.#stopwatch = given.stopwatch;
    this.#random = given.random;
    this.#log = given.log;
    this.#node = given.node ?? `node-${Buffer.from(given.random.bytes(NODE_NAME_BYTES)).toString('hex')}`;
    this.#stopWithinMs = given.stopWithinMs ?? STOP_WITHIN_MS;
  }

  /** Takes part in these jobs from now on. */
  start(jobs: readonly Job[], timers: Timers): void {
    this.#jobs = jobs;
    this.#timers = [
      timers.every(RENEW_MS, () => this.beat()),
      ...jobs.map((job) => timers.every(job.intervalMs, () => this.#step(job))),
    ];
    this.beat().catch(() => this.#log.warn('the jobs begin later: the store did not answer', { node: this.#node }));
  }

  /** Takes part no more: gives back what is idle at once, and the rest when its step has ended. Never rejects. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop().catch(() =>
      this.#log.warn('leases were not given back: others do the jobs when this node is silent', { node: this.#node }),
    );
    return this.#stopping;
  }

  /** Every job that ever had a lease, as the store has it. */
  list(): Promise<table.LeaseRow[]> {
    return table.selectLeases(this.#store.read);
  }

  /** After a restore: the nodes of that time are gone, and nobody has to wait until they have been silent for long enough. */
  async freeAll(tx: Pick<Transaction, 'do'>): Promise<void> {
    onlyDone(await tx.do(table.freeingAll()));
  }

  /** One sign of life, and what follows from what the others gave. */
  beat(): Promise<void> {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #beat(): Promise<void> {
    if (this.#stopping) return;
    try {
      await this.#renew();
      await this.#removeSilent();
      await this.#balance();
    } catch (error) {
      this.#watch.forget();
      throw error;
    }
  }

  async #renew(): Promise<void> {
    const moment = this.#now();
    const sent = { node: this.#node, nowMs: moment.wallMs };
    if (this.#renewedAt) {
      const outcome = await this.#store.commit(table.renewing(sent));
      if (outcome.kind === 'done') {
        this.#renewedAt = moment;
        return;
      }
      this.#letGo([...this.#held.values()]);
      this.#renewedAt = undefined;
      this.#log.warn('this node was silent for too long, and others took over its jobs', { node: this.#node });
    }
    await this.#store.commit(table.joining({ ...sent, names: this.#jobs.map(({ name }) => name) }));
    this.#renewedAt = moment;
  }

  async #removeSilent(): Promise<void> {
    const nodes = await table.selectNodes(this.#store.read);
    // Taken after the read: what it found may be as young as this.
    const nowMs = this.#stopwatch.monotonicMs();
    for (const node of this.#watch.silent(nodes, { nowMs, silenceMs: SILENCE_MS })) {
      const outcome = await this.#store.commit(table.removing(node));
      if (outcome.kind === 'done') this.#log.warn('a node went silent, and its jobs are free', { silent: node.name });
    }
  }

  async #balance(): Promise<void> {
    const nodes = await table.selectNodes(this.#store.read);
    const share = fairShare(this.#jobs.length, nodes.length);
    const leases = await this.#reconciled();
    const idle = [...this.#held.values()].filter(({ name }) => !this.#running.has(name));
    const surplus = idle.slice(0, Math.max(this.#held.size - share, 0));
    if (surplus.length > 0) {
      this.#letGo(surplus);
      await this.#store.commit(table.givingBack(this.#node, surplus));
    }
    await this.#takeUpTo(share, leases);
  }

  /**
   * Leases of this node's jobs. What the store says is this node's is in its hands afterwards: a taking or giving back whose answer was
   * lost would leave a lease that nobody uses.
   */
  async #reconciled(): Promise<table.LeaseRow[]> {
    const names = new Set(this.#jobs.map(({ name }) => name));
    const leases = (await table.selectLeases(this.#store.read)).filter(({ name }) => names.has(name));
    for (const { name, holder, number } of leases) {
      if (holder === this.#node && this.#held.get(name)?.number !== number) this.#hold(name, number);
    }
    return leases;
  }

  async #takeUpTo(share: number, leases: readonly table.LeaseRow[]): Promise<void> {
    const free = leases.filter(({ holder }) => holder === undefined);
    const taken: string[] = [];
    for (const lease of rotated(free, this.#random.bytes(1)[0] ?? 0)) {
      if (this.#held.size >= share) break;
      const act = table.taking({ node: this.#node, lease, nowMs: this.#clock.now() });
      if ((await this.#store.commit(act)).kind === 'refused') continue;
      this.#hold(lease.name, lease.number + 1);
      taken.push(lease.name);
    }
    if (taken.length > 0) this.#log.info('does jobs from now on', { node: this.#node, jobs: taken.join(' ') });
  }

  #hold(name: string, number: number): void {
    const isInDate = () => this.#isInDate();
    this.#held.set(name, new Held({ name, number, node: this.#node, store: this.#store, isInDate }));
  }

  /** Does nothing where the job is not this node's. A lease that is over is asked about at once, not at the next beat. */
  async #step(job: Job): Promise<void> {
    if (this.#held.get(job.name)?.isHeld() === false) await this.beat();
    const held = this.#held.get(job.name);
    if (!held?.isHeld()) return;
    const running = job.step(held);
    this.#running.set(job.name, running);
    try {
      await running;
    } catch (error) {
      if (!(error instanceof LeaseLost)) throw error;
      if (this.#held.get(job.name) === held) this.#letGo([held]);
      this.#log.info('a step of a job was left undone: another node does it now', {
        job: job.name,
        number: held.number,
      });
    } finally {
      this.#running.delete(job.name);
    }
  }

  async #stop(): Promise<void> {
    for (const timer of this.#timers) timer.stop();
    await this.#beating?.catch(() => {});
    if (!this.#renewedAt) return;
    const idle = [...this.#held.values()].filter(({ name }) => !this.#running.has(name));
    if (this.#running.size > 0) {
      await this.#store.commit(table.givingBack(this.#node, idle));
      await withinMs(this.#stopWithinMs, Promise.allSettled(this.#running.values()));
    }
    this.#letGo([...this.#held.values()]);
    await this.#store.commit(table.leaving(this.#node));
  }

  #letGo(leases: readonly Held[]): void {
    for (const held of leases) {
      held.end();
      this.#held.delete(held.name);
    }
  }

  #isInDate(): boolean {
    return this.#renewedAt !== undefined && ageMs(this.#renewedAt, this.#now()) < LEASE_MS;
  }

  #now(): Moment {
    return { wallMs: this.#clock.now(), monotonicMs: this.#stopwatch.monotonicMs() };
  }
}

/** Waits for something, but no longer than this. */
async function withinMs(limitMs: number, something: Promise<unknown>): Promise<void> {
  let cancel = (): void => {};
  const limit = new Promise<void>((resolve) => {
    cancel = afterMs(limitMs, resolve);
  });
  await Promise.race([something, limit]);
  cancel();
}
