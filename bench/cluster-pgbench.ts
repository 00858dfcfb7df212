/**
 * The bare statement: what PostgreSQL does with it when nothing but `pgbench` asks, a C program that sends prepared statements
 * and throws the answers away. What an engine in JavaScript is held against.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { program } from './cluster-postgres.ts';

export interface BareStatement {
  /** A pgbench script: `\set` lines, then one statement. */
  readonly script: string;
  /** Variables that hold the same value throughout. */
  readonly constants: Readonly<Record<string, string>>;
}

/** Of each connection: a statement is planned anew five times before PostgreSQL keeps the plan. */
export const WARM_UP = 20;

/**
 * Transactions per second while all connections are at it: from when the last has warmed up to when the first is done. Throws when a
 * single one failed: a failure is quick, and would count.
 */
export async function pgbench(given: {
  url: string;
  statement: BareStatement;
  connections: number;
  /** For each connection, besides those by which it warms up. */
  transactions: number;
}): Promise<number> {
  const { url, statement, connections, transactions } = given;
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  try {
    const file = join(folder, 'script.sql');
    writeFileSync(file, statement.script);
    const constants = Object.entries(statement.constants).flatMap(([name, value]) => ['-D', `${name}=${value}`]);
    const size = ['-c', String(connections), '-t', String(transactions + WARM_UP)];
    const log = ['--log', `--log-prefix=${join(folder, 'log')}`];
    const words = ['-n', '-M', 'prepared', '-f', file, ...size, ...log, ...constants, url];
    const { stderr } = await promisify(execFile)(program('pgbench'), words, {
      // As the engine's own connections.
      env: { ...process.env, PGOPTIONS: '-c default_transaction_isolation=repeatable\\ read' },
    });
    const logs = readdirSync(folder).filter((name) => name.startsWith('log'));
    const lines = logs.flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'));
    if (lines.length !== connections * (transactions + WARM_UP)) {
      throw new Error(`pgbench did only ${lines.length} transactions: ${stderr}`);
    }
    return rateOf(lines.map(readLine));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Done {
  readonly connection: string;
  readonly atMs: number;
}

/** connection, number of the transaction, its microseconds, number of the script, seconds and microseconds of its end */
function readLine(line: string): Done {
  const [connection = '', , , , seconds, microseconds] = line.split(' ');
  return { connection, atMs: Number(seconds) * 1_000 + Number(microseconds) / 1_000 };
}

function rateOf(all: readonly Done[]): number {
  const ends = [...Map.groupBy(all, ({ connection }) => connection).values()].map((own) => own.map(({ atMs }) => atMs));
  const fromMs = Math.max(...ends.map((own) => own[WARM_UP - 1] ?? Number.POSITIVE_INFINITY));
  const untilMs = Math.min(...ends.map((own) => own.at(-1) ?? Number.NEGATIVE_INFINITY));
  const count = all.filter(({ atMs }) => atMs > fromMs && atMs <= untilMs).length;
  return (count * 1_000) / (untilMs - fromMs);
}
