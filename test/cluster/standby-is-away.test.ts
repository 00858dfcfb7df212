/**
 * A write is acknowledged only when the synchronous standby has it, whatever happens to those who wait: PostgreSQL shows a commit whose
 * waiting was broken off as if it were done.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Act, openPostgresStore, type PostgresStore } from '../../packages/server/src/store/store.ts';
import { systemClock } from '../../packages/server/src/world/clock.ts';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { PrivatePostgres, WITHOUT_POSTGRES } from './private-postgres.ts';

const skip = WITHOUT_POSTGRES;
const DATABASE = 'postgres';
/** At the server; a commit is given up two seconds later, and with it the wait for the standby. */
const STATEMENT_TIMEOUT_MS = 1_500;
const TIMEOUT_MS = 120_000;

let primary: PrivatePostgres;
let store: PostgresStore;
before(async () => {
  if (skip !== false) return;
  primary = await PrivatePostgres.make();
  store = await openPostgresStore({
    ...{ url: primary.urlOf(DATABASE), clock: systemClock, connections: 3, statementTimeoutMs: STATEMENT_TIMEOUT_MS },
    journal: { kind: 'none' },
  });
  await store.write((tx) => tx.run('CREATE TABLE kept (id TEXT PRIMARY KEY)'));
});
after(async () => {
  await store?.close();
  await primary?.drop();
});

async function setStandbys(names: string): Promise<void> {
  await primary.query(DATABASE, `ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
  await primary.query(DATABASE, 'SELECT pg_reload_conf()');
  await eventually('the setting is read', async () => {
    const [row] = await primary.query<{ synchronous_standby_names: string }>(
      DATABASE,
      'SHOW synchronous_standby_names',
    );
    return row?.synchronous_standby_names === names;
  });
  // A backend reads it when it is asked next; those of the pool are asked here.
  await Promise.all(Array.from({ length: 6 }, () => store.write((tx) => tx.all('SELECT epoch FROM store_epoch'))));
}

const waiting = async () =>
  (await primary.query<{ pid: number }>(DATABASE, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")).map(
    ({ pid }) => pid,
  );
const keeping = (id: string): Act => ({
  steps: [{ text: 'INSERT INTO kept (id) VALUES ($1)', values: [id] }],
  footprint: { text: 'SELECT id FROM kept WHERE id = $1', values: [id] },
});
const byWork = (id: string) => store.write((tx) => tx.run('INSERT INTO kept (id) VALUES ($1)', id));
const byAct = (id: string) => store.commit(keeping(id));
const notAcknowledged = (writing: Promise<unknown>) =>
  assert.rejects(writing, { code: 'store_unavailable', message: /no synchronous standby acknowledged it/ });

test('with its synchronous standby away nothing is acknowledged, and nobody is left waiting', {
  skip,
  timeout: TIMEOUT_MS,
}, async () => {
  await setStandbys('standby');
  try {
    await Promise.all([notAcknowledged(byWork('work')), notAcknowledged(byAct('act'))]);
    const { footprint: _, ...lone } = keeping('act without footprint');
    await assert.rejects(store.commit(lone), { code: 'store_unavailable', message: /unknown/ });
    await assert.rejects(store.assertUsable());
    await eventually('nobody waits', async () => (await waiting()).length === 0);
  } finally {
    await setStandbys('');
  }
  await Promise.all([byWork('work after'), byAct('act after')]);
  await store.assertUsable();
});

test('nor where somebody tells those who wait that they need not', { skip, timeout: TIMEOUT_MS }, async () => {
  await setStandbys('standby');
  let isOver = false;
  const cancelling = (async () => {
    while (!isOver) {
      for (const pid of await waiting()) await primary.query(DATABASE, 'SELECT pg_cancel_backend($1)', [pid]);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  try {
    await Promise.all([notAcknowledged(byWork('cancelled work')), notAcknowledged(byAct('cancelled act'))]);
  } finally {
    isOver = true;
    await cancelling;
    await setStandbys('');
  }
});

test('what was acknowledged is at the standby; while that is down nothing is, and afterwards it goes on', {
  skip,
  timeout: TIMEOUT_MS,
}, async () => {
  const standby = await primary.standby();
  try {
    await setStandbys('*');
    const acknowledged: string[] = [];
    const both = async (name: string) => {
      await Promise.all([byWork(`${name} work`), byAct(`${name} act`)]);
      acknowledged.push(`${name} work`, `${name} act`);
    };
    await both('there');
    await standby.stop('immediate');
    await Promise.all([notAcknowledged(byWork('down work')), notAcknowledged(byAct('down act'))]);
    const late = byWork('late');
    await eventually('it waits', async () => (await waiting()).length > 0);
    await standby.start();
    await late;
    await both('again');
    await primary.stop('immediate');
    const rows = await standby.query<{ id: string }>(DATABASE, 'SELECT id FROM kept');
    const kept = new Set(rows.map(({ id }) => id));
    for (const id of [...acknowledged, 'late']) assert.ok(kept.has(id), id);
  } finally {
    await standby.drop();
  }
});
