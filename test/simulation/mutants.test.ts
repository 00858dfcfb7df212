/**
 * The simulation sees what it is there for: each fault, put into the real code, breaks the invariant that it must. Whatever changes
 * how often the cores ask for chance changes what a seed does: a fault is then looked for anew, and the seed that is said belongs
 * in the mutant.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCores } from './cores.ts';
import type { Mutant } from './mutant.ts';
import { MUTANTS_OF_NODES } from './mutants-of-nodes.ts';
import { MUTANTS_OF_VERIFIERS } from './mutants-of-verifiers.ts';
import { Failure, simulate } from './simulation.ts';

const STEPS_PER_SEED = 6_000;
/** Most faults show in the first ten seeds; those that need three things to happen within a second take hundreds. */
const MAX_SEEDS = 700;

async function firstFailure(mutant: Mutant): Promise<{ failure: Failure; seed: number } | undefined> {
  const { name, spoilings, reading, seed: knownSeed } = mutant;
  const cores = await loadCores(name, spoilings);
  const seeds = [knownSeed, ...Array.from({ length: MAX_SEEDS }, (_, index) => index + 1)];
  for (const seed of seeds) {
    try {
      await simulate({ seed, steps: STEPS_PER_SEED, cores, ...(reading && { reading }) });
    } catch (error) {
      if (error instanceof Failure) return { failure: error, seed };
      throw error;
    }
  }
  return undefined;
}

for (const mutant of [...MUTANTS_OF_VERIFIERS, ...MUTANTS_OF_NODES]) {
  test(`seen: ${mutant.name}`, async (t) => {
    const found = await firstFailure(mutant);
    assert.ok(found, `${MAX_SEEDS} seeds do not see it`);
    const { invariant, message } = found.failure;
    assert.ok(invariant !== 'error' && mutant.breaks.includes(invariant), `it breaks something else: ${message}`);
    if (found.seed !== mutant.seed) t.diagnostic(`seen by seed ${found.seed}, no longer by ${mutant.seed}`);
  });
}
