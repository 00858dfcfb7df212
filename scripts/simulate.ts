/**
 * `npm run simulate [-- steps [seed]]`: drives verifiers, nodes and failures against the real cores, a million seeded steps unless said
 * otherwise, and prints what happened. A step that breaks the invariant prints its seed; with the seed it happens again.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const [steps = '1000000', seed] = process.argv.slice(2);
const file = fileURLToPath(new URL('../test/simulation/simulation.test.ts', import.meta.url));
const env = { ...process.env, SIMULATION_STEPS: steps, ...(seed !== undefined && { SIMULATION_SEED: seed }) };
process.exitCode = spawnSync(process.execPath, ['--test', file], { stdio: 'inherit', env }).status ?? 1;
