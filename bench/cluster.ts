/**
 * `npm run bench:cluster`: Countersign on PostgreSQL, each part with the goal it is held against. Give names of parts to run only
 * these, and `--long` to soak for five minutes. A goal that is missed is printed as missed; only a run that breaks ends with an error.
 *
 * node bench/cluster.ts [store] [nodes] [check] [soak] [wake-ups] [--long] [--picture FILE.svg]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { benchCheck } from './cluster-check.ts';
import { benchNodes } from './cluster-nodes.ts';
import { BenchPostgres, program, run } from './cluster-postgres.ts';
import { benchSoak } from './cluster-soak.ts';
import { benchClusterStore } from './cluster-store.ts';

const LONG_SOAK_SECONDS = 300;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { long: { type: 'boolean', default: false }, picture: { type: 'string' } },
});
const soak = { pictureFile: options.picture, ...(options.long && { seconds: LONG_SOAK_SECONDS }) };

const PARTS = [
  {
    name: 'store',
    title: 'Store: an act of each kind, beside the bare statement through pgbench',
    run: benchClusterStore,
  },
  { name: 'nodes', title: 'End to end: one, two and three nodes', run: benchNodes },
  { name: 'check', title: 'A check, by how many live tokens there are', run: benchCheck },
  { name: 'soak', title: 'Sweeping under a thousand new tokens a second', run: () => benchSoak(soak) },
  { name: 'wake-ups', title: 'What waking the other nodes costs the write path', run: benchWakeUps },
] as const;

const strange = positionals.find((name) => !PARTS.some((part) => part.name === name));
if (strange !== undefined) {
  throw new Error(`There is no part ${strange}. There are: ${PARTS.map(({ name }) => name).join(', ')}.`);
}
// Interrupted, it still runs what ends PostgreSQL and removes its folder.
process.once('SIGINT', () => process.exit(130));

console.log(
  `${availableParallelism()} cores, Node ${process.version}, ${run([program('postgres'), '--version'], {}).trim()}.`,
);
console.log('Nodes, load generators and PostgreSQL share the cores: ratios say more than numbers here.');

const missed: string[] = [];
for (const { name, title, run: bench } of PARTS) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  console.log(`\n## ${title}\n`);
  const { goalMet } = await bench();
  if (!goalMet) missed.push(title);
}
console.log(missed.length > 0 ? '\nGoals missed:' : '\nAll goals met.');
for (const title of missed) console.log(`- ${title}`);

/** A program of its own; there is no goal. */
async function benchWakeUps(): Promise<{ goalMet: boolean }> {
  const postgres = await BenchPostgres.start();
  try {
    const file = fileURLToPath(new URL('./wake-ups.ts', import.meta.url));
    const child = spawn(process.execPath, ['--conditions=countersign-source', file], {
      stdio: 'inherit',
      env: { ...process.env, TEST_DATABASE_URL: postgres.url },
    });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`wake-ups.ts ended with ${code}.`);
    return { goalMet: true };
  } finally {
    await postgres.stop();
  }
}
