import type { Introspection } from './introspection.ts';

/** Adds what was seen and not looked at to the alarms behind which it counts. */
export async function countEvidence(introspection: Introspection): Promise<{ counted: number }> {
  return introspection.countEvidence();
}
