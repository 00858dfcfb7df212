import type { Held } from '../leases/leases.ts';
import type { Keys } from './keys.ts';

/** One step on every node: looks at the table again, since another process may have rotated. */
export async function reloadKeys(keys: Keys): Promise<void> {
  await keys.reload();
}

/** One step on one node: applies what the schedule says is due. */
export async function rotateKeys(keys: Keys, held: Held): Promise<{ changes: number }> {
  return { changes: (await keys.rotate({ writes: held })).length };
}
