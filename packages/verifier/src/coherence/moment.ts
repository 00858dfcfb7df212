/**
 * A moment by both clocks. Neither can be trusted alone: the wall clock is set, the monotonic one stands still while the machine
 * is suspended.
 */
export interface Moment {
  /** Unix milliseconds. */
  wallMs: number;
  /** Milliseconds of a clock that never goes back, from an arbitrary start. */
  monotonicMs: number;
}

/**
 * How far the two clocks may drift apart within one age. Slewing (500 parts per million) stays far below it; a step of the wall
 * clock or a suspended machine does not.
 */
export const MAX_CLOCK_GAP_MS = 1_000;

/** The larger of the two ages, jump or not: for what need not be as certain as a lease. */
export function elapsedMs(since: Moment, now: Moment): number {
  return Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs);
}

/** The larger of the two ages; `Infinity` where the clocks tell of a jump between then and now. */
export function ageMs(since: Moment, now: Moment): number {
  const byWallMs = now.wallMs - since.wallMs;
  const byMonotonicMs = now.monotonicMs - since.monotonicMs;
  const gapMs = byWallMs - byMonotonicMs;
  if (gapMs > MAX_CLOCK_GAP_MS || gapMs < -MAX_CLOCK_GAP_MS) return Number.POSITIVE_INFINITY;
  return gapMs > 0 ? byWallMs : byMonotonicMs;
}
