import type { Held } from '../leases/leases.ts';
import type { Sessions } from './sessions.ts';

/** Rows of one step: a step holds the one writer, and must stay in the low milliseconds. */
const SWEEP_BATCH = 500;

/** One step of sweeping. */
export async function sweepSessions(sessions: Sessions, held: Held): Promise<{ removed: number }> {
  return sessions.sweep(SWEEP_BATCH, held);
}
