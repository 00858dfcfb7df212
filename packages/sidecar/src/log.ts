/** What the operator is told. Never a token, a claim or a secret. */
export interface SidecarLog {
  info(message: string, fields?: Record<string, string | number>): void;
  warn(message: string, fields?: Record<string, string | number>): void;
}

/** Lets one through in so many milliseconds, by a clock that never goes back. */
export class Pace {
  readonly #everyMs: number;
  readonly #monotonicMs: () => number;
  #lastMs: number | undefined;

  constructor(given: { everyMs: number; monotonicMs: () => number }) {
    this.#everyMs = given.everyMs;
    this.#monotonicMs = given.monotonicMs;
  }

  /** Whether it may be done now; then the time runs anew. */
  isDue(): boolean {
    const nowMs = this.#monotonicMs();
    if (this.#lastMs !== undefined && nowMs - this.#lastMs < this.#everyMs) return false;
    this.#lastMs = nowMs;
    return true;
  }
}
