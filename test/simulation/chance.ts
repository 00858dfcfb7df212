/** Everything random in the simulation: one number decides all of it, so a run can be repeated exactly. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to 1. Mulberry32: 32 bits of state, no worse than needed to choose among a few things. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  is(probability: number): boolean {
    return this.next() < probability;
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** Mostly small, now and then much more: the way delays are. */
  delayMs(typicalMs: number): number {
    return -Math.log(1 - this.next()) * typicalMs;
  }

  pick<Item>(items: readonly Item[]): Item | undefined {
    return items[Math.floor(this.next() * items.length)];
  }

  /** As `pick`, and the later an item stands the likelier it is. */
  pickLate<Item>(items: readonly Item[]): Item | undefined {
    return items[items.length - 1 - Math.floor(this.next() ** 2 * items.length)];
  }
}
