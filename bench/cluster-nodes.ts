/**
 * End to end: one, two and three nodes as `countersign start` runs them, over one PostgreSQL, asked over TLS: client_credentials and
 * refresh. Everything shares the machine's cores, the load generators and the database among it, so that more nodes are quicker only
 * as far as cores are left: the table says how many there were.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { localCertificate, systemClock, systemRandom } from '../packages/server/src/index.ts';
import { Child, type ServerFacts } from './child.ts';
import { type BenchAuthority, inParallel, openBenchAuthority } from './cluster-authority.ts';
import { BenchPostgres, freePort } from './cluster-postgres.ts';
import type { LoadOrder } from './load-process.ts';
import { startOptions } from './start-options.ts';
import { median, printTable } from './table.ts';

const MOST_NODES = 3;
const ROUNDS = 2;
const WARM_UP_MS = 1_000;
const MEASURED_MS = 3_000;
/** Shared by the nodes: as many clients, however many nodes there are. */
const CONNECTIONS = 48;
/** A name that the certificate holds; the nodes listen on ports of their own behind what would be a balancer. */
const ISSUER = 'https://localhost:8443';
/** Starting takes a second; on a machine under load, many. */
const READY_MS = 60_000;
/** A node finishes what is under way. */
const STOP_MS = 15_000;

const FLOWS = ['client_credentials', 'refresh'] as const;

interface Node {
  readonly process: ChildProcess;
  readonly facts: ServerFacts;
  /** The load generator of this node. */
  readonly load: Child;
}

interface Measurement {
  readonly flow: (typeof FLOWS)[number];
  readonly nodes: number;
  readonly perSecond: number;
  readonly medianMs: number;
  readonly p99Ms: number;
}

/** Runs the bench and prints its table; there is no goal. Throws when a node refuses or dies. */
export async function benchNodes(): Promise<{ goalMet: boolean }> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  const postgres = await BenchPostgres.start();
  const nodes: Node[] = [];
  try {
    const url = await postgres.createDatabase();
    const masterKey = randomBytes(32);
    const bench = await openBenchAuthority(url, { issuer: ISSUER, masterKey });
    try {
      const start = await nodeStarter({ folder, url, masterKey, bench });
      for (let number = 0; number < MOST_NODES; number++) nodes.push(await start(number));
      await Promise.all(nodes.map(ready));
      report(await measureAll(nodes, bench));
      return { goalMet: true };
    } finally {
      await bench.close();
    }
  } finally {
    await Promise.all(nodes.map(stop));
    await postgres.stop();
    rmSync(folder, { recursive: true });
  }
}

/** Nodes share issuer, certificate, master key and database, and nothing else. */
async function nodeStarter(given: { folder: string; url: string; masterKey: Buffer; bench: BenchAuthority }) {
  const { folder, url, masterKey, bench } = given;
  const tls = await localCertificate({ dataFolder: folder, clock: systemClock, random: systemRandom });
  const caCertificate = readFileSync(tls.caCertificateFile, 'utf8');
  setDefaultCACertificates([...getCACertificates('default'), caCertificate]);
  return async (number: number): Promise<Node> => {
    const port = await freePort();
    const log = openSync(join(folder, `node-${number}.log`), 'a', 0o600);
    const main = fileURLToPath(new URL('../packages/server/src/main.ts', import.meta.url));
    const child = spawn(process.execPath, ['--conditions=countersign-source', ...startOptions(), main, 'start'], {
      stdio: ['ignore', log, log],
      env: {
        PATH: process.env.PATH,
        NODE_ENV: 'production',
        COUNTERSIGN_MODE: 'production',
        COUNTERSIGN_ISSUER: ISSUER,
        COUNTERSIGN_HOST: '127.0.0.1',
        COUNTERSIGN_PORT: String(port),
        COUNTERSIGN_PLAINTEXT_PORT: '0',
        COUNTERSIGN_DATA_FOLDER: join(folder, `node-${number}`),
        COUNTERSIGN_DATABASE_URL: url,
        COUNTERSIGN_MASTER_KEY: masterKey.toString('base64'),
        COUNTERSIGN_TLS_CERTIFICATE_FILE: join(folder, 'tls', 'localhost.pem'),
        COUNTERSIGN_TLS_KEY_FILE: join(folder, 'tls', 'localhost.key'),
        COUNTERSIGN_SMTP_URL: 'smtp://localhost:1', // nobody logs in by mail here
      },
    });
    return {
      process: child,
      facts: {
        tokenEndpoint: `https://localhost:${port}/oauth2/token`,
        caCertificate,
        clientId: bench.client.id,
        clientSecret: bench.secret,
      },
      load: new Child({ file: './load-process.ts' }),
    };
  };
}

async function ready({ process: child, facts }: Node): Promise<void> {
  for (const untilMs = performance.now() + READY_MS; performance.now() < untilMs; await sleep(100)) {
    if (child.exitCode !== null) throw new Error(`A node ended with ${child.exitCode} at its start.`);
    const response = await fetch(new URL('/readyz', facts.tokenEndpoint)).catch(() => undefined);
    if (response?.status === 200) return;
  }
  throw new Error('A node is not ready.');
}

async function stop({ process: child, load }: Node): Promise<void> {
  await load.stop();
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(late);
}

async function measureAll(nodes: readonly Node[], bench: BenchAuthority): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const flow of FLOWS) {
    for (let round = 0; round < ROUNDS; round++) {
      const counts = Array.from({ length: nodes.length }, (_, index) => index + 1);
      for (const count of round % 2 === 0 ? counts : counts.toReversed()) {
        measurements.push(await measure({ nodes: nodes.slice(0, count), flow, bench }));
      }
    }
  }
  return measurements;
}

async function measure(given: {
  nodes: readonly Node[];
  flow: (typeof FLOWS)[number];
  bench: BenchAuthority;
}): Promise<Measurement> {
  const { nodes, flow, bench } = given;
  const connections = CONNECTIONS / nodes.length;
  const orders = await inParallel(nodes, 1, async ({ facts }): Promise<LoadOrder> => {
    const tokens = flow === 'refresh' ? await refreshTokens(bench, connections) : [];
    return {
      ...{ server: facts, connections, warmUpMs: WARM_UP_MS, measuredMs: MEASURED_MS },
      flow: flow === 'refresh' ? { kind: flow, tokens } : { kind: flow },
    };
  });
  const results = await Promise.all(
    nodes.map(async ({ load }, index) => {
      const order = orders[index];
      if (!order) throw new Error('A node has no load.');
      return load.call('load', order);
    }),
  );
  return {
    ...{ flow, nodes: nodes.length },
    perSecond: results.reduce((sum, { count, elapsedMs }) => sum + (count * 1_000) / elapsedMs, 0),
    medianMs: median(results.map(({ medianMs }) => medianMs)),
    p99Ms: Math.max(...results.map(({ p99Ms }) => p99Ms)),
  };
}

async function refreshTokens(bench: BenchAuthority, count: number): Promise<string[]> {
  return inParallel(await bench.beginSessions(count), 8, async (session) => {
    const { refresh_token } = await bench.redeem(await bench.issueCode(session));
    if (refresh_token === undefined) throw new Error('The grant has no refresh token.');
    return refresh_token;
  });
}

function report(measurements: readonly Measurement[]): void {
  const rows = FLOWS.flatMap((flow) => {
    const of = (nodes: number, number: (row: Measurement) => number) =>
      median(measurements.filter((row) => row.flow === flow && row.nodes === nodes).map(number));
    const counts = Array.from({ length: MOST_NODES }, (_, index) => index + 1);
    return counts.map((nodes) => [
      ...[flow, String(nodes)],
      of(nodes, ({ perSecond }) => perSecond).toFixed(0),
      (of(nodes, ({ perSecond }) => perSecond) / of(1, ({ perSecond }) => perSecond)).toFixed(2),
      of(nodes, ({ medianMs }) => medianMs).toFixed(1),
      of(nodes, ({ p99Ms }) => p99Ms).toFixed(1),
    ]);
  });
  printTable(['flow', 'nodes', 'tokens/s', 'to one node', 'median ms', 'p99 ms'], rows);
  console.log(
    `\n${CONNECTIONS} connections in all; nodes, load generators and PostgreSQL share ${availableParallelism()} cores.`,
  );
}

if (import.meta.main) await benchNodes();
