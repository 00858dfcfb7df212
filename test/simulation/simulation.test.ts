/**
 * The coherent verifier under everything that can go wrong at once, from seeds. More of it:
 *
 *     SIMULATION_STEPS=1000000 node --test test/simulation/simulation.test.ts       so many steps, over as many seeds as that takes
 *     SIMULATION_SEED=7 node --test test/simulation/simulation.test.ts              this seed, as a failure names it
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cores, loadCores } from './cores.ts';
import { FEW_ROWS } from './mutant.ts';
import { type Outcome, simulate } from './simulation.ts';

/** Of one seed, before everything heals; it is a minute of simulated time or more. */
const STEPS_PER_SEED = 6_000;
const STEPS = Number(process.env.SIMULATION_STEPS ?? 300_000);
const SEED = process.env.SIMULATION_SEED;

async function simulateSeeds(cores: Cores, atLeast: number): Promise<{ seeds: number; sums: Record<string, number> }> {
  const sums: Record<string, number> = { steps: 0 };
  let seeds = 0;
  for (let seed = Number(SEED ?? 1); (sums.steps ?? 0) < atLeast; seed++) {
    add(sums, await simulate({ seed, steps: STEPS_PER_SEED, cores }));
    seeds++;
    if (SEED !== undefined) break;
  }
  return { seeds, sums };
}

function add(sums: Record<string, number>, outcome: Outcome): void {
  for (const [name, value] of Object.entries(outcome)) {
    if (typeof value === 'number') sums[name] = Math.round((sums[name] ?? 0) + value);
  }
}

test('EB-08 EB-09 nothing dead is accepted past the bound and nothing live is refused, whatever happens', async (t) => {
  const { seeds, sums } = await simulateSeeds(await loadCores('as it is', []), STEPS);
  t.diagnostic(`${seeds} seeds: ${JSON.stringify(sums)}`);
  if (SEED !== undefined) return;
  // A world in which little happens would show nothing.
  for (const [what, least] of Object.entries({
    hits: 10_000,
    revocations: 1_000,
    resumed: 20,
    notResumed: 20,
    shownOlder: 5,
  })) {
    assert.ok((sums[what] ?? 0) >= least, `${what}: ${sums[what]}, fewer than ${least}`);
  }
});

test('the same holds where nodes replay a few rows only', async () => {
  await simulateSeeds(await loadCores('few rows', [FEW_ROWS]), STEPS / 4);
});

test('a seed makes the same steps each time', async () => {
  const cores = await loadCores('as it is', []);
  const course = { seed: Number(SEED ?? 3), steps: 2_000, cores };
  assert.deepEqual(await simulate(course), await simulate(course));
});
