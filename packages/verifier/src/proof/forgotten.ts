/** Times of use are kept in steps as long as this: a handful of numbers instead of one for each proof. */
export const FORGETTING_STEP_MS = 10_000;

/**
 * The newest proof that the memory of used proofs may have forgotten. Wherever the wall clock runs on, such a proof is long too
 * old to be used again. Where it is set back, the proof would be timely again; so nothing as old as this is accepted then, until the
 * clock has caught up. What counts is the monotonic clock, by which the memory forgets.
 */
export class Forgotten {
  readonly #ttlMs: number;
  readonly #steps: { beganAtMs: number; newestSeconds: number }[] = [];
  #newestSeconds = Number.NEGATIVE_INFINITY;

  /** `ttlMs`: how long the memory keeps each proof at least. */
  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs;
  }

  /** A proof made at `iatSeconds` is about to be remembered. Call it before, so that no entry lives shorter than its step. */
  note(iatSeconds: number, monotonicMs: number): void {
    const step = this.#steps.at(-1);
    if (!step || monotonicMs - step.beganAtMs >= FORGETTING_STEP_MS) {
      this.#steps.push({ beganAtMs: monotonicMs, newestSeconds: iatSeconds });
    } else if (iatSeconds > step.newestSeconds) {
      step.newestSeconds = iatSeconds;
    }
  }

  /** Whether a proof made at `iatSeconds` may have been used and forgotten. */
  mayHold(iatSeconds: number, monotonicMs: number): boolean {
    for (let step = this.#steps[0]; step && monotonicMs - step.beganAtMs >= this.#ttlMs; step = this.#steps[0]) {
      this.#newestSeconds = Math.max(this.#newestSeconds, step.newestSeconds);
      this.#steps.shift();
    }
    return iatSeconds <= this.#newestSeconds;
  }
}
