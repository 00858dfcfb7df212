/**
 * What a check costs by how many live tokens the table holds: random reads over the whole of it, of tokens whose records are
 * genuine, through the authority's own code. The tables stand in databases of one server and take turns, so that whatever else the
 * machine does meets all of them.
 */
import { type BenchAuthority, openBenchAuthority } from './cluster-authority.ts';
import { fillTokens, type Probe } from './cluster-fill.ts';
import { BenchPostgres } from './cluster-postgres.ts';
import { median, percentile, printTable } from './table.ts';

const SIZES = [10_000, 1_000_000, 10_000_000];
/** Many short ones, so that what else the machine does meets all tables alike. */
const ROUNDS = 9;
const WARM_UP_MS = 1_500;
const MEASURED_MS = 600;
/** One after the other, for how long one takes; and as many at once as a busy node has. */
const AT_ONCE = [1, 16];

/** The goal: a table a thousand times as large makes a check at most so much dearer. */
const GOAL_RATIO = 1.3;

interface Table {
  readonly count: number;
  readonly bench: BenchAuthority;
  readonly probes: readonly Probe[];
}

interface Measurement {
  readonly count: number;
  readonly atOnce: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function benchCheck(): Promise<{ goalMet: boolean }> {
  const postgres = await BenchPostgres.start();
  const tables: Table[] = [];
  try {
    for (const count of SIZES) {
      const url = await postgres.createDatabase();
      const bench = await openBenchAuthority(url);
      const startedMs = performance.now();
      tables.push({ count, bench, probes: await fillTokens(url, bench, count) });
      console.log(`${words(count)} tokens filled in within ${((performance.now() - startedMs) / 1_000).toFixed(0)} s`);
    }
    for (const table of tables) await measure(table, { atOnce: 16, forMs: WARM_UP_MS });
    const measurements: Measurement[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const order = round % 2 === 0 ? tables : tables.toReversed();
      for (const atOnce of AT_ONCE) {
        for (const table of order) measurements.push(await measure(table, { atOnce, forMs: MEASURED_MS }));
      }
    }
    return report(measurements);
  } finally {
    for (const { bench } of tables) await bench.close();
    await postgres.stop();
  }
}

async function measure(table: Table, how: { atOnce: number; forMs: number }): Promise<Measurement> {
  const { count, bench, probes } = table;
  const latenciesMs: number[] = [];
  const startedMs = performance.now();
  const untilMs = startedMs + how.forMs;
  const asker = async () => {
    for (let nowMs = performance.now(); nowMs < untilMs; ) {
      const probe = probes[Math.floor(Math.random() * probes.length)];
      if (!probe) throw new Error('There is nothing to check.');
      const { verdict } = await bench.authority.tokens.check(probe.jti, probe.digest);
      if (verdict !== 'live') throw new Error(`A live token was called ${verdict}.`);
      const answeredMs = performance.now();
      latenciesMs.push(answeredMs - nowMs);
      nowMs = answeredMs;
    }
  };
  await Promise.all(Array.from({ length: how.atOnce }, asker));
  const elapsedMs = performance.now() - startedMs;
  return {
    ...{ count, atOnce: how.atOnce },
    perSecond: (latenciesMs.length * 1_000) / elapsedMs,
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
  };
}

function report(measurements: readonly Measurement[]): { goalMet: boolean } {
  const of = (count: number, atOnce: number, number: (row: Measurement) => number) =>
    median(measurements.filter((row) => row.count === count && row.atOnce === atOnce).map(number));
  const smallest = SIZES[0] ?? 0;
  const largest = SIZES.at(-1) ?? 0;
  printTable(
    ['live tokens', 'at once', 'checks/s', 'p50 ms', 'p99 ms', 'p50 to smallest', 'checks/s to smallest'],
    AT_ONCE.flatMap((atOnce) =>
      SIZES.map((count) => [
        ...[words(count), String(atOnce)],
        of(count, atOnce, ({ perSecond }) => perSecond).toFixed(0),
        of(count, atOnce, ({ p50Ms }) => p50Ms).toFixed(3),
        of(count, atOnce, ({ p99Ms }) => p99Ms).toFixed(3),
        (of(count, atOnce, ({ p50Ms }) => p50Ms) / of(smallest, atOnce, ({ p50Ms }) => p50Ms)).toFixed(2),
        (of(count, atOnce, ({ perSecond }) => perSecond) / of(smallest, atOnce, ({ perSecond }) => perSecond)).toFixed(
          2,
        ),
      ]),
    ),
  );
  // How long one takes, and how many there are room for: both must be flat.
  const dearer = [
    of(largest, 1, ({ p50Ms }) => p50Ms) / of(smallest, 1, ({ p50Ms }) => p50Ms),
    of(smallest, 16, ({ perSecond }) => perSecond) / of(largest, 16, ({ perSecond }) => perSecond),
  ];
  const worst = Math.max(...dearer);
  const goalMet = worst <= GOAL_RATIO;
  console.log(
    `\nA check among ${words(largest)} costs ${worst.toFixed(2)} times one among ${words(smallest)} (p50 alone: ` +
      `${dearer[0]?.toFixed(2)}, room at 16: ${dearer[1]?.toFixed(2)}); goal at most ${GOAL_RATIO}: ${goalMet ? 'met' : 'MISSED'}`,
  );
  return { goalMet };
}

function words(count: number): string {
  return count.toLocaleString('en');
}

if (import.meta.main) await benchCheck();
