/**
 * Memory of an authority that holds 100,000 live tokens: all issued over HTTPS, none expired, then garbage is collected and what
 * the process keeps resident is read. The peak is what it ever held meanwhile, garbage included.
 *
 * node bench/memory.ts
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, type Usage } from './child.ts';
import { startOptions } from './start-options.ts';
import { printTable } from './table.ts';

const LIVE_TOKENS = 100_000;
const CONNECTIONS = 64;
/** A machine that issues fewer than 700 a second breaks the run: it would outlast everybody's patience. */
const MOST_MS = 150_000;

/** The goal: what the smallest machine that one rents has to spare. */
const GOAL_MEGABYTES = 200;
const MEGABYTE = 1_000_000;

/**
 * Node takes the size of its young generation from the machine's memory: on a large one that is most of what stays resident. So
 * `npm start` bounds it; the second run shows what Node does by itself.
 */
const RUNS = [
  { name: 'as npm start runs it', nodeOptions: startOptions() },
  { name: "node's defaults", nodeOptions: [] },
];

interface Measurement {
  readonly name: string;
  readonly atStart: Usage;
  readonly withTokens: Usage;
}

/** Runs the bench and prints its table. Throws when not all tokens could be issued; a missed goal is only printed. */
export async function benchMemory(): Promise<{ goalMet: boolean }> {
  const measurements: Measurement[] = [];
  for (const run of RUNS) measurements.push(await measure(run));
  const megabytes = (bytes: number) => (bytes / MEGABYTE).toFixed(0);
  printTable(
    ['authority', 'MB at start', `MB at ${LIVE_TOKENS.toLocaleString('en')} tokens`, 'peak MB', 'goal MB', 'reached'],
    measurements.map(({ name, atStart, withTokens }) => [
      name,
      megabytes(atStart.residentBytes),
      megabytes(withTokens.residentBytes),
      megabytes(withTokens.peakResidentBytes),
      `< ${GOAL_MEGABYTES}`,
      isSmall(withTokens) ? 'met' : 'MISSED',
    ]),
  );
  // The first run is what everybody gets.
  return { goalMet: measurements.slice(0, 1).every(({ withTokens }) => isSmall(withTokens)) };
}

function isSmall(usage: Usage): boolean {
  return usage.residentBytes < GOAL_MEGABYTES * MEGABYTE;
}

async function measure(run: (typeof RUNS)[number]): Promise<Measurement> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  const load = new Child({ file: './load-process.ts' });
  const server = new Child({
    file: './authority-process.ts',
    argv: [join(folder, 'data')],
    logFile: join(folder, 'log'),
    nodeOptions: ['--expose-gc', ...run.nodeOptions],
  });
  try {
    const facts = await server.call('facts');
    const atStart = await server.call('usage');
    const flow = { kind: 'client_credentials' } as const;
    const bounds = { warmUpMs: 0, measuredMs: MOST_MS, most: LIVE_TOKENS };
    const { total } = await load.call('load', { server: facts, flow, connections: CONNECTIONS, ...bounds });
    if (total < LIVE_TOKENS) throw new Error(`Only ${total} of ${LIVE_TOKENS} tokens were issued in time.`);
    return { name: run.name, atStart, withTokens: await server.call('usage') };
  } finally {
    await Promise.all([server.stop(), load.stop()]);
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) await benchMemory();
