import type { Moment } from './moment.ts';

/** After a restart all verifiers of an authority come back within this: wide enough that a thousand of them are one a millisecond. */
const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 10_000;

/** When to connect again: later after each failure, at a random moment, so that an authority that starts meets no herd. */
export class Reconnection {
  readonly #random: () => number;
  #failures = 0;
  #dueMs: number | undefined;

  /** `random`: from 0 up to 1. */
  constructor(random: () => number) {
    this.#random = random;
  }

  get dueMs(): number | undefined {
    return this.#dueMs;
  }

  schedule(now: Moment): void {
    const boundMs = Math.min(FIRST_DELAY_MS * 2 ** this.#failures, MAX_DELAY_MS);
    this.#failures = Math.min(this.#failures + 1, 10);
    this.#dueMs = now.monotonicMs + this.#random() * boundMs;
  }

  isDue(now: Moment): boolean {
    return this.#dueMs !== undefined && now.monotonicMs >= this.#dueMs;
  }

  started(): void {
    this.#dueMs = undefined;
  }

  /** A stream lasted. */
  succeeded(): void {
    this.#failures = 0;
  }
}
