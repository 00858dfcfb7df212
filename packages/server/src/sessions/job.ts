import type { Store } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import { removeOver } from './table.ts';

/** Sessions that are over stay for a week, so that events that name them can still be looked up. */
const KEPT_AFTER_END_MS = 7 * 86_400_000;
/** Rows of one step: a step holds the one writer, and must stay in the low milliseconds. */
const SWEEP_BATCH = 500;

/** One step of sweeping. */
export async function sweepSessions(given: { store: Store; clock: Clock }): Promise<{ removed: number }> {
  const beforeMs = given.clock.now() - KEPT_AFTER_END_MS;
  const removed = await given.store.write((tx) => removeOver(tx, { beforeMs, limit: SWEEP_BATCH }));
  return { removed };
}
