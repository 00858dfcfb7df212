/** A clock that runs with the real one and can be moved ahead of it. It never goes back: dead is final. */
export class SteeredClock {
  #aheadMs = 0;

  /** Unix milliseconds. */
  now(): number {
    return Date.now() + this.#aheadMs;
  }

  /** Milliseconds from an arbitrary start, moved along: a verifier made with this clock sees no jump. */
  monotonicMs(): number {
    return performance.now() + this.#aheadMs;
  }

  advance(ms: number): void {
    if (ms < 0) throw new RangeError('A clock moves forward only');
    this.#aheadMs += ms;
  }
}
