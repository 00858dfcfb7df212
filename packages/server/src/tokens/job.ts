import type { Held } from '../leases/leases.ts';
import type { Tokens } from './tokens.ts';

/** Rows one step removes: a commit of a few milliseconds, so that sweeping never delays issuing. */
const SWEEP_BATCH = 1_000;

export async function sweepTokens(tokens: Tokens, held: Held): Promise<{ deleted: number }> {
  return tokens.sweep(SWEEP_BATCH, held);
}
