import type { Standing } from './standing.ts';

/** One look at the store. */
export function lookAtStore(standing: Standing): Promise<void> {
  return standing.look();
}
