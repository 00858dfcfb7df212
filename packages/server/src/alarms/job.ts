import type { Held } from '../leases/leases.ts';
import type { Alarms } from './alarms.ts';

/** Lines one step writes; what is more waits a moment, so that a flood of alarms does not hold up requests. */
const ALARMS_PER_STEP = 100;

export async function tellAlarms(alarms: Alarms, held: Held): Promise<{ told: number }> {
  return alarms.step(ALARMS_PER_STEP, held);
}
