/**
 * The hot operations of the store on PostgreSQL, each one act, through the engine and beside the bare statement through `pgbench`:
 * the same SQL, database, number of connections and durability, in rounds that alternate. Tokens are signed, rows read and decisions
 * made before the clock runs: what is measured is the engine. What a whole operation reaches in one process stands beside it.
 *
 *     issue    a token by client credentials      redeem   a code: the grant begins
 *     rotate   a refresh token                    end      a grant with its tokens
 */
import { createHash } from 'node:crypto';
import type { Act } from '../packages/server/src/store/store.ts';
import { type BenchAuthority, inParallel, openBenchAuthority } from './cluster-authority.ts';
import { bareStatement, type Template } from './cluster-bare.ts';
import { WARM_UP as BARE_WARM_UP, pgbench } from './cluster-pgbench.ts';
import { BenchPostgres, withClient } from './cluster-postgres.ts';
import { median, printTable } from './table.ts';

const ROUNDS = 3;
const CONNECTIONS = [1, 16];
/** What a round does of an operation takes about so long, by what the slowest of them did while warming up. */
const ROUND_MS = 700;
/** Fewer say nothing, and more take long to sign. */
const LEAST_OPERATIONS = 160;
const MOST_OPERATIONS = 6_400;
/** By these connections are opened, statements prepared, and code is compiled. */
const WARM_UP = 800;
/** What whole operations, signatures included, are measured with. */
const WHOLE_OPERATIONS = 1_600;
const AT_ONCE = 16;

/** The goal: an engine in JavaScript beside a C program that throws the answers away. */
const GOAL_RATIO = 0.7;

const OPERATIONS = ['issue', 'redeem', 'rotate', 'end'] as const;
type Operation = (typeof OPERATIONS)[number];

interface Measurement {
  readonly operation: Operation;
  readonly connections: number;
  readonly engine: number;
  readonly bare: number;
}

export async function benchClusterStore(): Promise<{ goalMet: boolean }> {
  const postgres = await BenchPostgres.start();
  const url = await postgres.createDatabase();
  const bench = await openBenchAuthority(url);
  try {
    await eachOperation(bench, WARM_UP, async (_, acts) => void (await commitAll(bench, acts, AT_ONCE)));
    const loads = [];
    for (const connections of CONNECTIONS) {
      loads.push({ connections, operations: await operationsFor(bench, connections) });
    }
    const measurements: Measurement[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const isBareFirst = round % 2 === 1;
      for (const load of loads) measurements.push(...(await measure({ url, bench, ...load, isBareFirst })));
    }
    const goalMet = report(measurements, await measureWhole(bench));
    return { goalMet };
  } finally {
    await bench.close();
    await postgres.stop();
  }
}

/** A whole number for each connection. */
async function operationsFor(bench: BenchAuthority, connections: number): Promise<number> {
  let slowest = Number.POSITIVE_INFINITY;
  await eachOperation(bench, LEAST_OPERATIONS, async (_, acts) => {
    slowest = Math.min(slowest, await commitAll(bench, acts, connections));
  });
  const fitting = Math.min(Math.max((slowest * ROUND_MS) / 1_000, LEAST_OPERATIONS), MOST_OPERATIONS);
  return Math.round(fitting / connections) * connections;
}

async function measure(given: {
  url: string;
  bench: BenchAuthority;
  connections: number;
  operations: number;
  isBareFirst: boolean;
}): Promise<Measurement[]> {
  const { url, bench, connections, operations, isBareFirst } = given;
  const templates = await templatesOf(bench);
  const measurements: Measurement[] = [];
  await eachOperation(bench, operations, async (operation, acts) => {
    const transactions = operations / connections;
    const rows = { connections, transactions: transactions + BARE_WARM_UP };
    const statement = await bareStatement(url, templates[operation], rows);
    // As autovacuum would, now and then: a table that has just grown is planned for what it was.
    await withClient(url, (client) => client.query('VACUUM (ANALYZE)'));
    const runBare = () => pgbench({ url, statement, connections, transactions });
    const bareBefore = isBareFirst ? await runBare() : undefined;
    const engine = await commitAll(bench, acts, connections);
    measurements.push({ operation, connections, engine, bare: bareBefore ?? (await runBare()) });
  });
  return measurements;
}

/** Acts per second. */
async function commitAll({ store }: BenchAuthority, acts: readonly Act[], atOnce: number): Promise<number> {
  const startedMs = performance.now();
  await inParallel(acts, atOnce, async (act) => {
    const outcome = await store.commit(act);
    if (outcome.kind === 'refused') throw new Error(`An act was refused: ${outcome.why}.`);
  });
  return (acts.length * 1_000) / (performance.now() - startedMs);
}

/** Acts of each operation in turn, held back. `use` does them before the next are made, which rest on what these did. */
async function eachOperation(
  bench: BenchAuthority,
  count: number,
  use: (operation: Operation, acts: readonly Act[]) => Promise<void>,
): Promise<void> {
  const hold = async <Given, Answer>(all: readonly Given[], work: (one: Given) => Promise<Answer>) => {
    let answers: Answer[] = [];
    const acts = await bench.store.hold(async () => {
      answers = await inParallel(all, AT_ONCE, work);
    });
    if (acts.length !== count) throw new Error(`${count} operations made ${acts.length} acts.`);
    return { acts, answers };
  };
  await use('issue', (await hold(Array.from({ length: count }), bench.issue)).acts);
  const codes = await inParallel(await bench.beginSessions(count), AT_ONCE, bench.issueCode);
  const begun = await hold(codes, bench.redeem);
  await use('redeem', begun.acts);
  const refreshTokens = begun.answers.map(({ refresh_token }) => refresh_token ?? '');
  await use('rotate', (await hold(refreshTokens, bench.refresh)).acts);
  await use('end', (await hold(refreshTokens.map(grantIdOf), bench.endGrant)).acts);
}

/** One act of each, and the rows that it finds, for as long as nobody does it. */
async function templatesOf(bench: BenchAuthority): Promise<Record<Operation, Template>> {
  const hold = async (work: () => Promise<unknown>) => {
    const [act, ...others] = await bench.store.hold(work);
    if (!act || others.length > 0) throw new Error(`An operation made ${others.length + 1} acts.`);
    return act;
  };
  const sessions = await bench.beginSessions(2);
  const [session, otherSession] = sessions;
  if (!session || !otherSession) throw new Error('There are no sessions.');
  const code = await bench.issueCode(session);
  const { refresh_token: refreshToken = '' } = await bench.redeem(await bench.issueCode(otherSession));
  const grantId = grantIdOf(refreshToken);
  const ofGrant = [
    { table: 'oauth_grant', column: 'id', value: grantId },
    { table: 'access_token', column: 'grant_id', value: grantId },
  ];
  const digest = createHash('sha256').update(code).digest();
  const ofCode = [
    { table: 'browser_session', column: 'id', value: session.id },
    { table: 'authorization_code', column: 'digest', value: digest },
  ];
  const cookie = await bench.store.read.get<{ digest: Uint8Array }>(
    'SELECT digest FROM browser_session WHERE id = $1',
    session.id,
  );
  const digests = [digest, ...(cookie ? [cookie.digest] : [])];
  return {
    issue: { act: await hold(bench.issue), finds: [], digests: [] },
    redeem: { act: await hold(() => bench.redeem(code)), finds: ofCode, digests },
    rotate: { act: await hold(() => bench.refresh(refreshToken)), finds: ofGrant, digests: [] },
    end: { act: await hold(() => bench.endGrant(grantId)), finds: ofGrant, digests: [] },
  };
}

/** Operations per second from the call to the answer: verifying, reading, signing, and what the measurement above is of. */
async function measureWhole(bench: BenchAuthority): Promise<Record<Operation, number>> {
  const count = WHOLE_OPERATIONS;
  const timed = async <Given, Answer>(all: readonly Given[], work: (one: Given) => Promise<Answer>) => {
    const startedMs = performance.now();
    const answers = await inParallel(all, AT_ONCE, work);
    return { answers, perSecond: (count * 1_000) / (performance.now() - startedMs) };
  };
  const issue = await timed(Array.from({ length: count }), bench.issue);
  const codes = await inParallel(await bench.beginSessions(count), AT_ONCE, bench.issueCode);
  const redeem = await timed(codes, bench.redeem);
  const rotate = await timed(
    redeem.answers.map(({ refresh_token }) => refresh_token ?? ''),
    bench.refresh,
  );
  const grantIds = rotate.answers.map(({ refresh_token }) => grantIdOf(refresh_token ?? ''));
  const end = await timed(grantIds, bench.endGrant);
  return {
    ...{ issue: issue.perSecond, redeem: redeem.perSecond, rotate: rotate.perSecond, end: end.perSecond },
  };
}

function report(measurements: readonly Measurement[], whole: Record<Operation, number>): boolean {
  let goalMet = true;
  const rows = CONNECTIONS.flatMap((connections) =>
    OPERATIONS.map((operation) => {
      const own = measurements.filter((row) => row.operation === operation && row.connections === connections);
      const ratio = median(own.map(({ engine, bare }) => engine / bare));
      if (ratio < GOAL_RATIO) goalMet = false;
      return [
        ...[operation, String(connections)],
        median(own.map(({ engine }) => engine)).toFixed(0),
        median(own.map(({ bare }) => bare)).toFixed(0),
        ...[ratio.toFixed(2), ratio < GOAL_RATIO ? 'MISSED' : 'met'],
        connections === AT_ONCE ? whole[operation].toFixed(0) : '',
      ];
    }),
  );
  printTable(
    ['operation', 'connections', 'engine/s', 'pgbench/s', 'ratio', `goal ${GOAL_RATIO}`, 'whole/s, one process'],
    rows,
  );
  return goalMet;
}

function grantIdOf(refreshToken: string): string {
  const claims: unknown = JSON.parse(Buffer.from(refreshToken.split('.')[1] ?? '', 'base64url').toString());
  if (typeof claims !== 'object' || claims === null || !('gid' in claims)) throw new Error('No refresh token.');
  return String(claims.gid);
}

if (import.meta.main) await benchClusterStore();
