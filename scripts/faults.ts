/**
 * `npm run faults [-- minutes [part-of-a-name]]`: the stories of test/cluster/ with storms that last as long as is said, five minutes
 * unless said otherwise, one after the other. Each prints the seed that repeats its choices: FAULTS_SEED=… npm run faults.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [minutes = '5', part = ''] = process.argv.slice(2);
const folder = fileURLToPath(new URL('../test/cluster/', import.meta.url));
const files = globSync(`${folder}*.test.ts`).filter((path) => path.slice(folder.length).includes(part));
if (!(Number(minutes) > 0) || files.length === 0) {
  console.error('Usage: npm run faults [-- minutes [part-of-a-name]], e.g. npm run faults -- 2 killed');
  process.exit(2);
}
const env = { ...process.env, FAULTS_SECONDS: String(60 * Number(minutes)) };
const words = ['--test', '--test-concurrency=1', ...files.toSorted()];
process.exitCode = spawnSync(process.execPath, words, { stdio: 'inherit', env }).status ?? 1;
