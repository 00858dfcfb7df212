import type { Keys } from './keys.ts';

/** One step: looks at the table again (another process may have rotated) and applies what the schedule says is due. */
export async function rotateKeys(keys: Keys): Promise<{ changes: number }> {
  await keys.reload();
  return { changes: (await keys.rotate()).length };
}
