// Needs PostgreSQL and the programs of PostgreSQL and NATS: its nodes share one, crash one, and wake each other.
/** Two nodes over one PostgreSQL: what one revokes, the streams of the other hear, by whatever wakes it, and without anything that does. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, type TestContext, test } from 'node:test';
import {
  composeAuthority,
  openPostgresStore,
  openScratchStore,
  systemRandom,
  systemStopwatch,
} from '@countersign/server';
import { Client } from 'pg';
import { InvalidationLog, type WakeUps, wakeUpsBetweenNodes } from '../../packages/server/src/revocation/revocation.ts';
import type { Bus } from '../../packages/server/src/world/bus.ts';
import { natsBus } from '../../packages/server/src/world/bus-nats.ts';
import { systemClock } from '../../packages/server/src/world/clock.ts';
import { systemTimers } from '../../packages/server/src/world/timers.ts';
import { PrivatePostgres } from '../cluster/private-postgres.ts';

/** Far more than a poll takes: a machine may be busy. */
const PATIENCE_MS = 15_000;
const AUDIENCE = 'https://api.example';
const QUIET = { info: () => {}, warn: () => {}, error: () => {} };

const server = { url: process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres', run: 'nodes' };
const { store, url, drop } = await openScratchStore({ server, clock: systemClock, journal: [] });
const second = await openPostgresStore({
  ...{ url, clock: systemClock, connections: 3 },
  journal: { kind: 'collected', entries: [] },
});
after(async () => {
  await second.close();
  await drop();
});
const masterKey = randomBytes(32);

function nodeOver(nodeStore: typeof store, wakeUps?: WakeUps) {
  return composeAuthority({
    world: {
      ...{ clock: systemClock, random: systemRandom, stopwatch: systemStopwatch, log: QUIET },
      timers: systemTimers({ onError: () => {} }),
      mailTransport: { send: async () => {} },
    },
    settings: {
      ...{ issuer: 'https://auth.example', accessAlgorithm: 'ES256', mailsPerMinute: 10, organizationName: 'Example' },
      ...{ signUp: true, hstsPreload: false, trustedProxies: [] },
    },
    ...{ store: nodeStore, masterKey },
    ...(wakeUps && { wakeUps }),
  });
}

/** Milliseconds from a revocation at one node to the message on a stream of the other. */
async function heardAfterMs(t: TestContext, wakeUps: readonly [WakeUps?, WakeUps?]): Promise<number> {
  const [here, there] = [await nodeOver(store, wakeUps[0]), await nodeOver(second, wakeUps[1])];
  const user = await store.write((tx) => here.users.create(tx, `${randomUUID()}@example.com`));
  const { client } = await here.clients.add({
    ...{
      name: 'API',
      isConfidential: true,
      redirectUris: [],
      grantTypes: [],
      scopes: [],
      audience: 'https://none.example',
    },
    resourceServerFor: [AUDIENCE],
  });
  const nonce = randomBytes(16).toString('base64url');
  const opened = await there.push.open(client, { nonce, maxStalenessMs: 30_000, resume: undefined });
  assert.ok(opened.kind === 'opened');
  const reader = opened.body.getReader();
  t.after(() => reader.cancel());
  let text = '';
  const until = async (event: string) => {
    while (!text.includes(event)) text += new TextDecoder().decode((await reader.read()).value);
  };
  const timer = setTimeout(() => reader.cancel(), PATIENCE_MS);
  t.after(() => clearTimeout(timer));
  await until('event: heartbeat');
  await here.revocation.disableUser(user.id);
  const committedMs = performance.now();
  await until('event: invalidate');
  return performance.now() - committedMs;
}

async function betweenNodes(t: TestContext, bus: Bus): Promise<WakeUps> {
  const wakeUps = wakeUpsBetweenNodes({ bus, log: QUIET, random: systemRandom });
  t.after(() => wakeUps.close());
  await new Promise<void>((resolve) => wakeUps.onWake(resolve)); // it is connected
  return wakeUps;
}

test('what one node revokes is heard at another, woken by PostgreSQL', async (t) => {
  const wakeUps = [await betweenNodes(t, store.bus()), await betweenNodes(t, second.bus())] as const;
  const ms = await heardAfterMs(t, wakeUps);
  t.diagnostic(`${ms.toFixed(1)} ms`);
});

test('what one node revokes is heard at another, woken by NATS', async (t) => {
  const bus = natsBus({
    url: process.env.TEST_NATS_URL ?? 'nats://127.0.0.1:4222',
    subject: `countersign.${randomUUID()}`,
  });
  const wakeUps = [await betweenNodes(t, bus), await betweenNodes(t, bus)] as const;
  t.diagnostic(`${(await heardAfterMs(t, wakeUps)).toFixed(1)} ms`);
});

test('what one node revokes is heard at another by polling, where neither way to wake it is there', async (t) => {
  const nowhere: Bus = natsBus({ url: 'nats://127.0.0.1:1', subject: 'nobody' });
  const down = () => {
    const wakeUps = wakeUpsBetweenNodes({ bus: nowhere, log: QUIET, random: systemRandom });
    t.after(() => wakeUps.close());
    return wakeUps;
  };
  t.diagnostic(`unreachable: ${(await heardAfterMs(t, [down(), down()])).toFixed(1)} ms`);
  t.diagnostic(`none: ${(await heardAfterMs(t, [])).toFixed(1)} ms`);
});

test('a crash of PostgreSQL, after which numbers of transactions are given again, hides no row from whoever read before', async (t) => {
  const cluster = await PrivatePostgres.make();
  t.after(() => cluster.drop());
  const url = cluster.urlOf('postgres');
  const own = await openPostgresStore({
    ...{ url, clock: systemClock, connections: 2 },
    journal: { kind: 'collected', entries: [] },
  });
  t.after(() => own.close());
  const log = new InvalidationLog(own);
  const insert = async (client: Client, subject: string) => {
    const text = `INSERT INTO invalidation (at_ms, kind, subject_id, until_ms) VALUES (0, 'token', $1, 0) RETURNING xid::text`;
    return Number((await client.query<{ xid: string }>(text, [subject])).rows[0]?.xid);
  };
  const before = await connected(t, url);
  await insert(before, 'before');
  // Transactions with numbers of which nothing is written to the disk: a notification is one, and so is what is taken back.
  for (let count = 0; count < 20; count++) await before.query('NOTIFY nobody');
  const { rows } = await before.query<{ oldest: string }>(
    'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS oldest',
  );
  const read = await log.read({ upTo: 0, open: [] }, 100);
  const { head } = await log.state();
  await cluster.restart('immediate');
  const later = await connected(t, url);
  const again = await insert(later, 'after the crash');
  assert.ok(again < Number(rows[0]?.oldest), 'the number was given before, or this shows nothing');
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      const next = await log.read(read.seen, 100);
      assert.deepEqual(
        next.rows.map(({ subjectId }) => subjectId),
        ['after the crash'],
      );
      assert.ok((await log.state()).head >= head);
      return;
    } catch (error) {
      // Connections of before the crash are found to be lost one by one.
      if (error instanceof assert.AssertionError || performance.now() > until) throw error;
    }
  }
});

async function connected(t: TestContext, connectionString: string): Promise<Client> {
  const client = new Client({ connectionString });
  client.on('error', () => {}); // it crashes
  await client.connect();
  t.after(() => client.end());
  return client;
}
