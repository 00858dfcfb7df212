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
/**
 * As many however many nodes there are; each is a client of its own. More connections of one client from one network are taken for
 * somebody who guesses its secret: `clientSecretPerNetwork` lets twenty be checked at once.
 */
const LOADS = 3;
const CONNECTIONS = 16;
/** A name that the certificate holds; the nodes listen on ports of their own behind what would be a balancer. */
const ISSUER = 'https://localhost:8443';
/** Starting takes a second; on a machine under load, many. */
const READY_MS = 60_000;
/** A node finishes what is under way. */
const STOP_MS = 15_000;

const FLOWS = ['client_credentials', 'refresh'] as const;

interface Node {
  readonly process: ChildProcess;
  readonly port: number;
}

/** A load generator and the client that it is. */
interface Load {
  readonly child: Child;
  readonly bench: BenchAuthority;
  readonly facts: Omit<ServerFacts, 'tokenEndpoint'>;
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
  const loads: Load[] = [];
  try {
    const url = await postgres.createDatabase();
    const masterKey = randomBytes(32);
    const tls = await localCertificate({ dataFolder: folder, clock: systemClock, random: systemRandom });
    const caCertificate = readFileSync(tls.caCertificateFile, 'utf8');
    setDefaultCACertificates([...getCACertificates('default'), caCertificate]);
    for (let number = 0; number < LOADS; number++) {
      const bench = await openBenchAuthority(url, { issuer: ISSUER, masterKey, connections: 4 });
      const facts = { caCertificate, clientId: bench.client.id, clientSecret: bench.secret };
      loads.push({ bench, facts, child: new Child({ file: './load-process.ts' }) });
    }
    for (let number = 0; number < MOST_NODES; number++) {
      nodes.push(await startNode({ folder, url, masterKey, number }));
    }
    await Promise.all(nodes.map(ready));
    report(await measureAll(nodes, loads));
    return { goalMet: true };
  } finally {
    await Promise.all([...nodes.map(stop), ...loads.map(({ child }) => child.stop())]);
    await Promise.all(loads.map(({ bench }) => bench.close()));
    await postgres.stop();
    rmSync(folder, { recursive: true });
  }
}

/** Nodes share issuer, certificate, master key and database, and nothing else. */
async function startNode(given: { folder: string; url: string; masterKey: Buffer; number: number }): Promise<Node> {
  const { folder, url, masterKey, number } = given;
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
  return { process: child, port };
}

async function ready({ process: child, port }: Node): Promise<void> {
  for (const untilMs = performance.now() + READY_MS; performance.now() < untilMs; await sleep(100)) {
    if (child.exitCode !== null) throw new Error(`A node ended with ${child.exitCode} at its start.`);
    const response = await fetch(`https://localhost:${port}/readyz`).catch(() => undefined);
    if (response?.status === 200) return;
  }
  throw new Error('A node is not ready.');
}

async function stop({ process: child }: Node): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(late);
}

async function measureAll(nodes: readonly Node[], loads: readonly Load[]): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const flow of FLOWS) {
    for (let round = 0; round < ROUNDS; round++) {
      const counts = Array.from({ length: nodes.length }, (_, index) => index + 1);
      for (const count of round % 2 === 0 ? counts : counts.toReversed()) {
        measurements.push(await measure({ nodes: nodes.slice(0, count), loads, flow }));
      }
    }
  }
  return measurements;
}

async function measure(given: {
  nodes: readonly Node[];
  loads: readonly Load[];
  flow: (typeof FLOWS)[number];
}): Promise<Measurement> {
  const { nodes, loads, flow } = given;
  const orders: LoadOrder[] = [];
  for (const [index, { bench, facts }] of loads.entries()) {
    const tokens = flow === 'refresh' ? await refreshTokens(bench, CONNECTIONS) : [];
    const port = nodes[index % nodes.length]?.port;
    orders.push({
      server: { ...facts, tokenEndpoint: `https://localhost:${port}/oauth2/token` },
      flow: flow === 'refresh' ? { kind: flow, tokens } : { kind: flow },
      ...{ connections: CONNECTIONS, warmUpMs: WARM_UP_MS, measuredMs: MEASURED_MS },
    });
  }
  const results = await Promise.all(
    orders.map(async (order, index) => {
      const load = loads[index];
      if (!load) throw new Error('An order has no load generator.');
      return load.child.call('load', order);
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
    `\n${LOADS * CONNECTIONS} connections in all; nodes, load generators and PostgreSQL share ${availableParallelism()} cores.`,
  );
}

if (import.meta.main) await benchNodes();
