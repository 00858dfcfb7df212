/** The simulation sees what it is there for: each fault, put into the real code, breaks the invariant that it must. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCores } from './cores.ts';
import type { Mutant } from './mutant.ts';
import { MUTANTS_OF_NODES } from './mutants-of-nodes.ts';
import { MUTANTS_OF_VERIFIERS } from './mutants-of-verifiers.ts';
import { Failure, simulate } from './simulation.ts';

const STEPS_PER_SEED = 6_000;
/** Most faults show in the first seeds; those that need three things to happen within a second take hundreds: then the first is looked for anew, and its number
 * belongs in the mutant. */
const MAX_SEEDS = 700;

async function firstFailure({ name, spoilings, reading, seed: knownSeed }: Mutant): Promise<Failure | undefined> {
  const cores = await loadCores(name, spoilings);
  const seeds = [knownSeed, ...Array.from({ length: MAX_SEEDS }, (_, index) => index + 1)];
  for (const seed of seeds) {
    try {
      await simulate({ seed, steps: STEPS_PER_SEED, cores, ...(reading && { reading }) });
    } catch (error) {
      if (error instanceof Failure) return error;
      throw error;
    }
  }
  return undefined;
}

for (const mutant of [...MUTANTS_OF_VERIFIERS, ...MUTANTS_OF_NODES]) {
  test(`seen: ${mutant.name}`, async () => {
    const failure = await firstFailure(mutant);
    assert.ok(failure, `${MAX_SEEDS} seeds do not see it`);
    const { invariant, message } = failure;
    assert.ok(invariant !== 'error' && mutant.breaks.includes(invariant), `it breaks something else: ${message}`);
  });
}
