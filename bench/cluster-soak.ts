/**
 * Sweeping under a steady stream of new tokens: a thousand a second, half of them by refresh, while the jobs of a server run beside
 * them. What must not grow: rows, tables and indexes. The clock runs many times as fast as the world's, so that a token's whole life
 * and what comes after it pass in seconds; autovacuum looks as many times as often. What a second brings, and what the jobs take away
 * in it, is as in the world.
 *
 * node bench/cluster-soak.ts [seconds] [picture.svg]
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { type Clock, composeServer } from '../packages/server/src/index.ts';
import { type BenchAuthority, inParallel, openBenchAuthority } from './cluster-authority.ts';
import { BenchPostgres, withClient } from './cluster-postgres.ts';
import { drawSoak } from './cluster-soak-picture.ts';
import { printTable } from './table.ts';

/** Three times as long as a row lives from issue to sweep, and more. */
const DEFAULT_SECONDS = 60;
const TOKENS_PER_SECOND = 1_000;
const REFRESHED_SHARE = 0.5;
const SPEED = 20;
/** With what a row outlives its token by, five minutes, or fifteen seconds of the bench. */
const ACCESS_LIFETIME_SECONDS = 210;
/** Of PostgreSQL, in seconds; a twentieth of it here. */
const AUTOVACUUM_NAPTIME = 60;
/** Each is refreshed every few seconds, a minute or so by the clock. */
const GRANTS = 2_000;
/** Under way at most: beyond it the machine does not keep up, and the rate that is printed says so. */
const MOST_UNDER_WAY = 100;
const TICK_MS = 10;
const SAMPLE_MS = 1_000;

/**
 * The goal: for each token issued, nothing is larger in the last third than in the second, but for what autovacuum's rhythm makes of it.
 * A machine that issues more in the last third has more rows then.
 */
const GOAL_GROWTH = 1.1;
/** And so many tokens a second, nearly: a machine that does not reach them shows nothing of sweeping under them. */
const GOAL_RATE = 0.95 * TOKENS_PER_SECOND;

export const SOAKED_TABLES = ['access_token', 'invalidation', 'oauth_grant'] as const;
export type SoakedTable = (typeof SOAKED_TABLES)[number];

export interface TableSize {
  readonly rows: number;
  readonly dead: number;
  readonly tableBytes: number;
  readonly indexBytes: number;
  /** How often autovacuum has been there. */
  readonly vacuums: number;
}

export interface Sample {
  readonly atSeconds: number;
  /** Since the beginning. */
  readonly issued: number;
  readonly tables: Readonly<Record<SoakedTable, TableSize>>;
}

export async function benchSoak(
  options: { seconds?: number; pictureFile?: string | undefined } = {},
): Promise<{ goalMet: boolean }> {
  const { seconds = DEFAULT_SECONDS, pictureFile } = options;
  const naptime = Math.max(1, Math.round(AUTOVACUUM_NAPTIME / SPEED));
  const postgres = await BenchPostgres.start({ autovacuum_naptime: `${naptime}s` });
  try {
    const url = await postgres.createDatabase();
    const bench = await openBenchAuthority(url, {
      clock: clockAt(SPEED),
      accessLifetimeSeconds: ACCESS_LIFETIME_SECONDS,
    });
    try {
      const samples = await soak({ url, bench, seconds });
      if (pictureFile !== undefined) writeFileSync(pictureFile, drawSoak(samples));
      return report(samples);
    } finally {
      await bench.close();
    }
  } finally {
    await postgres.stop();
  }
}

/** A clock that runs faster than the world's, from now on. */
function clockAt(speed: number): Clock {
  const startMs = Date.now();
  return { now: () => startMs + Math.round((Date.now() - startMs) * speed) };
}

async function soak(given: { url: string; bench: BenchAuthority; seconds: number }): Promise<Sample[]> {
  const { url, bench, seconds } = given;
  const chains = await beginChains(bench);
  const server = composeServer(bench.authority, undefined);
  server.startJobs();
  const load = new Load(bench, chains);
  const issuing = load.run(seconds * 1_000);
  const samples: Sample[] = [];
  const startedMs = performance.now();
  await withClient(url, async (client) => {
    for (let number = 0; number * SAMPLE_MS <= seconds * 1_000; number++) {
      await sleep(Math.max(startedMs + number * SAMPLE_MS - performance.now(), 0));
      const atSeconds = (performance.now() - startedMs) / 1_000;
      samples.push({ atSeconds, issued: load.issued, tables: await sizesOf(client) });
    }
  });
  await issuing;
  server.stopAccepting();
  await server.stopJobs();
  return samples;
}

/** The refresh token of each grant. */
async function beginChains(bench: BenchAuthority): Promise<string[]> {
  const sessions = await bench.beginSessions(GRANTS);
  return inParallel(sessions, 16, async (session) => {
    const { refresh_token } = await bench.redeem(await bench.issueCode(session));
    if (refresh_token === undefined) throw new Error('The grant has no refresh token.');
    return refresh_token;
  });
}

/** So many a second, whatever the answers take: what comes from outside does not wait. */
class Load {
  issued = 0;
  readonly #bench: BenchAuthority;
  /** Refresh tokens that nobody is presenting now, the one refreshed longest ago first. */
  readonly #chains: string[];
  #begun = 0;
  #failure: unknown;

  constructor(bench: BenchAuthority, chains: readonly string[]) {
    this.#bench = bench;
    this.#chains = [...chains];
  }

  async run(forMs: number): Promise<void> {
    const startedMs = performance.now();
    const underWay = new Set<Promise<void>>();
    for (let passedMs = 0; passedMs < forMs; passedMs = performance.now() - startedMs) {
      const due = (passedMs * TOKENS_PER_SECOND) / 1_000;
      while (this.#begun < due && underWay.size < MOST_UNDER_WAY) {
        const one = this.#one().finally(() => underWay.delete(one));
        underWay.add(one);
      }
      // What could not begin now is not made up for later.
      this.#begun = Math.max(this.#begun, Math.floor(due));
      if (this.#failure !== undefined) throw this.#failure;
      await sleep(TICK_MS);
    }
    await Promise.all(underWay);
  }

  async #one(): Promise<void> {
    this.#begun++;
    try {
      const refreshToken = this.#begun % (1 / REFRESHED_SHARE) < 1 ? this.#chains.shift() : undefined;
      if (refreshToken === undefined) await this.#bench.issue();
      else this.#chains.push((await this.#bench.refresh(refreshToken)).refresh_token ?? '');
      this.issued++;
    } catch (error) {
      this.#failure ??= error;
    }
  }
}

async function sizesOf(client: pg.Client): Promise<Sample['tables']> {
  const sizes: [SoakedTable, TableSize][] = [];
  for (const table of SOAKED_TABLES) {
    const { rows } = await client.query<Record<keyof TableSize, string>>(
      `SELECT (SELECT count(*) FROM ${table}) AS rows, n_dead_tup AS dead, autovacuum_count AS vacuums,
         pg_table_size(relid) AS "tableBytes", pg_indexes_size(relid) AS "indexBytes"
       FROM pg_stat_user_tables WHERE relname = $1`,
      [table],
    );
    const [row] = rows;
    if (!row) throw new Error(`There is no table ${table}.`);
    const { rows: count, dead, vacuums, tableBytes, indexBytes } = row;
    sizes.push([
      table,
      {
        ...{ rows: Number(count), dead: Number(dead), vacuums: Number(vacuums) },
        ...{ tableBytes: Number(tableBytes), indexBytes: Number(indexBytes) },
      },
    ]);
  }
  return Object.fromEntries(sizes) as Sample['tables']; // one entry for each name
}

function report(samples: readonly Sample[]): { goalMet: boolean } {
  const last = samples.at(-1);
  if (!last) throw new Error('Nothing was sampled.');
  const thirds = [0, 1, 2].map((third) =>
    samples.filter(({ atSeconds }) => Math.min(Math.floor((atSeconds * 3) / last.atSeconds), 2) === third),
  );
  const mean = (third: number, number: (sample: Sample) => number) => {
    const numbers = (thirds[third] ?? []).map(number);
    return numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
  };
  const rateOf = (third: number) => {
    const [first, end] = [thirds[third]?.[0], thirds[third]?.at(-1)];
    return first && end ? (end.issued - first.issued) / (end.atSeconds - first.atSeconds) : Number.NaN;
  };
  const megabytes = (bytes: number) => (bytes / 1_000_000).toFixed(1);
  let worst = 0;
  const rows = SOAKED_TABLES.map((table) => {
    const of = (third: number, number: (size: TableSize) => number) =>
      mean(third, ({ tables }) => number(tables[table]));
    const both = ({ tableBytes, indexBytes }: TableSize) => tableBytes + indexBytes;
    // Grants are as many, whatever is issued.
    const more = table === 'oauth_grant' ? 1 : rateOf(2) / rateOf(1);
    const growth = Math.max(of(2, ({ rows }) => rows) / of(1, ({ rows }) => rows), of(2, both) / of(1, both)) / more;
    worst = Math.max(worst, growth);
    return [
      table,
      ...[1, 2].map((third) => of(third, ({ rows }) => rows).toFixed(0)),
      ...[1, 2].map((third) => megabytes(of(third, ({ tableBytes }) => tableBytes))),
      ...[1, 2].map((third) => megabytes(of(third, ({ indexBytes }) => indexBytes))),
      of(2, ({ dead }) => dead).toFixed(0),
      String(last.tables[table].vacuums),
      growth.toFixed(2),
    ];
  });
  const bounds = ['rows, 2nd third', 'last', 'table MB', 'last', 'indexes MB', 'last', 'dead', 'autovacuums', 'growth'];
  printTable(['mean of', ...bounds], rows);
  const rate = last.issued / last.atSeconds;
  const goalMet = worst <= GOAL_GROWTH && rate >= GOAL_RATE;
  console.log(
    `\n${last.issued.toLocaleString('en')} tokens issued in ${last.atSeconds.toFixed(0)} s, ${rate.toFixed(0)} a second (${rateOf(1).toFixed(0)} in the ` +
      `second third, ${rateOf(2).toFixed(0)} in the last); growth ` +
      `${worst.toFixed(2)}, goal at most ${GOAL_GROWTH} at ${GOAL_RATE} a second: ${goalMet ? 'met' : 'MISSED'}`,
  );
  return { goalMet };
}

if (import.meta.main) {
  const [, , seconds, pictureFile] = process.argv;
  await benchSoak({ ...(seconds !== undefined && { seconds: Number(seconds) }), pictureFile });
}
