/**
 * Tokens per second over HTTPS, beside `oidc-provider` with its in-memory adapter: client_credentials and refresh, in rounds that
 * alternate between the two, so that whatever else the machine does meets both. Prints medians and ratios; absolute numbers
 * belong to the machine. The server's processor time per token is the steadier number where other work shares the cores.
 *
 * node bench/tokens.ts
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, type ServerFacts } from './child.ts';
import type { LoadOrder } from './load-process.ts';
import { startOptions } from './start-options.ts';
import { median, printTable } from './table.ts';

const ROUNDS = 3;
const WARM_UP_MS = 600;
const MEASURED_MS = 2_500;
const CONNECTIONS = [16, 64];
/**
 * One for each of 64 connections, new ones in each round. With twice as many, one now and then falls out of the peer's adapter,
 * which remembers the last 1,000 things; fewer would be refreshed more often than any client does.
 */
const GRANTS = 64;

/** The goal: at least the peer’s speed, while durable. */
const GOAL_RATIO = 1;

type FlowKind = LoadOrder['flow']['kind'];

interface Contender {
  readonly name: string;
  readonly server: Child;
  readonly facts: ServerFacts;
}

interface Measurement {
  readonly contender: string;
  readonly flow: FlowKind;
  readonly connections: number;
  readonly perSecond: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly cpuMsPerToken: number;
}

/** Runs the bench and prints its table. Throws when a server refuses or dies; a missed goal is only printed. */
export async function benchTokens(): Promise<{ goalMet: boolean }> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  const children: Child[] = [];
  const begin = (given: ConstructorParameters<typeof Child>[0]) => {
    const child = new Child(given);
    children.push(child);
    return child;
  };
  try {
    const load = begin({ file: './load-process.ts' });
    const contenders: Contender[] = [];
    for (const [name, file] of [
      ['Countersign', './authority-process.ts'],
      ['oidc-provider', './peer-process.ts'],
    ] as const) {
      const dataFolder = join(folder, name);
      const nodeOptions = startOptions(); // for both: what helps one may help the other
      const server = begin({ file, argv: [dataFolder], logFile: join(folder, `${name}.log`), nodeOptions });
      contenders.push({ name, server, facts: await server.call('facts') });
    }
    return report(await measureAll(load, contenders));
  } finally {
    await Promise.all(children.map((child) => child.stop()));
    rmSync(folder, { recursive: true });
  }
}

async function measureAll(load: Child, contenders: readonly Contender[]): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const flow of ['client_credentials', 'refresh'] as const) {
    for (const connections of CONNECTIONS) {
      for (let round = 0; round < ROUNDS; round++) {
        const order = round % 2 === 0 ? contenders : contenders.toReversed();
        for (const contender of order) measurements.push(await measure({ load, contender, flow, connections }));
      }
    }
  }
  return measurements;
}

async function measure(given: {
  load: Child;
  contender: Contender;
  flow: FlowKind;
  connections: number;
}): Promise<Measurement> {
  const { load, contender, flow, connections } = given;
  const { server, facts, name } = contender;
  const tokens = flow === 'refresh' ? await server.call('refreshTokens', GRANTS) : [];
  const before = await server.call('usage');
  const result = await load.call('load', {
    server: facts,
    flow: flow === 'refresh' ? { kind: flow, tokens } : { kind: flow },
    connections,
    warmUpMs: WARM_UP_MS,
    measuredMs: MEASURED_MS,
  });
  const after = await server.call('usage');
  return {
    ...{ contender: name, flow, connections, medianMs: result.medianMs, p99Ms: result.p99Ms },
    perSecond: (result.count * 1_000) / result.elapsedMs,
    cpuMsPerToken: (after.cpuMs - before.cpuMs) / result.total,
  };
}

function report(measurements: readonly Measurement[]): { goalMet: boolean } {
  const rows: string[][] = [];
  const verdicts: string[] = [];
  let goalMet = true;
  for (const flow of ['client_credentials', 'refresh'] as const) {
    for (const connections of CONNECTIONS) {
      const of = (contender: string, number: (measurement: Measurement) => number) =>
        median(
          measurements
            .filter((row) => row.flow === flow && row.connections === connections && row.contender === contender)
            .map(number),
        );
      const peer = of('oidc-provider', (row) => row.perSecond);
      const ratio = of('Countersign', (row) => row.perSecond) / peer;
      for (const name of ['Countersign', 'oidc-provider']) {
        const perSecond = of(name, (row) => row.perSecond);
        rows.push([
          `${flow}, ${connections} connections`,
          name,
          perSecond.toFixed(0),
          (perSecond / peer).toFixed(2),
          of(name, (row) => row.medianMs).toFixed(1),
          of(name, (row) => row.p99Ms).toFixed(1),
          of(name, (row) => row.cpuMsPerToken).toFixed(3),
        ]);
      }
      if (ratio < GOAL_RATIO) goalMet = false;
      const verdict = ratio >= GOAL_RATIO ? 'met' : 'MISSED';
      verdicts.push(
        `${flow} at ${connections}: ${ratio.toFixed(2)} times oidc-provider; goal ${GOAL_RATIO}: ${verdict}`,
      );
    }
  }
  printTable(['flow', 'server', 'tokens/s', 'to peer', 'median ms', 'p99 ms', 'CPU ms/token'], rows);
  console.log('');
  for (const verdict of verdicts) console.log(verdict);
  return { goalMet };
}

if (import.meta.main) await benchTokens();
