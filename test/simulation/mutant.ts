import type { Spoiling } from './cores.ts';
import type { Invariant } from './oracle.ts';
import type { Reading } from './store.ts';

/** A fault: one place of a core spoiled, or the log read in a wrong way. */
export interface Mutant {
  name: string;
  spoilings: readonly Spoiling[];
  reading?: Reading;
  /** Of these invariants one must break. */
  breaks: readonly Invariant[];
  /** One that shows it, tried first: only to save time. */
  seed: number;
}

export const COHERENCE = 'packages/verifier/src/coherence/coherence.ts';
export const SEEN = 'packages/server/src/push/seen.ts';
export const KNOWN_LOG = 'packages/server/src/push/known-log.ts';
export const ROUNDS = 'packages/server/src/push/rounds.ts';

export function spoil(file: string, from: string, to: string): Spoiling {
  return { file, from, to };
}

/** No fault: so few rows that this limit is met all the time. */
export const FEW_ROWS = spoil(ROUNDS, 'MAX_ROWS = 10_000', 'MAX_ROWS = 4');
