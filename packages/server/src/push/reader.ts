import type { InvalidationLog } from '../revocation/revocation.ts';
import type { Log } from '../world/log.ts';
import { afterMs, nextTurn } from '../world/turn.ts';
import type { Primary } from './primary.ts';
import { type Delivery, type LogState, MAX_REPLAYED, MAX_ROWS, type Rounds } from './rounds.ts';

/** Between two rounds: two hundred a second at most, whatever arrives, and all that arrives meanwhile shares the next one. */
const ROUND_PAUSE_MS = 5;

interface Arrival {
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * The one reader of the log for a node's streams. Reads never overlap: two that overtook each other would look like an older copy of
 * the store. So whoever arrives does not look at the log himself but waits for this.
 */
export class Reader {
  readonly #invalidations: Pick<InvalidationLog, 'state' | 'reach' | 'read'>;
  readonly #rounds: Rounds;
  readonly #primary: Pick<Primary, 'isConfirmed' | 'hasBeenConfirmed'>;
  readonly #log: Log;
  readonly #deliver: (deliveries: readonly Delivery[]) => void;
  /** Whom the next look at the log is for. Each is a request under way, and of these the listener bounds the number. */
  #arrivals: Arrival[] = [];
  #isReading = false;
  #isAskedAgain = false;
  #hasFailed = false;
  #wasConfirmed = true;
  #wasBehind = false;

  constructor(given: {
    invalidations: Pick<InvalidationLog, 'state' | 'reach' | 'read'>;
    rounds: Rounds;
    primary: Pick<Primary, 'isConfirmed' | 'hasBeenConfirmed'>;
    log: Log;
    /** Writes to streams what a round says. */
    deliver: (deliveries: readonly Delivery[]) => void;
  }) {
    this.#invalidations = given.invalidations;
    this.#rounds = given.rounds;
    this.#primary = given.primary;
    this.#log = given.log;
    this.#deliver = given.deliver;
  }

  /** No read is under way, and none is due. */
  get isAtRest(): boolean {
    return !this.#isReading;
  }

  /** Until it was looked where the log stands, by a look that begins after this call. Rejects where that look failed. */
  arrive(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#arrivals.push({ resolve, reject });
      this.wake();
    });
  }

  /** Reads soon: with everything that arrives in this turn, or after the round under way. Without anybody to tell, not at all. */
  wake(): void {
    this.#isAskedAgain = true;
    if (this.#isReading || !this.#isWanted) return;
    this.#isReading = true;
    nextTurn(() => void this.#read());
  }

  get #isWanted(): boolean {
    return this.#rounds.size > 0 || this.#arrivals.length > 0;
  }

  async #read(): Promise<void> {
    this.#isAskedAgain = false;
    const outcome = await this.#round();
    this.#isReading = false;
    // After a failure the next poll tries again; else whatever came in between is not let wait for that.
    const isMore = outcome === 'more' || (outcome === 'done' && (this.#isAskedAgain || this.#rounds.isOwing));
    if (!this.#isWanted || (!isMore && this.#arrivals.length === 0)) return;
    this.#isReading = true;
    afterMs(ROUND_PAUSE_MS, () => void this.#read());
  }

  /** One round. Never rejects. */
  async #round(): Promise<'done' | 'more' | 'failed'> {
    try {
      const state = await this.#look();
      // Asked only for somebody: it looks at as many rows.
      const reach = this.#rounds.isResuming ? await this.#invalidations.reach(MAX_REPLAYED) : state.head;
      const { round, deliveries } = this.#rounds.begin(state, reach);
      this.#deliver(deliveries);
      if (!round) return 'failed';
      const read = await this.#invalidations.read(round.after, MAX_ROWS, this.#rounds.landmark);
      const isConfirmed = this.#primary.isConfirmed();
      this.#deliver(this.#rounds.end(round, read, { mayEcho: isConfirmed }));
      this.#tellWhetherBehind();
      this.#tellWhetherConfirmed(isConfirmed);
      this.#hasFailed = false;
      if (!isConfirmed) return 'failed';
      return read.isComplete ? 'done' : 'more';
    } catch (error) {
      if (!this.#hasFailed) {
        const cause = error instanceof Error ? error.name : typeof error;
        this.#log.warn('the log of invalidations could not be read; verifiers get no echo until it can', { cause });
      }
      this.#hasFailed = true;
      return 'failed';
    }
  }

  /** Looks where the log stands, for the round to come and for all who arrived before. */
  async #look(): Promise<LogState> {
    const arrivals = this.#arrivals.splice(0);
    try {
      const state = await this.#invalidations.state(this.#rounds.landmark);
      this.#deliver(this.#rounds.observe(state));
      this.#tellWhetherBehind();
      for (const { resolve } of arrivals) resolve();
      return state;
    } catch (error) {
      for (const { reject } of arrivals) reject(error);
      throw error;
    }
  }

  /** Once. The first write is not acknowledged yet when the first round ends. */
  #tellWhetherConfirmed(isConfirmed: boolean): void {
    if (!isConfirmed && this.#wasConfirmed && this.#primary.hasBeenConfirmed) {
      this.#log.error('the store acknowledges no write; verifiers get no echo until it does');
    }
    this.#wasConfirmed = isConfirmed;
  }

  /** Once, also where no stream is open: then every verifier that comes is refused, and somebody has to know why. */
  #tellWhetherBehind(): void {
    const { isBehind } = this.#rounds;
    if (isBehind && !this.#wasBehind) {
      this.#log.error('the store is an older copy of what it was; no verifier is served until its epoch was raised');
    }
    this.#wasBehind = isBehind;
  }
}
