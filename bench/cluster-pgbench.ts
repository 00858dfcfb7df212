/**
 * The bare statement: what PostgreSQL does with it when nothing but `pgbench` asks, a C program that sends prepared statements
 * and throws the answers away. What an engine in JavaScript is held against.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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

/** Transactions per second, the time to connect left out. Throws when a single one failed: a failure is quick and would count. */
export async function pgbench(given: {
  url: string;
  statement: BareStatement;
  connections: number;
  /** For each connection. */
  transactions: number;
}): Promise<number> {
  const { url, statement, connections, transactions } = given;
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  try {
    const file = join(folder, 'script.sql');
    writeFileSync(file, statement.script);
    const constants = Object.entries(statement.constants).flatMap(([name, value]) => ['-D', `${name}=${value}`]);
    const how = ['-n', '-M', 'prepared', '-f', file, '-c', String(connections), '-t', String(transactions)];
    const { stdout, stderr } = await promisify(execFile)(program('pgbench'), [...how, ...constants, url], {
      // As the engine's own connections.
      env: { ...process.env, PGOPTIONS: '-c default_transaction_isolation=repeatable\\ read' },
    });
    const done = /transactions actually processed: (\d+)\//.exec(stdout)?.[1];
    const perSecond = /tps = ([\d.]+) \(without initial connection time\)/.exec(stdout)?.[1];
    if (Number(done) !== connections * transactions || perSecond === undefined) {
      throw new Error(`pgbench did ${done} of ${connections * transactions} transactions: ${stderr}`);
    }
    return Number(perSecond);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
