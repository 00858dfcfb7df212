import type { VerifierClock } from './world.ts';

/**
 * Work that many callers want and that must run rarely: one run at a time, which all callers share, and no other until
 * `pauseMs` after its start, or `failurePauseMs` where it failed; in between everybody gets the last outcome again, be it a
 * failure. A flood of requests thus costs one run a pause, whatever it contains.
 */
export class PacedFlight<T> {
  readonly #work: () => Promise<T>;
  readonly #pauseMs: number;
  readonly #failurePauseMs: number;
  readonly #clock: VerifierClock;
  #last: Run<T> | undefined;

  /** `failurePauseMs`: default `pauseMs`. */
  constructor(parts: { work: () => Promise<T>; pauseMs: number; failurePauseMs?: number; clock: VerifierClock }) {
    this.#work = parts.work;
    this.#pauseMs = parts.pauseMs;
    this.#failurePauseMs = parts.failurePauseMs ?? parts.pauseMs;
    this.#clock = parts.clock;
  }

  run(): Promise<T> {
    const last = this.#last;
    return last && this.#isWithinPause(last) ? last.outcome : this.#start();
  }

  /** Runs whatever the pause, unless a run is under way: then that one counts. */
  runNow(): Promise<T> {
    return this.#last?.state === 'running' ? this.#last.outcome : this.#start();
  }

  #start(): Promise<T> {
    const run: Run<T> = { outcome: this.#work(), startedAtMs: this.#clock.monotonicMs(), state: 'running' };
    run.outcome.then(
      () => {
        run.state = 'done';
      },
      () => {
        run.state = 'failed';
      },
    );
    this.#last = run;
    return run.outcome;
  }

  #isWithinPause({ state, startedAtMs }: Run<T>): boolean {
    if (state === 'running') return true;
    const pauseMs = state === 'failed' ? this.#failurePauseMs : this.#pauseMs;
    return this.#clock.monotonicMs() - startedAtMs < pauseMs;
  }
}

interface Run<T> {
  readonly outcome: Promise<T>;
  readonly startedAtMs: number;
  state: 'running' | 'done' | 'failed';
}
