import type { Clock } from '../world/clock.ts';

/** A minute's worth may go at once after a quiet time; no more, or the receiving servers would start to refuse. */
const WINDOW_MS = 60_000;

/**
 * How many mails may leave now, so that over any minute about `perMinute` do. What is over waits in the queue: the limit slows
 * mail for all and refuses it to nobody, so it cannot be used to lock anyone out.
 */
export class SendingRate {
  readonly #perMinute: number;
  readonly #clock: Clock;
  #available: number;
  #countedAtMs: number;

  constructor(given: { perMinute: number; clock: Clock }) {
    this.#perMinute = given.perMinute;
    this.#clock = given.clock;
    this.#available = given.perMinute;
    this.#countedAtMs = given.clock.now();
  }

  available(): number {
    const nowMs = this.#clock.now();
    const passedMs = Math.max(0, nowMs - this.#countedAtMs);
    this.#countedAtMs = nowMs;
    this.#available = Math.min(this.#perMinute, this.#available + (passedMs * this.#perMinute) / WINDOW_MS);
    return Math.floor(this.#available);
  }

  spend(mails: number): void {
    this.#available -= mails;
  }
}
