/**
 * Whether the database that is read is still the one that writes go to. An old primary that nobody switched off answers reads for ever, and
 * what is revoked at its successor never comes. But what is written to it is not acknowledged once its synchronous standby has gone: so a
 * node echoes only while a write of its own was acknowledged a short while ago.
 */
import type { InvalidationLog } from '../revocation/revocation.ts';
import type { Clock } from '../world/clock.ts';
import type { Stopwatch } from '../world/stopwatch.ts';

/** Between two such writes, a commit each: one may be lost, and one be slow. */
export const CONFIRM_MS = 3_000;
/**
 * An echo rests on a write that began no longer ago. So long at most, beyond their bound, verifiers of an old primary take what its
 * successor has revoked. A database that takes no write for as long lets no verifier renew what it knows.
 */
export const MAX_UNCONFIRMED_MS = 10_000;

export class Primary {
  readonly #invalidations: Pick<InvalidationLog, 'hasOtherServers' | 'confirm'>;
  readonly #clock: Clock;
  readonly #stopwatch: Stopwatch;
  readonly #onConfirmed: () => void;
  /** When the last write that was acknowledged began, by both clocks: a machine that is suspended has only one of them move. */
  #confirmed = { wallMs: Number.NEGATIVE_INFINITY, monotonicMs: Number.NEGATIVE_INFINITY };
  #isWriting = false;

  /** `onConfirmed`: a write was acknowledged after there was none for too long. */
  constructor(given: {
    invalidations: Pick<InvalidationLog, 'hasOtherServers' | 'confirm'>;
    clock: Clock;
    stopwatch: Stopwatch;
    onConfirmed: () => void;
  }) {
    this.#invalidations = given.invalidations;
    this.#clock = given.clock;
    this.#stopwatch = given.stopwatch;
    this.#onConfirmed = given.onConfirmed;
  }

  /** Whether an echo may be given now. Begins the next write where one is due. */
  isConfirmed(): boolean {
    if (!this.#invalidations.hasOtherServers) return true;
    const ageMs = this.#ageMs();
    if (ageMs >= CONFIRM_MS && !this.#isWriting) void this.#write();
    return ageMs < MAX_UNCONFIRMED_MS;
  }

  get hasBeenConfirmed(): boolean {
    return Number.isFinite(this.#confirmed.monotonicMs);
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    const began = { wallMs: this.#clock.now(), monotonicMs: this.#stopwatch.monotonicMs() };
    try {
      await this.#invalidations.confirm();
      const wasConfirmed = this.#ageMs() < MAX_UNCONFIRMED_MS;
      this.#confirmed = began;
      if (!wasConfirmed) this.#onConfirmed();
    } catch {
      // Nothing is known by it: the next one may be acknowledged, and until then age tells.
    } finally {
      this.#isWriting = false;
    }
  }

  #ageMs(): number {
    const { wallMs, monotonicMs } = this.#confirmed;
    return Math.max(this.#clock.now() - wallMs, this.#stopwatch.monotonicMs() - monotonicMs);
  }
}
