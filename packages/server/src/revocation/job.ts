import type { Held } from '../leases/leases.ts';
import type { Revocation } from './revocation.ts';

/** Rows one step removes: a commit of a few milliseconds, so that sweeping never delays issuing. */
const SWEEP_BATCH = 1_000;

export async function sweepInvalidations(revocation: Revocation, held: Held): Promise<{ deleted: number }> {
  return revocation.sweep(SWEEP_BATCH, held);
}
