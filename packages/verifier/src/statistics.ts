import type { RefusalCode, UnavailableCode } from './errors.ts';

/** One verification in so many is timed: reading the clock twice for each would cost more than what it measures. */
const SAMPLE_EVERY = 16;
/** Newest times kept: the ninety-ninth percentile of them rests on ten. */
const SAMPLES_KEPT = 1_024;

/** Counters since creation. */
export interface VerifierCounts {
  accepted: number;
  refused: Partial<Record<RefusalCode, number>>;
  unavailable: Partial<Record<UnavailableCode, number>>;
  /** Coherent verifications answered from the cache, and those for which the record was asked. */
  hits: number;
  misses: number;
}

/** Milliseconds of the newest verifications, one in sixteen measured; undefined before the first. */
export interface Latency {
  p50Ms: number;
  p99Ms: number;
}

export class Statistics {
  accepted = 0;
  hits = 0;
  misses = 0;
  readonly #refused: Partial<Record<RefusalCode, number>> = {};
  readonly #unavailable: Partial<Record<UnavailableCode, number>> = {};
  readonly #samples = new Float64Array(SAMPLES_KEPT);
  #sampled = 0;
  #turn = 0;

  refused(code: RefusalCode): void {
    this.#refused[code] = (this.#refused[code] ?? 0) + 1;
  }

  unavailable(code: UnavailableCode): void {
    this.#unavailable[code] = (this.#unavailable[code] ?? 0) + 1;
  }

  /** Whether this verification is one to be timed. */
  isSampled(): boolean {
    this.#turn = (this.#turn + 1) % SAMPLE_EVERY;
    return this.#turn === 0;
  }

  took(durationMs: number): void {
    this.#samples[this.#sampled % SAMPLES_KEPT] = durationMs;
    this.#sampled++;
  }

  counts(): VerifierCounts {
    const { accepted, hits, misses } = this;
    return { accepted, refused: { ...this.#refused }, unavailable: { ...this.#unavailable }, hits, misses };
  }

  latency(): Latency | undefined {
    if (this.#sampled === 0) return undefined;
    const sorted = this.#samples.slice(0, Math.min(this.#sampled, SAMPLES_KEPT)).sort();
    const at = (share: number) => sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0;
    return { p50Ms: at(0.5), p99Ms: at(0.99) };
  }
}
