import type { ClockOffset } from './clock-offset.ts';
import type { Standing } from './standing.ts';

/** One look at the store. */
export function lookAtStore(standing: Standing): Promise<void> {
  return standing.look();
}

/** One look at the clocks. */
export function lookAtClock(offset: ClockOffset): Promise<void> {
  return offset.look();
}
