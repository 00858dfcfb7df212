import type { Grants } from './grants.ts';

/** Rows one step removes: a commit of a few milliseconds, so that sweeping never delays issuing. */
const SWEEP_BATCH = 500;

export async function sweepGrants(grants: Grants): Promise<{ codes: number; grants: number }> {
  return grants.sweep(SWEEP_BATCH);
}
