import type { Held } from '../leases/leases.ts';
import type { Grants } from './grants.ts';

/** Rows one step removes: a commit of a few milliseconds, so that sweeping never delays issuing. */
const SWEEP_BATCH = 1_000;

export async function sweepGrants(grants: Grants, held: Held): Promise<{ codes: number; grants: number }> {
  return grants.sweep(SWEEP_BATCH, held);
}

export async function eraseResponses(grants: Grants, held: Held): Promise<{ erased: number }> {
  return grants.eraseOldResponses(SWEEP_BATCH, held);
}
