/**
 * How far this node's clock is from the database's, which is the same for all nodes over it.
 *
 *     asked every second → within a second: well → beyond: said in the log → beyond three: not ready
 *
 * Nodes compare moments that others wrote. The narrowest of them is the grace window, in which a client that repeats a refresh gets the
 * same answer again: past it an honest client is taken for a thief, its family ends and an alarm rings.
 */
import type { Clock } from '../world/clock.ts';
import type { Log } from '../world/log.ts';

/** NTP keeps clocks within some milliseconds: what is this far off is kept by nobody. */
export const NOTED_OFFSET_MS = 1_000;
/**
 * Two nodes that are this far off, one ahead and one behind, differ by six seconds. Of the grace window (10 s unless registered otherwise)
 * that leaves four, in which a client's retry comes.
 */
export const MAX_OFFSET_MS = 3_000;
/** An answer that took longer says little about the moment at which it was given. What was known before holds on. */
const MAX_ANSWER_MS = 1_000;

type Agreement = 'agrees' | 'noted' | 'too_far';

export class ClockOffset {
  readonly #databaseNow: () => Promise<number>;
  readonly #clock: Clock;
  readonly #log: Log;
  #agreement: Agreement = 'agrees';
  #looking: Promise<void> | undefined;

  /** `databaseNow`: the database's clock, in Unix milliseconds. */
  constructor(given: { databaseNow: () => Promise<number>; clock: Clock; log: Log }) {
    this.#databaseNow = given.databaseNow;
    this.#clock = given.clock;
    this.#log = given.log;
  }

  /** Whether this node's moments may stand beside those of others. */
  get isSmall(): boolean {
    return this.#agreement !== 'too_far';
  }

  /** Looks now, or shares a look that is under way. Rejects while the store is away. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const beforeMs = this.#clock.now();
    const theirsMs = await this.#databaseNow();
    const afterMs = this.#clock.now();
    // This clock was set meanwhile, or the answer waited: the next look tells.
    if (afterMs < beforeMs || afterMs - beforeMs > MAX_ANSWER_MS) return;
    // Theirs was read at some moment between the two: only what lies outside of them is an offset for certain.
    const offsetMs = Math.min(afterMs - theirsMs, 0) + Math.max(beforeMs - theirsMs, 0);
    this.#tell(agreementOf(Math.abs(offsetMs)), Math.round(offsetMs));
  }

  #tell(agreement: Agreement, aheadMs: number): void {
    if (agreement === this.#agreement) return;
    this.#agreement = agreement;
    if (agreement === 'agrees') this.#log.info("this node's clock agrees with the database's again", { aheadMs });
    else if (agreement === 'noted') {
      this.#log.warn("this node's clock is off the database's; look at its time synchronization", { aheadMs });
    } else {
      this.#log.error("this node's clock is too far off the database's; it is not ready until that is mended", {
        aheadMs,
      });
    }
  }
}

function agreementOf(distanceMs: number): Agreement {
  if (distanceMs > MAX_OFFSET_MS) return 'too_far';
  return distanceMs > NOTED_OFFSET_MS ? 'noted' : 'agrees';
}
