/**
 * `npm test [-- part-of-a-path …]`: finds the tests, says what this machine lacks for them, runs them side by side, and names
 * the slowest files. Exits 1 if a test failed or none was found.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { CHROMIUM } from '../test/browser/chromium.ts';
import { FAKETIME_LIBRARY } from '../test/coherence/faketime.ts';
import { NGINX } from '../test/scenarios/nginx.ts';

/** What a run of all tests may take on two cores. Past it, people stop running them. */
const BUDGET_MS = 5 * 60_000;
/** No single test and no file needs half of this; what does hangs, and shall fail by name. */
const TIMEOUT_MS = 2 * 60_000;
const SLOWEST_SHOWN = 5;

/** What tests need of the machine. Tests that lack theirs skip with a reason of their own; here it is said once, up front. */
const NEEDS = [
  {
    what: 'openssl',
    present: () => spawnSync('openssl', ['version']).status === 0,
    without: 'certificates are not checked by a second implementation',
  },
  {
    what: 'Chromium',
    present: () => CHROMIUM !== undefined,
    without: 'the pages are not tested in a real browser (apt-get install chromium)',
  },
  {
    what: 'faketime',
    present: () => FAKETIME_LIBRARY !== undefined,
    without: 'no wall clock jumps under a running resource server (apt-get install faketime)',
  },
  {
    what: 'nginx',
    present: () => NGINX !== undefined,
    without: 'forward-auth is not tested with a real proxy (apt-get install nginx)',
  },
];

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const wanted = process.argv.slice(2);
const files = globSync(['packages/*/src/**/*.test.ts', 'test/**/*.test.ts', 'examples/*/src/**/*.test.ts'])
  .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`No test file matches ${wanted.join(', ')}. Give a part of a path, e.g. npm test -- keys/rotation`);
  process.exit(1);
}
const missing = NEEDS.filter((need) => !need.present());
for (const need of missing) console.log(`missing: ${need.what}; ${need.without}`);
if (missing.length > 0 && process.env.CI === 'true') {
  console.error('In CI nothing may be missing: a skipped test shows nothing. Install it in .ci/run.');
  process.exit(1);
}

// Children of tests, too, resolve the packages of this repository to their sources.
const condition = '--conditions=countersign-source';
if (!process.env.NODE_OPTIONS?.includes(condition)) {
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} ${condition}`.trim();
}

process.exitCode = 1; // until the runner says otherwise: a run that breaks off is not a good one
const times: { file: string; ms: number }[] = [];
const results = run({ files, concurrency: availableParallelism(), timeout: TIMEOUT_MS });
results.on('test:summary', ({ file, duration_ms: ms, success }) => {
  if (file !== undefined) times.push({ file: relative(root, file), ms });
  else finish(success, ms);
});
results.compose(spec).pipe(process.stdout);

function finish(success: boolean, totalMs: number): void {
  process.exitCode = success ? 0 : 1;
  process.on('exit', () => {
    const slowest = times.sort((a, b) => b.ms - a.ms).slice(0, SLOWEST_SHOWN);
    for (const { file, ms } of slowest) console.log(`${seconds(ms).padStart(8)}  ${file}`);
    const over = totalMs > BUDGET_MS ? `, over the budget of ${seconds(BUDGET_MS)}` : '';
    console.log(`${files.length} files in ${seconds(totalMs)}${over}; ${success ? 'all good' : 'NOT good'}`);
  });
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
