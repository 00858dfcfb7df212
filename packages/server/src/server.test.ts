// Only on SQLite: the plans of its statements are read, as SQLite tells them.
import assert from 'node:assert/strict';
import { after, mock, test } from 'node:test';
import { Leases } from './leases/leases.ts';
import { composeServer } from './server.ts';
import type { Act, SqlValue, Transaction } from './store/store.ts';
import { AUDIENCE, claimsOf, HOME, IS_POSTGRES, openAuthority, START_MS } from './testing/testing.ts';

/** More in one minute than a busy authority ends: a hundred logins a second. */
const ENDED = 6_000;
const MINUTE_MS = 60_000;

const opened = await openAuthority();
after(opened.close);
const { authority, store } = opened;
/** Stands still, and with it the leases. */
const stopwatch = { monotonicMs: () => 0 };

/** Ids of rows in order of their making, as all ids are. */
const numbered = (prefix: string, number: number) => `${prefix}_${String(number).padStart(22, '0')}`;

/** Every job, and how often it would run. */
function jobsOf(): { intervalMs: number; step: () => unknown }[] {
  const jobs: { intervalMs: number; step: () => unknown }[] = [];
  const every = (intervalMs: number, step: () => unknown) => {
    jobs.push({ intervalMs, step });
    return { stop: () => {} };
  };
  const { log } = authority.world;
  const world = { ...authority.world, timers: { ...authority.world.timers, every } };
  // A node of its own each time, by the one name: it takes over whatever the one before it held.
  const leases = new Leases({ ...{ store, clock: opened.clock, random: opened.random, log }, stopwatch, node: 'node' });
  composeServer({ ...authority, world, leases }, undefined).startJobs();
  return jobs;
}

/** Rows of which nothing is needed any more: `count` in each of four tables. */
async function leaveBehind(userId: string, count: number): Promise<void> {
  const none = new Uint8Array(1);
  await store.write(async (tx) => {
    for (let row = 0; row < count; row++) {
      await tx.run('INSERT INTO mail (id, created_at_ms, give_up_at_ms) VALUES ($1, 1, 1)', numbered('mail', row));
      await tx.run(
        `INSERT INTO event (id, at_ms, type, severity, rings, detail) VALUES ($1, 1, 'session.ended', 'info', 0, '{}')`,
        numbered('evt', row),
      );
      await tx.run(
        `INSERT INTO browser_session (proof, id, digest, user_id, amr, created_at_ms, last_seen_ms, expires_at_ms, user_agent,
           network, ended_at_ms) VALUES ($1, $2, $3, $4, '[]', 1, 1, $5, '', '', 2)`,
        ...[none, numbered('sess', row), Buffer.from(String(row)), userId, START_MS * 2],
      );
      await tx.run(
        `INSERT INTO magic_link (proof, id, email, can_finish, mailed, browser_digest, bucket_version, record, code_key_id,
           code_mac, return_to, user_agent, network, created_at_ms, expires_at_ms)
         VALUES ($1, $2, '', 1, 1, $1, 1, $1, '', $1, '', '', '', 1, 1)`,
        ...[none, numbered('maglnk', row)],
      );
    }
  });
}

test('sweeps keep up: what a busy minute left behind is gone a minute later', async () => {
  const { user } = await opened.addUser('ada@example.com');
  await leaveBehind(user.id, ENDED);
  for (const { intervalMs, step } of jobsOf()) {
    for (let ms = 0; ms < MINUTE_MS; ms += intervalMs) await step();
  }
  for (const table of ['mail', 'event', 'browser_session', 'magic_link']) {
    const left = await store.read.get<{ rows: number }>(
      `SELECT count(*) AS rows FROM ${table} WHERE id < $1`,
      numbered('zzz', 0),
    );
    assert.ok((left?.rows ?? ENDED) < 100, `${table}: ${left?.rows} rows`);
  }
});

/** PostgreSQL reads a table of some rows from end to end whatever index there is. */
const onSqlite = { skip: IS_POSTGRES && 'its plans follow how many rows there are' };

test(
  'no change that a job makes reads a table from end to end: it would hold up every request, the longer the more rows there are',
  onSqlite,
  async () => {
    const texts = new Set<string>();
    const write = store.write.bind(store);
    mock.method(store, 'write', (work: (tx: Transaction) => Promise<unknown>) =>
      write((tx) => {
        const run = (text: string, ...values: Parameters<typeof tx.run>[1][]) => {
          texts.add(text);
          return tx.run(text, ...values);
        };
        return work({
          ...{ run, all: tx.all.bind(tx), get: tx.get.bind(tx) },
          ...{ journal: tx.journal.bind(tx), afterCommit: tx.afterCommit.bind(tx), do: tx.do.bind(tx) },
        });
      }),
    );
    for (const { step } of jobsOf()) await step();
    mock.restoreAll();
    assert.ok(texts.size >= 8);
    for (const text of texts) {
      const plan = await store.read.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${text.replaceAll(/\$\d/g, '1')}`);
      // `oldest` is what a subquery with a limit found.
      for (const { detail } of plan) assert.doesNotMatch(detail, /^SCAN (?!oldest)\w+$/, text);
    }
  },
);

test('a server that stops first writes down the forgeries that it only counted', async () => {
  const { addClient, addUser, obtainTokens, forge } = opened;
  const { client } = await addClient();
  const { client: api } = await addClient({
    ...{ redirectUris: [], grantTypes: [], scopes: [], resourceServerFor: [AUDIENCE] },
  });
  const { access_token } = await obtainTokens({ client, ...(await addUser('eve@example.com')) });
  const forged = await forge('access', 'at+jwt', { ...claimsOf(access_token), eb: undefined });
  await authority.introspection.report(api, { token: forged, suppressed: 41 }, HOME);
  const server = composeServer(authority, undefined);
  server.stopAccepting();
  await server.stopJobs();
  const counted = (await authority.events.alarms({ limit: 1_000 })).map(({ occurrences }) => occurrences);
  assert.equal(
    counted.reduce((sum, occurrences) => sum + occurrences, 0),
    42,
  );
});

test('every write of a job asks for its lease in its own commit', async () => {
  const { client } = await opened.addClient();
  const { user, session } = await opened.addUser('grace@example.com');
  const tokens = await opened.obtainTokens({ client, user, session });
  await opened.refresh(client, tokens.refresh_token);
  for (const ended of [1, 2]) {
    const { user: left } = await opened.addUser(`left-${ended}@example.com`);
    await authority.revocation.disableUser(left.id);
  }
  await leaveBehind(user.id, 1);
  await authority.events.record({ type: 'alarm.cleartext' });
  opened.clock.pass(400 * 86_400_000);
  const giveUpAtMs = opened.clock.now() + MINUTE_MS;
  await store.write((tx) => authority.mail.enqueue(tx, { to: '', subject: '', text: '', html: '', giveUpAtMs }));
  const write = store.write.bind(store);
  const commit = store.commit.bind(store);
  let commits: string[][] = [];
  mock.method(store, 'write', (work: (tx: Transaction) => Promise<unknown>) =>
    write((tx) => {
      const changes: string[] = [];
      commits.push(changes);
      const note = (text: string, rows: number) => void (rows > 0 && !text.startsWith('SELECT') && changes.push(text));
      const noting: Transaction = {
        async run(text, ...values) {
          const rows = await tx.run(text, ...values);
          note(text, rows);
          return rows;
        },
        async all<Row extends object>(text: string, ...values: SqlValue[]) {
          const rows = await tx.all<Row>(text, ...values);
          note(text, rows.length);
          return rows;
        },
        get: tx.get.bind(tx), // reads, in every job
        async do(act) {
          const outcome = await tx.do(act);
          for (const { text } of act.steps) note(text, 1);
          return outcome;
        },
        ...{ journal: tx.journal.bind(tx), afterCommit: tx.afterCommit.bind(tx) },
      };
      return work(noting);
    }),
  );
  mock.method(store, 'commit', (act: Act) => {
    commits.push(act.steps.map(({ text }) => text).reverse());
    return commit(act);
  });
  const [beat, ...jobs] = jobsOf();
  await beat?.step();
  let writing = 0;
  for (const { step } of jobs) {
    commits = [];
    await step();
    const changing = commits.filter((changes) => changes.length > 0);
    if (changing.length > 0) writing++;
    for (const changes of changing) assert.match(changes.at(-1) ?? '', /^UPDATE lease SET number = number WHERE/);
  }
  mock.restoreAll();
  assert.equal(writing, 11, 'of the steps, those of all jobs wrote');
});
