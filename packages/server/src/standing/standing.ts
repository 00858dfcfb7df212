/**
 * Standing: whether the store is the one that this node knows, and may be served from.
 *
 *     looked at, several times a second → good: served
 *                                       → fenced (moved away, or not whole yet), behind (an older copy), copied (brought to another
 *                                         server by a dump): nothing is answered, no job runs
 *
 * Behind is a store whose epoch, or whose newest invalidation within the epoch, is lower than what this node has seen, or which lacks that
 * very row: a failover to a standby that lacked commits, or an old copy put in place by hand. What was revoked since would be live again
 * there, however much is written to it. In a copied one what is revoked from now on would be told to no verifier. Until an operator has
 * set a restore point, which raises the epoch, nobody is served.
 *
 * Owns what was seen, and keeps it outside the database, which cannot testify for itself. Leaves the streams of verifiers to push/, which
 * looks at the same.
 */
import type { InvalidationLog, Landmark, LogState } from '../revocation/revocation.ts';
import { type FenceKind, fenceSentence, readFence, type Store, StoreRefusal } from '../store/store.ts';
import type { Log } from '../world/log.ts';
import type { Stopwatch } from '../world/stopwatch.ts';
import { afterMs } from '../world/turn.ts';

export { ClockOffset } from './clock-offset.ts';
export { selectDatabaseNowMs } from './table.ts';

/** Between two looks: three short reads, so a hundredth of what a node asks of its store in that time. */
export const LOOK_MS = 200;
/**
 * An answer rests on a look no older. It covers five looks that came late; a process that was suspended looks before it answers.
 * `FENCE_NOTICE_MS` of the store is twice as long.
 */
export const MAX_LOOK_AGE_MS = 1_000;
/** A request waits so long for a look at a store that is silent. */
const LOOK_WAIT_MS = 1_000;
/** How often what was seen is written down: a sync of the disk. What came since is forgotten in a crash, and only then. */
const REMEMBER_MS = 5_000;

/** The highest that was seen. */
export interface Seen {
  epoch: number;
  /** Cursor of the newest row of the log of invalidations. */
  head: number;
  /** That row; absent in an empty log, and where it was not written down. */
  newest?: Landmark;
}

/** Where a node keeps what it has seen. */
export interface Memory {
  read(): Seen | undefined;
  /** Durable when it returns. */
  write(seen: Seen): void;
}

/** Of a store that is not the one that was seen: until its epoch rises, or until that one is there again. */
type Doubt = 'behind' | 'copied';

/** Why nobody is served. */
export type Trouble = Doubt | FenceKind;

export class Standing {
  readonly #store: Pick<Store, 'read'>;
  readonly #invalidations: Pick<InvalidationLog, 'state'>;
  readonly #memory: Memory | undefined;
  readonly #log: Log;
  readonly #stopwatch: Stopwatch;
  readonly #onEpoch: () => Promise<void>;
  #seen: Seen;
  #remembered: Seen;
  #rememberedMs = Number.NEGATIVE_INFINITY;
  #trouble: Trouble | undefined;
  #doubt: Doubt | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #missedMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #isStarted = false;

  /** `onEpoch` is awaited before anything of a higher epoch is served: what is held of the store in memory may not be in it any more. */
  constructor(given: {
    store: Pick<Store, 'read'>;
    invalidations: Pick<InvalidationLog, 'state'>;
    memory?: Memory | undefined;
    log: Log;
    stopwatch: Stopwatch;
    onEpoch: () => Promise<void>;
  }) {
    this.#store = given.store;
    this.#invalidations = given.invalidations;
    this.#memory = given.memory;
    this.#log = given.log;
    this.#stopwatch = given.stopwatch;
    this.#onEpoch = given.onEpoch;
    this.#seen = given.memory?.read() ?? { epoch: 0, head: 0 };
    this.#remembered = this.#seen;
  }

  /** @throws StoreRefusal `store_fenced`, `store_behind` or `store_copied`, before anything is written to such a store */
  async requireGood(): Promise<void> {
    await this.look();
    this.#isStarted = true;
    if (this.#trouble === undefined) return;
    if (this.#trouble === 'copied') {
      throw new StoreRefusal(
        'store_copied',
        'Opening the store: it was brought to this database server by a dump (pg_dump), so what is revoked from now on would be told to no ' +
          'verifier. Settle it with "countersign restore-point".',
      );
    }
    if (this.#trouble !== 'behind') throw new StoreRefusal('store_fenced', fenceSentence(this.#trouble));
    throw new StoreRefusal(
      'store_behind',
      'Opening the store: it is an older copy of what this node has seen of it, so what was revoked since would be live again. Connect it ' +
        'to the newer one. If there is none, settle this one: on PostgreSQL with "countersign restore-point", in a data folder with ' +
        '"countersign restore" from a backup.',
    );
  }

  /** What the last look found. */
  get isGood(): boolean {
    return this.#trouble === undefined;
  }

  /** Why a request must not be answered; undefined: it may. `away`: nobody can tell, so only what a node knows by heart may be. */
  async trouble(): Promise<Trouble | 'away' | undefined> {
    if (!this.#isFresh(this.#lookedMs) && !this.#isFresh(this.#missedMs)) await this.#lookOrMiss();
    return this.#isFresh(this.#lookedMs) ? this.#trouble : (this.#trouble ?? 'away');
  }

  /** Once a look was missed nobody waits for another one: the timer takes it, and finds the store when it is back. */
  async #lookOrMiss(): Promise<void> {
    let cancel = (): void => {};
    const waited = new Promise<void>((resolve) => {
      cancel = afterMs(LOOK_WAIT_MS, resolve);
    });
    await Promise.race([this.look().catch(() => {}), waited]);
    cancel();
    if (!this.#isFresh(this.#lookedMs)) this.#missedMs = this.#stopwatch.monotonicMs();
  }

  #isFresh(atMs: number): boolean {
    return this.#stopwatch.monotonicMs() - atMs <= MAX_LOOK_AGE_MS;
  }

  /** Looks now, or shares a look that is about to begin. Rejects while the store is away. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Looks a last time, at a stop, and writes down what is seen. A store that is away by then leaves what was seen before. */
  async end(): Promise<void> {
    await this.look().catch(() => {});
    this.#remember();
  }

  #remember(): void {
    const { epoch, head } = this.#remembered;
    if (this.#memory === undefined || (this.#seen.epoch === epoch && this.#seen.head === head)) return;
    this.#rememberedMs = this.#stopwatch.monotonicMs();
    try {
      this.#memory.write(this.#seen);
      this.#remembered = this.#seen;
    } catch {
      this.#log.warn('what was seen of the store could not be written down; look at the disk of the data folder');
    }
  }

  async #look(): Promise<void> {
    const startedMs = this.#stopwatch.monotonicMs();
    // In this order: a restore point puts its fence up in the commit that raises the epoch.
    const state = await this.#invalidations.state(this.#seen.newest);
    const fence = await readFence(this.#store.read);
    this.#doubt = this.#doubtOf(state);
    const trouble = fence?.kind ?? this.#doubt;
    if (trouble === undefined) {
      const { epoch, head, newest } = state;
      if (this.#isStarted && epoch > this.#seen.epoch) await this.#onEpoch();
      this.#seen = { epoch, head, ...(newest && { newest }) };
    }
    this.#tell(trouble);
    this.#trouble = trouble;
    this.#lookedMs = startedMs;
    // Not before the start is through: one that is refused, for a wrong master key perhaps, changes nothing.
    if (trouble !== undefined || !this.#isStarted) return;
    const isDue = startedMs - this.#rememberedMs >= REMEMBER_MS;
    if (isDue || this.#seen.epoch !== this.#remembered.epoch) this.#remember();
  }

  #doubtOf(state: LogState): Doubt | undefined {
    const { epoch, head } = this.#seen;
    if (state.isForeign) return 'copied';
    if (state.epoch > epoch) return undefined;
    // Numbers that grow make a copied store look right one day; what was written until then stands before what verifiers were told.
    if (this.#doubt === 'copied') return 'copied';
    if (state.epoch < epoch || state.head < head || state.landmark === 'missing') return 'behind';
    // An older copy that somebody writes to comes as far in numbers, and sweeps as far. Only the row itself is never in it.
    return state.landmark === 'swept' ? this.#doubt : undefined;
  }

  #tell(trouble: Trouble | undefined): void {
    if (trouble === this.#trouble || !this.#isStarted) return;
    if (trouble === undefined) this.#log.info('the store is good again');
    else if (trouble === 'behind') {
      this.#log.error('the store is an older copy of what it was; nobody is served until a restore point is set');
    } else if (trouble === 'copied') {
      this.#log.error('the store was brought from another server; nobody is served until a restore point is set');
    } else this.#log.error('the store is fenced; nobody is served from it', { fence: trouble });
  }
}
