/**
 * `npm test [-- part-of-a-path …]`: finds the tests, says what this machine lacks for them, runs them side by side, and names
 * the slowest files. Exits 1 if a test failed or none was found.
 *
 * Files that open a store, or start the server as a process, run twice: on SQLite, and on PostgreSQL. That is the server that
 * `TEST_DATABASE_URL` names, else one of the run's own where its programs are installed, else the one that answers on this machine. A file
 * that is about SQLite itself, or mocks what the driver needs, says so in a line `// Only on SQLite: why`; one that is about the way
 * between engines, or has servers of its own, in a line `// Once: why`.
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { dropScratchDatabases } from '../packages/server/src/store/store.ts';
import { CHROMIUM } from '../test/browser/chromium.ts';
import { PrivatePostgres } from '../test/cluster/private-postgres.ts';
import { FAKETIME_LIBRARY } from '../test/coherence/faketime.ts';
import { NGINX } from '../test/scenarios/nginx.ts';
import { POSTGRES_PROGRAMS } from '../test/scenarios/postgres-cluster.ts';

/** What a run of all tests may take on two cores, on both engines and with the processes that are killed. Past it, people stop running them. */
const BUDGET_MS = 10 * 60_000;
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
  {
    what: 'the programs of PostgreSQL',
    present: () => POSTGRES_PROGRAMS !== undefined,
    without: 'no database server is backed up and put back (apt-get install postgresql)',
  },
  {
    what: 'PostgreSQL',
    present: () => hasDatabase,
    without: 'the store is tested on SQLite only (apt-get install postgresql, or name a server by TEST_DATABASE_URL)',
  },
  {
    what: 'NATS',
    present: () => hasBus,
    without: 'nodes do not wake each other over it (start one on 127.0.0.1:4222, or name one by TEST_NATS_URL)',
  },
];

/** Files that can do nothing without some of these say so: `// Needs PostgreSQL and NATS: why`. Others skip what they cannot test. */
const NEEDED = /^\/\/ Needs (.+?): \S/m;

/** How a test opens a store of the engine that the run asks for, or starts a server: by one of these, or by what is made of them. */
const OPENS_STORE =
  /\b(?:startTestServer|openTestStore|openStore|openAuthority|openScene|Installation\.\w+)\(|from '\.\/testing\/setup\.ts'/;
/** Those of them that say that they run once, and why. */
const RUNS_ONCE = /^\/\/ (?:Only on SQLite|Once): (\S.*)$/m;
/** Whose tests are of the store through its contract, and so of both engines. */
const ON_BOTH_ENGINES = /^(?:packages\/server\/src|test\/(?:scenarios|attacks|conformance|leaks))\//;
/** Where PostgreSQL is looked for when neither a server is named nor its programs are here. */
const LOCAL_DATABASE_URL = 'postgres://postgres@127.0.0.1:5432/postgres';
/** Where NATS is looked for. */
const BUS_URL = process.env.TEST_NATS_URL ?? 'nats://127.0.0.1:4222';
/**
 * Of a server that ends with the run. The nodes ask it for durability as they do in production, but it does not wait for the disk: no test
 * takes its power away (those that do so start their own, test/cluster/private-postgres.ts), and the run takes half of the time.
 */
const NOTHING_TO_KEEP = [
  'fsync = off',
  'full_page_writes = off',
  // Every file that runs at the same time opens some stores of eight connections each.
  'max_connections = 400',
  // A checkpoint at the pace of a server that runs for days would only write what is thrown away.
  "checkpoint_timeout = '1h'",
  "max_wal_size = '4GB'",
];

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const givenDatabaseUrl =
  process.env.TEST_DATABASE_URL ?? (POSTGRES_PROGRAMS === undefined ? LOCAL_DATABASE_URL : undefined);
const hasDatabase = givenDatabaseUrl === undefined || (await answers(givenDatabaseUrl, 5432));
const hasBus = await answers(BUS_URL, 4222);

const wanted = process.argv.slice(2);
const found = globSync(['packages/*/src/**/*.test.ts', 'test/**/*.test.ts', 'examples/*/src/**/*.test.ts'])
  .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
  .sort();
if (found.length === 0) {
  console.error(`No test file matches ${wanted.join(', ')}. Give a part of a path, e.g. npm test -- keys/rotation`);
  process.exit(1);
}
const missing = NEEDS.filter((need) => !need.present());
for (const need of missing) console.log(`missing: ${need.what}; ${need.without}`);
const files = found.filter((path) => {
  const needed = NEEDED.exec(readFileSync(path, 'utf8'))?.[1]?.split(' and ') ?? [];
  const isMissed = missing.some(({ what }) => needed.includes(what));
  if (isMissed) console.log(`left out: ${path} needs ${needed.join(' and ')}`);
  return !isMissed;
});
if (missing.length > 0 && process.env.CI === 'true') {
  console.error('In CI nothing may be missing: a skipped test shows nothing. Install it in .ci/run.');
  process.exit(1);
}

// Children of tests, too, resolve the packages of this repository to their sources.
const condition = '--conditions=countersign-source';
if (!process.env.NODE_OPTIONS?.includes(condition)) {
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} ${condition}`.trim();
}

// Every file is a process of its own, and a third of what a short one takes is reading the same sources again.
process.env.NODE_COMPILE_CACHE ??= join(root, 'node_modules/.cache/countersign-tests');

// Names the databases of this run, so that its end can drop what its tests left.
process.env.COUNTERSIGN_TEST_RUN = `r${Date.now().toString(36)}`;

const ownServer =
  givenDatabaseUrl === undefined ? await PrivatePostgres.make({ settings: NOTHING_TO_KEEP }) : undefined;
if (ownServer) process.env.TEST_DATABASE_URL = ownServer.urlOf('postgres');

process.exitCode = 1; // until the runner says otherwise: a run that breaks off is not a good one
const times: { file: string; ms: number }[] = [];
const startedMs = performance.now();
const passed = [await runOn('sqlite', files)];
if (hasDatabase) {
  const onBoth = files.filter((path) => {
    const text = readFileSync(path, 'utf8');
    if (!ON_BOTH_ENGINES.test(path) || !OPENS_STORE.test(text)) return false;
    const why = RUNS_ONCE.exec(text)?.[1];
    if (why !== undefined) console.log(`once only: ${path}: ${why}`);
    return why === undefined;
  });
  console.log(`\n${onBoth.length} of these files again, on PostgreSQL:`);
  passed.push(await runOn('postgres', onBoth));
}
if (ownServer) await ownServer.drop();
else if (givenDatabaseUrl !== undefined && hasDatabase) {
  await dropScratchDatabases({ url: givenDatabaseUrl, run: process.env.COUNTERSIGN_TEST_RUN });
}
finish(passed.every(Boolean), performance.now() - startedMs);

function runOn(engine: 'sqlite' | 'postgres', paths: string[]): Promise<boolean> {
  if (paths.length === 0) return Promise.resolve(true);
  process.env.COUNTERSIGN_TEST_ENGINE = engine;
  const startedMs = performance.now();
  const suffix = engine === 'postgres' ? ' (PostgreSQL)' : '';
  return new Promise((resolve) => {
    const results = run({ files: paths, concurrency: availableParallelism(), timeout: TIMEOUT_MS });
    results.on('test:summary', ({ file, duration_ms: ms, success }) => {
      if (file !== undefined) times.push({ file: relative(root, file) + suffix, ms });
      else {
        console.log(`${paths.length} files on ${engine} in ${seconds(performance.now() - startedMs)}`);
        resolve(success);
      }
    });
    results.compose(spec).pipe(process.stdout, { end: false });
  });
}

function answers(url: string, defaultPort: number): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port || defaultPort), timeout: 2_000 });
    const end = (isThere: boolean) => {
      socket.destroy();
      resolve(isThere);
    };
    socket
      .on('connect', () => end(true))
      .on('error', () => end(false))
      .on('timeout', () => end(false));
  });
}

function finish(success: boolean, totalMs: number): void {
  process.exitCode = success ? 0 : 1;
  process.on('exit', () => {
    const slowest = times.sort((a, b) => b.ms - a.ms).slice(0, SLOWEST_SHOWN);
    for (const { file, ms } of slowest) console.log(`${seconds(ms).padStart(8)}  ${file}`);
    const over = totalMs > BUDGET_MS ? `, over the budget of ${seconds(BUDGET_MS)}` : '';
    console.log(`${times.length} files in ${seconds(totalMs)}${over}; ${success ? 'all good' : 'NOT good'}`);
  });
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
