import type { VerifierClock } from '../world.ts';

/** Clocks that run with the machine's and can each be set: a step of the wall clock, a suspended machine, time that passed. */
export class RunningClock implements VerifierClock {
  wallAheadMs = 0;
  monotonicAheadMs = 0;
  now = (): number => Date.now() + this.wallAheadMs;
  monotonicMs = (): number => performance.now() + this.monotonicAheadMs;

  /** Time passes, by both clocks. */
  pass(ms: number): void {
    this.wallAheadMs += ms;
    this.monotonicAheadMs += ms;
  }
}
