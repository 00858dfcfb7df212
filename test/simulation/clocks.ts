/**
 * The two clocks of one machine, as functions of true time. The wall clock runs on while the machine is suspended and is set now
 * and then; the monotonic clock does neither. Both run a little fast or slow.
 */
export class Clocks {
  readonly #rate: { wall: number; monotonic: number };
  #offsetMs: number;
  readonly #suspensions: { fromMs: number; toMs: number }[] = [];
  readonly #setBack: { atMs: number; byMs: number }[] = [];

  constructor(given: { wallRate: number; monotonicRate: number; offsetMs: number }) {
    this.#rate = { wall: given.wallRate, monotonic: given.monotonicRate };
    this.#offsetMs = given.offsetMs;
  }

  now(trueMs: number): { wallMs: number; monotonicMs: number } {
    const awakeMs = trueMs - this.suspendedMs(0, trueMs);
    return {
      wallMs: EPOCH_MS + trueMs * this.#rate.wall + this.#offsetMs,
      monotonicMs: awakeMs * this.#rate.monotonic,
    };
  }

  suspend(fromMs: number, toMs: number): void {
    this.#suspensions.push({ fromMs, toMs });
  }

  setWall(atMs: number, byMs: number): void {
    this.#offsetMs += byMs;
    if (byMs < 0) this.#setBack.push({ atMs, byMs: -byMs });
  }

  suspendedMs(sinceMs: number, untilMs: number): number {
    let sum = 0;
    for (const { fromMs, toMs } of this.#suspensions) {
      sum += Math.max(Math.min(toMs, untilMs) - Math.max(fromMs, sinceMs), 0);
    }
    return sum;
  }

  /**
   * What both clocks together may hide of the time between: neither alone can, the larger age counts. A suspended machine whose
   * wall clock is also set back by as much cannot know.
   */
  hiddenMs(sinceMs: number, untilMs: number, marginMs: number): number {
    const isSince = ({ atMs }: { atMs: number }) => atMs >= sinceMs - marginMs && atMs <= untilMs;
    const setBackMs = this.#setBack.filter(isSince).reduce((sum, { byMs }) => sum + byMs, 0);
    return Math.min(this.suspendedMs(sinceMs, untilMs), setBackMs);
  }

  /** What the wall clock lacks of true time; negative where it is ahead. */
  wrongMs(trueMs: number): number {
    return EPOCH_MS + trueMs - this.now(trueMs).wallMs;
  }
}

/** Unix milliseconds of true time zero. */
export const EPOCH_MS = 1_800_000_000_000;
/** Clocks run wrong by this share at most: 500 parts per million, what slewing does. */
export const MAX_DRIFT = 0.0005;
