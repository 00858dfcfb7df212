/**
 * What waking the other nodes costs the write path: revocations per second over PostgreSQL, each a durable commit of its own on one of
 * ten connections, without waking, with NOTIFY in the transaction, with NOTIFY after the commit, and with NATS. A second node listens.
 * The ways take turns, so that whatever else the machine does meets all of them.
 *
 *     node bench/wake-ups.ts        TEST_DATABASE_URL, TEST_NATS_URL: other servers than those of this machine
 */
import { randomUUID } from 'node:crypto';
import { dropScratchDatabase, makeScratchDatabase, systemRandom } from '@countersign/server';
import pg from 'pg';
import { type WakeUps, wakeUpsBetweenNodes } from '../packages/server/src/revocation/revocation.ts';
import type { Bus } from '../packages/server/src/world/bus.ts';
import { natsBus } from '../packages/server/src/world/bus-nats.ts';
import { postgresBus } from '../packages/server/src/world/bus-postgres.ts';

const CONNECTIONS = 10;
const ROUNDS = 4;
const ROUND_MS = 1_500;
const CONNECT_MS = 5_000;

const INSERT = `INSERT INTO invalidation (at_ms, kind, subject_id, until_ms) VALUES (0, 'token', $1, 0)`;
const INSERT_AND_NOTIFY = `WITH row AS (${INSERT} RETURNING 1) SELECT pg_notify('countersign_wake_up', '') FROM row`;
const QUIET = { info: () => {}, warn: () => {}, error: () => {} };

interface Way {
  name: string;
  text: string;
  wake: () => void;
  counts: number[];
}

const server = { url: process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres', run: 'bench' };
const url = await makeScratchDatabase(server);
const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS });
pool.on('error', () => {}); // the database is dropped under it at the end
const opened: WakeUps[] = [];
const wakings = new Map<string, number>();
try {
  const byPostgres = await nodesOver('NOTIFY after the commit', postgresBus({ connectionString: url }));
  const nats = natsBus({ url: process.env.TEST_NATS_URL ?? 'nats://127.0.0.1:4222', subject: `bench.${randomUUID()}` });
  const byNats = await nodesOver('NATS after the commit', nats);
  const ways: Way[] = [
    { name: 'no waking', text: INSERT, wake: () => {}, counts: [] },
    { name: 'NOTIFY in the transaction', text: INSERT_AND_NOTIFY, wake: () => {}, counts: [] },
    ...(byPostgres ? [{ name: 'NOTIFY after the commit', text: INSERT, wake: byPostgres, counts: [] }] : []),
    ...(byNats ? [{ name: 'NATS after the commit', text: INSERT, wake: byNats, counts: [] }] : []),
  ];
  for (const way of ways) await write(way, ROUND_MS / 3); // connections, plans, pages
  for (let round = 0; round < ROUNDS; round++) for (const way of ways) way.counts.push(await write(way, ROUND_MS));
  const perSecond = ({ counts }: Way) =>
    (counts.reduce((sum, count) => sum + count, 0) / counts.length / ROUND_MS) * 1_000;
  const plain = perSecond(ways[0] as Way); // the list above begins with it
  console.log(`${CONNECTIONS} connections, ${ROUNDS} rounds of ${ROUND_MS} ms each`);
  for (const way of ways) {
    const rounds = way.counts.map((count) => Math.round((count / ROUND_MS) * 1_000)).join(' ');
    const woken = wakings.get(way.name);
    const heard = woken === undefined ? '' : `, ${woken} wake-ups heard`;
    console.log(
      `${way.name.padEnd(26)} ${Math.round(perSecond(way))}/s, ${(perSecond(way) / plain).toFixed(2)} of the first (${rounds}${heard})`,
    );
  }
} finally {
  for (const wakeUps of opened) await wakeUps.close();
  await pool.end();
  await dropScratchDatabase(server, url);
}

async function write({ text, wake }: Way, forMs: number): Promise<number> {
  const endsMs = performance.now() + forMs;
  let count = 0;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      while (performance.now() < endsMs) {
        await pool.query({ name: text.slice(0, 20), text, values: ['acctok_0000000000000000000000'] });
        wake();
        count++;
      }
    }),
  );
  return count;
}

/** Two nodes; returns how the first one wakes. Undefined: there is no such server. */
async function nodesOver(name: string, bus: Bus): Promise<(() => void) | undefined> {
  const [here, there] = [1, 2].map(() => wakeUpsBetweenNodes({ bus, log: QUIET, random: systemRandom })) as [
    WakeUps,
    WakeUps,
  ];
  opened.push(here, there);
  const isThere = new Promise<boolean>((resolve) => {
    here.onWake(() => resolve(true));
    setTimeout(() => resolve(false), CONNECT_MS).unref();
  });
  if (!(await isThere)) {
    console.log(`${name}: no server is there`);
    return undefined;
  }
  wakings.set(name, 0);
  there.onWake(() => wakings.set(name, (wakings.get(name) ?? 0) + 1));
  return () => here.wake();
}
