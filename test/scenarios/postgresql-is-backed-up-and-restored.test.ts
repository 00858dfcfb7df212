// Once: it has servers of PostgreSQL of its own.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createVerifier } from '@countersign/verifier';
import { Installation, pause } from './command-line.ts';
import { documentedBlocks, wordsOf } from './documented.ts';
import { adapted, Cluster, WITHOUT_CLUSTER } from './postgres-cluster.ts';

const PAGE = 'backup.md';
const MAIN = '/var/lib/postgresql/15/main';
const BASE = '/backups/2026-11-24';
/** The second heading of these names is PostgreSQL's. */
const [ARCHIVING = ''] = documentedBlocks(PAGE, 'Backup of PostgreSQL', 'ini');
const [BASE_BACKUP = ''] = documentedBlocks(PAGE, 'Backup of PostgreSQL');
const [PUT_BACK = '', WITH_JOURNALS = '', WITHOUT_JOURNALS = ''] = documentedBlocks(PAGE, 'Restore of PostgreSQL');
const [DUMP = '', LOAD = ''] = documentedBlocks(PAGE, 'Restore of a dump');
const [RECOVERY = ''] = documentedBlocks(PAGE, 'Restore of PostgreSQL', 'ini');

/** A server of PostgreSQL as the page sets it up, and a node on it. */
async function setUp(t: TestContext, settings: Record<string, string> = {}) {
  const cluster = await Cluster.make((root) => adapted(ARCHIVING, { '/archive': join(root, 'archive') }));
  t.after(() => cluster.remove());
  const archive = cluster.folder('archive');
  cluster.folder('backups');
  const here = await Installation.make();
  t.after(() => here.remove());
  const key = { COUNTERSIGN_MASTER_KEY: 'q83N0b7n4bGq0x1yZc3ZbJ2xk9m5v8w2T6f4hLr1sUo=' };
  here.environment = { ...key, COUNTERSIGN_DATABASE_URL: cluster.url, ...settings };
  const server = await here.start();
  const [client, api] = [await here.addClient(), await here.addResourceServer()];
  const base = join(cluster.root, 'backups', 'base');
  const backUp = () => cluster.shell(BASE_BACKUP, { [BASE]: base });
  /** Back to the base backup and, of the archive, to what `isWhole` says. */
  const putBack = (isWhole: boolean) => {
    cluster.stop();
    cluster.shell(PUT_BACK, { [BASE]: base, [MAIN]: cluster.dataFolder });
    const command = isWhole
      ? adapted(RECOVERY, { '/archive': archive })
      : adapted(RECOVERY, { '/archive': '/nothing' });
    cluster.configure(command);
    cluster.start();
  };
  return { cluster, here, server, client, api, backUp, putBack };
}

type Scene = Awaited<ReturnType<typeof setUp>>;

/** Until the node answers a token's introspection with this status. */
async function answersWith({ here, api }: Scene, status: number, code?: string): Promise<void> {
  const untilMs = Date.now() + 30_000;
  for (;;) {
    const answer = await here.post('/oauth2/introspect', { token: 'x', ...api }).catch(() => undefined);
    if (answer?.status === status && (code === undefined || answer.body.code === code)) return;
    assert.ok(Date.now() < untilMs, `the node answers ${answer?.status} ${answer?.body.code}, not ${status} ${code}`);
    await pause(50);
  }
}

test('an older base backup: nodes stop by themselves, and after a restore point with the journals go on', {
  skip: WITHOUT_CLUSTER,
}, async (t) => {
  const journals = { COUNTERSIGN_JOURNAL_FOLDER: 'journals' };
  const scene = await setUp(t, journals);
  const { here, server, client, api, backUp, putBack } = scene;
  const ada = await here.logIn('ada@example.com');
  const kept = await here.obtainTokens(ada, client);
  const revoked = await here.obtainTokens(await here.logIn('bob@example.com'), client);
  const disabled = await here.obtainTokens(await here.logIn('cyd@example.com'), client);
  const verifier = createVerifier({
    ...{ issuer: here.issuer, audience: here.issuer },
    credentials: { clientId: api.client_id, clientSecret: api.client_secret },
  });
  t.after(() => verifier.close());
  const accepts = async (token: string) => (await verifier.verify(token)).kind === 'accepted';
  backUp();
  const newest = await here.refresh(client, kept.refresh_token);
  assert.equal(newest.status, 200);
  const { record } = await here.json(['token', 'inspect'], revoked.access_token);
  assert.equal((await here.run(['grant', 'revoke', String(Object(record).grant)])).code, 0);
  assert.equal((await here.run(['user', 'disable', 'cyd@example.com'])).code, 0);
  assert.ok(await accepts(String(newest.body.access_token)));

  putBack(false);
  await answersWith(scene, 503, 'unavailable.store_behind');
  assert.equal((await fetch(`${here.issuer}/readyz`)).status, 503);
  const second = await here.refresh(client, revoked.refresh_token);
  assert.deepEqual([second.status, second.body.code], [503, 'unavailable.store_behind']);

  const point = await here.run([...wordsOf(WITH_JOURNALS, { '/journals': 'journals' }), '--json']);
  assert.equal(point.code, 0, point.stderr);
  const { journal, outcome, epoch } = JSON.parse(point.stdout);
  assert.equal(journal, 'complete');
  assert.equal(outcome.replayed.grant_ended, 1);
  assert.equal(outcome.replayed.user_disabled, 1);
  assert.ok(outcome.replayed.grant_rotated >= 1);
  assert.ok(epoch > 1_700_000_000);

  await answersWith(scene, 200);
  for (const { access_token } of [kept, revoked, disabled]) assert.equal(await here.isActive(api, access_token), false);
  assert.equal((await here.refresh(client, revoked.refresh_token)).body.error, 'invalid_grant');
  assert.equal((await here.refresh(client, disabled.refresh_token)).body.error, 'invalid_grant');
  const next = await here.refresh(client, String(newest.body.refresh_token));
  assert.equal(next.status, 200, 'the honest client goes on with the newest refresh token it has');
  const untilMs = Date.now() + 45_000;
  while (!(await accepts(String(next.body.access_token)))) {
    assert.ok(Date.now() < untilMs, 'the verifier does not come back');
    await pause(100);
  }
  assert.equal(await accepts(String(newest.body.access_token)), false);
  assert.notEqual((await ada.request('/account')).status, 200, 'sessions are dead');
  assert.equal((await here.logIn('ada@example.com')).cookies.has('__Host-session'), true);
  assert.deepEqual((await here.json(['alarms'])).alarms, []);
  assert.ok(readdirSync(join(here.root, 'journals')).length >= 1);
  assert.equal(await server.stop(), 0);
});

test('without journals a restore point ends every grant, and a node that was stopped starts on no older copy', {
  skip: WITHOUT_CLUSTER,
}, async (t) => {
  const scene = await setUp(t, { COUNTERSIGN_JOURNAL_FOLDER: 'journals' });
  const { here, server, client, backUp, putBack } = scene;
  const kept = await here.obtainTokens(await here.logIn('ada@example.com'), client);
  backUp();
  const newest = await here.refresh(client, kept.refresh_token);
  assert.equal(await server.stop(), 0);
  putBack(false);
  const refused = await here.run(['start'], { endWithinMs: 30_000 });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /older copy of what this node has seen.*countersign restore-point/s);
  const point = await here.run(wordsOf(WITHOUT_JOURNALS));
  assert.equal(point.code, 0, point.stderr);
  assert.match(point.stdout, /Grants all ended \(1\)/);
  const journals = join(here.root, 'journals');
  const lines = readdirSync(journals, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(journals, name), 'utf8').split('\n'));
  const ends = lines.filter((line) => line.includes('"grant_ended"') && line.includes('"reason":"restore"'));
  assert.equal(ends.length, 1, 'a later restore of the same base backup does not bring it back');
  await here.start();
  assert.equal((await here.refresh(client, String(newest.body.refresh_token))).body.error, 'invalid_grant');
  const anew = await here.obtainTokens(await here.logIn('ada@example.com'), client);
  assert.equal((await here.refresh(client, anew.refresh_token)).status, 200);
});

test('with the whole archive nothing is lost, and no node notices more than the pause', {
  skip: WITHOUT_CLUSTER,
}, async (t) => {
  const scene = await setUp(t);
  const { here, client, api, backUp, putBack } = scene;
  const kept = await here.obtainTokens(await here.logIn('ada@example.com'), client);
  backUp();
  const newest = await here.refresh(client, kept.refresh_token);
  putBack(true);
  await answersWith(scene, 200);
  assert.equal(await here.isActive(api, String(newest.body.access_token)), true);
  assert.equal((await here.refresh(client, String(newest.body.refresh_token))).status, 200);
});

test('a dump that is loaded into another server is not served from before a restore point, and then revocations are told', {
  skip: WITHOUT_CLUSTER,
}, async (t) => {
  const { cluster, here, server, client, api } = await setUp(t);
  // The old server has given more numbers than the new one will for long.
  cluster.run('psql', [
    '-qc',
    'DO $$ BEGIN FOR n IN 1..2000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$',
  ]);
  assert.equal((await here.run(['user', 'add', 'bob@example.com'])).code, 0);
  assert.equal((await here.run(['user', 'disable', 'bob@example.com'])).code, 0);
  assert.equal(await server.stop(), 0);
  const file = join(cluster.folder('dumps'), 'dump.sql');
  const places = { '/backups/2026-11-24.sql': file, 'dbname=countersign': 'dbname=postgres' };
  cluster.shell(DUMP, places);
  const other = await Cluster.make(() => '');
  t.after(() => other.remove());
  other.shell(LOAD, places);
  here.environment = { ...here.environment, COUNTERSIGN_DATABASE_URL: other.url };
  for (const words of [['start'], ['user', 'list']]) {
    const refused = await here.run(words, { endWithinMs: 30_000 });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /brought to this database server by a dump.*countersign restore-point/s);
  }
  const point = await here.run(wordsOf(WITHOUT_JOURNALS));
  assert.equal(point.code, 0, point.stderr);
  await here.start();
  const verifier = createVerifier({
    ...{ issuer: here.issuer, audience: here.issuer },
    credentials: { clientId: api.client_id, clientSecret: api.client_secret },
  });
  t.after(() => verifier.close());
  const { access_token } = await here.obtainTokens(await here.logIn('ada@example.com'), client);
  const isAccepted = async () => (await verifier.verify(access_token)).kind === 'accepted';
  assert.ok(await isAccepted());
  assert.equal((await here.run(['user', 'disable', 'ada@example.com'])).code, 0);
  // Far less than the bound: what is told is known at once.
  for (const untilMs = Date.now() + 10_000; await isAccepted(); await pause(50)) {
    assert.ok(Date.now() < untilMs, 'the revocation is not told');
  }
});
