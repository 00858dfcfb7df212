/** Elapsed time, for durations only: unlike the clock it never jumps, and says nothing of the hour. */
export interface Stopwatch {
  /** Milliseconds since an arbitrary start, with fractions. Never falls. */
  monotonicMs(): number;
}

export const systemStopwatch: Stopwatch = { monotonicMs: () => performance.now() };
