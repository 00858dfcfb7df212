import type { VerifierClock } from './world.ts';

/**
 * Work that many callers want and that must run rarely: one run at a time, which all callers share, and no other until
 * `pauseMs` after its start; in between everybody gets the last outcome again, be it a failure. A flood of requests thus
 * costs one run a pause, whatever it contains.
 */
export class PacedFlight<T> {
  readonly #work: () => Promise<T>;
  readonly #pauseMs: number;
  readonly #clock: VerifierClock;
  #last: { outcome: Promise<T>; startedAtMs: number; settled: boolean } | undefined;

  constructor(parts: { work: () => Promise<T>; pauseMs: number; clock: VerifierClock }) {
    this.#work = parts.work;
    this.#pauseMs = parts.pauseMs;
    this.#clock = parts.clock;
  }

  run(): Promise<T> {
    const last = this.#last;
    if (last && (!last.settled || this.#isWithinPause(last.startedAtMs))) return last.outcome;
    const flight = { outcome: this.#work(), startedAtMs: this.#clock.monotonicMs(), settled: false };
    const settle = () => {
      flight.settled = true;
    };
    flight.outcome.then(settle, settle);
    this.#last = flight;
    return flight.outcome;
  }

  #isWithinPause(startedAtMs: number): boolean {
    return this.#clock.monotonicMs() - startedAtMs < this.#pauseMs;
  }
}
