// Needs PostgreSQL: its nodes share one.
/** Several nodes over one PostgreSQL, as composed authorities and as the command line starts them. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import pg from 'pg';
import { composeAuthority } from '../server.ts';
import { dropScratchDatabase, makeScratchDatabase, openPostgresStore } from '../store/store.ts';
import { ISSUER, StandingClock, TEST_SERVER } from '../testing/testing.ts';
import { systemRandom } from '../world/random.ts';
import { systemStopwatch } from '../world/stopwatch.ts';
import { systemTimers } from '../world/timers.ts';
import { run } from './cli.ts';
import { memoryIn } from './memory.ts';
import { FakeTerminal } from './testing/terminal.ts';

const root = mkdtempSync(join(tmpdir(), 'countersign-nodes-'));
const databases: string[] = [];
after(async () => {
  for (const url of databases) await dropScratchDatabase(TEST_SERVER, url);
  rmSync(root, { recursive: true });
});

async function emptyDatabase(): Promise<string> {
  const url = await makeScratchDatabase(TEST_SERVER, { isEmpty: true });
  databases.push(url);
  return url;
}

/** A copy of a database as it is now. Nobody may be connected to it. */
async function copyOf(url: string): Promise<string> {
  const copy = await emptyDatabase();
  const [from, to] = [url, copy].map((one) => new URL(one).pathname.slice(1));
  const client = new pg.Client({ connectionString: TEST_SERVER.url });
  await client.connect();
  await client.query(`DROP DATABASE ${to}`);
  await client.query(`CREATE DATABASE ${to} TEMPLATE ${from}`);
  await client.end();
  return copy;
}

test('nodes that start at once over an empty database make its tables once, and one set of keys', async () => {
  const url = await emptyDatabase();
  const masterKey = systemRandom.bytes(32);
  const clock = new StandingClock();
  const quiet = () => {};
  const start = async () => {
    const store = await openPostgresStore({ url, clock, journal: { kind: 'none' }, connections: 3 });
    const authority = await composeAuthority({
      world: {
        ...{ clock, random: systemRandom, stopwatch: systemStopwatch, timers: systemTimers({ onError: quiet }) },
        log: { info: quiet, warn: quiet, error: quiet },
        mailTransport: { send: async () => {} },
      },
      settings: {
        ...{ issuer: ISSUER, accessAlgorithm: 'ES256', mailsPerMinute: 1, organizationName: 'Example' },
        ...{ signUp: true, hstsPreload: false, trustedProxies: [] },
      },
      ...{ store, masterKey },
    });
    return { store, authority };
  };
  const nodes = await Promise.all([start(), start(), start()]);
  const [first] = nodes;
  assert.ok(first);
  const rows = await first.store.read.all<{ kind: string; keys: number }>(
    `SELECT purpose || ' ' || algorithm || ' ' || state AS kind, count(*) AS keys FROM signing_key GROUP BY 1`,
  );
  assert.equal(rows.filter(({ kind }) => kind.endsWith(' active')).length, 7);
  assert.ok(
    rows.every(({ keys }) => keys === 1),
    JSON.stringify(rows),
  );
  assert.equal((await first.store.read.all('SELECT version FROM bucket_key')).length, 1);
  for (const { authority } of nodes) assert.equal(authority.keys.isReady(), true);
  const claims = { purpose: 'access', typ: 'at+jwt', claims: { n: 1 } } as const;
  const { token } = await first.authority.keys.sign(claims);
  for (const { authority } of nodes) {
    assert.equal((await authority.keys.verify({ purpose: 'access', typ: 'at+jwt', token })).kind, 'signed');
  }
  await Promise.all(nodes.map(({ store }) => store.close()));
});

test('a command refuses an older copy of what its data folder has seen, and is remembered there itself', async () => {
  const databaseUrl = await emptyDatabase();
  const dataFolder = join(root, 'seen');
  const ran = async (words: string, url = databaseUrl) => {
    const terminal = new FakeTerminal();
    const code = await run(
      terminal.for(words.split(' '), {
        ...{ COUNTERSIGN_DATA_FOLDER: dataFolder, COUNTERSIGN_DATABASE_URL: url },
        COUNTERSIGN_MASTER_KEY: masterKey,
      }),
    );
    return { code, stderr: terminal.stderr };
  };
  const masterKey = Buffer.from(systemRandom.bytes(32)).toString('base64');
  const succeeds = async (words: string) => assert.deepEqual(await ran(words), { code: 0, stderr: '' });
  await succeeds('migrate');
  await succeeds('user add ada@example.com');
  const older = await copyOf(databaseUrl);
  assert.equal((await ran('user list', older)).code, 0, 'nothing that is told was lost yet');
  await succeeds('user disable ada@example.com');
  const refused = await ran('user add eve@example.com', older);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /older copy of what this node has seen.*countersign restore-point/s);
  await succeeds('user list');
  // What a server of this folder saw meanwhile is not forgotten for what a command saw.
  const file = join(dataFolder, 'seen.json');
  const seen = JSON.parse(readFileSync(file, 'utf8'));
  assert.ok(seen.newest.subjectId.startsWith('user_'));
  memoryIn(dataFolder).write({ ...seen, head: seen.head + 1 });
  memoryIn(dataFolder).write(seen);
  assert.deepEqual(memoryIn(dataFolder).read(), { ...seen, head: seen.head + 1 });
});

test('the command line works on PostgreSQL, plans before it changes, and leaves to its tools what is theirs', async () => {
  const databaseUrl = await emptyDatabase();
  const dataFolder = join(root, 'data');
  const masterKey = Buffer.from(systemRandom.bytes(32)).toString('base64');
  const ran = async (words: string, more: Record<string, string> = {}) => {
    const terminal = new FakeTerminal();
    const environment = {
      COUNTERSIGN_DATA_FOLDER: dataFolder,
      COUNTERSIGN_DATABASE_URL: databaseUrl,
      COUNTERSIGN_MASTER_KEY: masterKey,
      ...more,
    };
    const code = await run(terminal.for(words.split(' '), environment));
    return { code, stdout: terminal.stdout, stderr: terminal.stderr };
  };
  const refused = await ran('client list');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /is empty.*countersign migrate/);

  const plan = await ran('migrate --plan');
  assert.match(plan.stdout, /^0001-foundation\n {2}nothing that is in use is locked\n0002-/);
  assert.match((await ran('client list')).stderr, /is empty/, 'a plan changes nothing');

  const lone = await ran('migrate', { COUNTERSIGN_MASTER_KEY: '' });
  assert.equal(lone.code, 1);
  assert.match(lone.stderr, /master key is missing/, 'of many nodes none makes a key of its own');
  assert.equal(existsSync(join(dataFolder, 'master.key')), false);

  const migrated = await ran('migrate');
  assert.equal(migrated.code, 0, migrated.stderr);
  assert.match(migrated.stdout, /^Made a database in PostgreSQL\. Applied: 0001-foundation/);
  assert.match((await ran('migrate --plan')).stdout, /that of this release already/);
  const created = await ran('client add --name Shop --redirect-uri https://shop.example/back --scope a --json');
  assert.equal(created.code, 0, created.stderr);
  assert.match((await ran('client list')).stdout, /Shop/);
  for (const words of [`backup ${join(root, 'copy')}`, `restore ${join(root, 'copy')}`]) {
    const { code, stderr } = await ran(words);
    assert.equal(code, 1);
    assert.match(stderr, /for the database file in the data folder/);
  }
  assert.equal(existsSync(join(dataFolder, 'countersign.db')), false);

  const other = { COUNTERSIGN_ISSUER: 'https://other.example' };
  for (const settings of [other, { COUNTERSIGN_ACCESS_ALGORITHM: 'Ed25519' }]) {
    for (const words of ['keys list', 'start', 'restore-point']) {
      const { code, stderr } = await ran(words, settings);
      assert.equal(code, 1);
      assert.match(stderr, /belongs to the authority with.* and here .*countersign keys adopt/);
    }
  }
  const before = await ran('keys list');
  assert.doesNotMatch(before.stdout, /Ed25519/);
  const adopted = await ran('keys adopt', { COUNTERSIGN_ACCESS_ALGORITHM: 'Ed25519' });
  assert.equal(adopted.code, 0, adopted.stderr);
  assert.match(adopted.stdout, /access algorithm +Ed25519/);
  assert.equal((await ran('keys list')).code, 1, 'the settings of before are another now');
  const after = await ran('keys list', { COUNTERSIGN_ACCESS_ALGORITHM: 'Ed25519' });
  assert.match(after.stdout, /access +Ed25519 +active/);
  assert.equal((await ran('keys adopt')).code, 0);
  const embedded = await ran('keys adopt', { COUNTERSIGN_DATABASE_URL: '' });
  assert.equal(embedded.code, 1);
  assert.match(embedded.stderr, /for PostgreSQL.*restart it/);

  const otherKey = { COUNTERSIGN_MASTER_KEY: Buffer.from(systemRandom.bytes(32)).toString('base64') };
  assert.match((await ran('restore-point', otherKey)).stderr, /sealed under another master key.*Nothing was changed/s);
  assert.equal((await ran('client list')).code, 0, 'no fence was left behind');
  const highest = Number.MAX_SAFE_INTEGER;
  assert.match((await ran(`restore-point --above-epoch ${highest}`)).stderr, /It must be a whole number/);
  const point = await ran(`restore-point --json --above-epoch ${highest - 1}`);
  assert.equal(JSON.parse(point.stdout).epoch, highest);

  const away = new URL(databaseUrl);
  away.port = '1';
  away.password = 'hunter2';
  const unreachable = await ran('client list', { COUNTERSIGN_DATABASE_URL: away.href });
  assert.equal(unreachable.code, 1);
  assert.match(unreachable.stderr, /Connecting to the database failed \(ECONNREFUSED\)/);
  assert.doesNotMatch(unreachable.stderr, /hunter2/);
});
