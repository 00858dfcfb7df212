import type { VerifierClock } from '../world.ts';

/**
 * Most used proofs remembered. At about ninety bytes each (measured) that is 36 MB when full, and full it is only above 2,200 proofs a
 * second kept up through two generations: about a quarter of what one processor can verify at all.
 */
export const MAX_PROOFS = 400_000;

/** Most of one key, so that one client cannot take the room of all others: a quarter. Enough for 550 requests a second. */
export const MAX_PROOFS_PER_KEY = 100_000;

/** What a memory of used proofs says of one. */
export type ReplayAnswer = 'new' | 'seen' | 'full';

interface Generation {
  keys: Set<string>;
  /** Proofs by the thumbprint of their key. */
  counts: Map<string, number>;
}

/**
 * Used proofs, in this process's memory, for `ttlMs` at least and twice that at most: two generations that take turns by the
 * monotonic clock, so that nothing has to be done for a single entry. Full, it forgets nothing and takes nothing in: what it
 * forgot could be replayed.
 */
export class ReplayCache {
  readonly #clock: VerifierClock;
  readonly #ttlMs: number;
  readonly #maxProofs: number;
  readonly #maxProofsPerKey: number;
  #current = newGeneration();
  #previous = newGeneration();
  #turnedAtMs: number;

  constructor(parts: { clock: VerifierClock; ttlMs: number; maxProofs?: number; maxProofsPerKey?: number }) {
    const { clock, ttlMs, maxProofs = MAX_PROOFS, maxProofsPerKey = MAX_PROOFS_PER_KEY } = parts;
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#maxProofs = maxProofs;
    this.#maxProofsPerKey = maxProofsPerKey;
    this.#turnedAtMs = clock.monotonicMs();
  }

  /** Remembers the proof `key` of the key `jkt`, in one step. */
  add(key: string, jkt: string): ReplayAnswer {
    this.#turn();
    const current = this.#current;
    const previous = this.#previous;
    if (current.keys.has(key) || previous.keys.has(key)) return 'seen';
    const count = current.counts.get(jkt) ?? 0;
    if (count + (previous.counts.get(jkt) ?? 0) >= this.#maxProofsPerKey) return 'full';
    if (current.keys.size + previous.keys.size >= this.#maxProofs) return 'full';
    current.keys.add(key);
    current.counts.set(jkt, count + 1);
    return 'new';
  }

  #turn(): void {
    const nowMs = this.#clock.monotonicMs();
    const ageMs = nowMs - this.#turnedAtMs;
    if (ageMs < this.#ttlMs) return;
    this.#previous = ageMs < 2 * this.#ttlMs ? this.#current : newGeneration();
    this.#current = newGeneration();
    this.#turnedAtMs = nowMs;
  }
}

function newGeneration(): Generation {
  return { keys: new Set(), counts: new Map() };
}
