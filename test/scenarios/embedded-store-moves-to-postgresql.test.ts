// Once: it begins on the one and ends on the other.
// Needs PostgreSQL: the story moves there.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { createVerifier } from '@countersign/verifier';
import pg from 'pg';
import { Installation, pause } from './command-line.ts';
import { documentedBlocks, wordsOf } from './documented.ts';
import { adapted } from './postgres-cluster.ts';

const PAGE = 'moving-to-postgresql.md';
const FILE = 'countersign-export.jsonl';
/** The page's own words; each must be there. */
const [DATABASE = ''] = documentedBlocks(PAGE, '1. Make a database', 'sql');
const [EXPORT = '', ABANDON = ''] = documentedBlocks(PAGE, '2. Export');
const [IMPORT = ''] = documentedBlocks(PAGE, '3. Import');
const [START = ''] = documentedBlocks(PAGE, '4. Serve');

const SERVER = {
  url: process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres',
  run: process.env.COUNTERSIGN_TEST_RUN ?? 'alone',
};
/** A push takes milliseconds; a machine that is busy, longer. */
const PUSHED_WITHIN_MS = 8_000;

/** A database as the page makes it, under a name of this run, and its URL as the page's role. */
async function newDatabase(t: TestContext): Promise<string> {
  const name = `countersign_test_${Date.now()}_${SERVER.run}_${randomBytes(4).toString('hex')}`;
  const atServer = async (statements: readonly string[]) => {
    const client = new pg.Client({ connectionString: SERVER.url });
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  };
  const password = randomBytes(16).toString('hex');
  const changes = { 'ROLE countersign': `ROLE ${name}`, 'DATABASE countersign': `DATABASE ${name}` };
  const made = adapted(DATABASE, { ...changes, 'OWNER countersign': `OWNER ${name}`, '…': password });
  t.after(() => atServer([`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`, `DROP ROLE IF EXISTS ${name}`]));
  await atServer(made.split(/;$/m).filter((statement) => statement.trim() !== ''));
  return Object.assign(new URL(SERVER.url), { pathname: `/${name}`, username: name, password }).href;
}

/** A new machine under the same name, with the old one's master key and certificate, and an empty database. */
async function newHome(t: TestContext, old: Installation): Promise<Installation> {
  const there = old.elsewhere();
  t.after(() => there.remove());
  there.environment = { COUNTERSIGN_DATABASE_URL: await newDatabase(t) };
  mkdirSync(there.dataFolder, { mode: 0o700 });
  cpSync(join(old.dataFolder, 'master.key'), join(there.dataFolder, 'master.key'));
  cpSync(join(old.dataFolder, 'tls'), join(there.dataFolder, 'tls'), { recursive: true });
  return there;
}

test('an installation moves while people use it, and nobody is logged out', async (t) => {
  const old = await Installation.make();
  t.after(() => old.remove());
  const server = await old.start();
  const [client, api] = [await old.addClient(), await old.addResourceServer()];
  const ada = await old.logIn('ada@example.com');
  const kept = await old.obtainTokens(ada, client);
  const revoked = await old.obtainTokens(await old.logIn('bob@example.com'), client);
  const later = await old.obtainTokens(await old.logIn('cyd@example.com'), client);
  const open = await old.openLink('dan@example.com');
  const { record } = await old.json(['token', 'inspect'], revoked.access_token);
  assert.equal((await old.run(['grant', 'revoke', String(Object(record).grant)])).code, 0);
  const verifier = createVerifier({
    ...{ issuer: old.issuer, audience: old.issuer },
    credentials: { clientId: api.client_id, clientSecret: api.client_secret },
  });
  t.after(() => verifier.close());
  const accepts = async (token: string) => (await verifier.verify(token)).kind === 'accepted';
  assert.ok(await accepts(kept.access_token));
  assert.ok(await accepts(later.access_token));
  assert.equal(await accepts(revoked.access_token), false);
  const code = await old.obtainCode(ada, client);

  const exported = await old.run(wordsOf(EXPORT));
  assert.equal(exported.code, 0, exported.stderr);
  assert.match(exported.stdout, /Exported \d+ rows .*nothing is served from this data folder/s);
  for (const [path, form] of [
    ['/oauth2/introspect', { token: kept.access_token, ...api }],
    ['/oauth2/token', { grant_type: 'refresh_token', refresh_token: kept.refresh_token ?? '', ...client }],
  ] as const) {
    const { status, body } = await old.post(path, form);
    assert.deepEqual([status, body.code], [503, 'unavailable.store_moved'], path);
  }
  assert.equal((await fetch(`${old.issuer}/readyz`)).status, 503);
  assert.equal((await fetch(`${old.issuer}/livez`)).status, 200);
  assert.ok(await accepts(kept.access_token), 'what a verifier knows stays good for its bound');
  assert.equal(await server.stop(), 0);
  const again = await old.run(wordsOf(START));
  assert.equal(again.code, 1);
  assert.match(again.stderr, /it was exported/);
  const abandoned = await old.run(wordsOf(ABANDON));
  assert.match(abandoned.stderr, /its file is whole and may be in use/);

  const there = await newHome(t, old);
  const words = wordsOf(IMPORT, { [FILE]: join(old.root, FILE) });
  const wrongKey = { COUNTERSIGN_MASTER_KEY: randomBytes(32).toString('base64') };
  const wrong = await there.run(words, { environment: wrongKey });
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /sealed under another master key/);
  const foreign = await there.run(words, { environment: { COUNTERSIGN_ISSUER: 'https://other.example' } });
  assert.match(foreign.stderr, /the file is of https:\/\/localhost/);
  const imported = await there.run(words);
  assert.equal(imported.code, 0, imported.stderr);
  assert.match(imported.stdout, /epoch is now 2/);
  const twice = await there.run(words);
  assert.equal(twice.code, 0, twice.stderr);
  assert.match(twice.stdout, /imported already.*Nothing was changed/);

  await there.start();
  assert.equal((await ada.request('/account')).status, 200, 'the session goes on');
  assert.ok(await there.isActive(api, kept.access_token));
  assert.equal(await there.isActive(api, revoked.access_token), false);
  assert.equal((await there.refresh(client, revoked.refresh_token)).body.error, 'invalid_grant');
  const next = await there.refresh(client, kept.refresh_token);
  assert.equal(next.status, 200);
  assert.equal((await there.post('/oauth2/token', { ...code, ...client })).status, 200, 'an open code is good');
  await open.browser.submit(await open.browser.get(open.link), {});
  assert.ok(open.browser.cookies.has('__Host-session'), 'an open link is good');
  assert.ok(await accepts(String(next.body.access_token)));
  assert.ok(await accepts(later.access_token));
  const inspected = await there.json(['token', 'inspect'], later.access_token);
  assert.equal((await there.run(['grant', 'revoke', String(Object(inspected.record).grant)])).code, 0);
  const untilMs = Date.now() + PUSHED_WITHIN_MS;
  while (await accepts(later.access_token)) {
    assert.ok(Date.now() < untilMs, 'the verifier does not hear of a revocation at the new home');
    await pause(20);
  }
  assert.deepEqual((await there.json(['alarms'])).alarms, [], 'nothing of this is anybody’s attack');
  assert.equal(await accepts(revoked.access_token), false);
});

test('an export that was broken off is gone on with, or given up', async (t) => {
  const here = await Installation.make();
  t.after(() => here.remove());
  const server = await here.start();
  const client = await here.addClient();
  const tokens = await here.obtainTokens(await here.logIn('ada@example.com'), client);
  assert.match((await here.run(wordsOf(ABANDON))).stderr, /none was begun/);
  const first = await here.json(wordsOf(EXPORT));
  assert.equal((await here.refresh(client, tokens.refresh_token)).status, 503);
  const whole = readFileSync(join(here.root, FILE), 'utf8');
  const second = await here.json(wordsOf(EXPORT));
  assert.deepEqual([second.mac, second.rowCount], [first.mac, first.rowCount]);
  assert.equal(readFileSync(join(here.root, FILE), 'utf8'), whole);
  assert.equal((await here.run([...wordsOf(ABANDON), '--never-imported'])).code, 0);
  assert.equal(await server.stop(), 0);
  await here.start();
  assert.equal((await here.refresh(client, tokens.refresh_token)).status, 200);
});

test('a folder that moved away is not brought back by a restore', async (t) => {
  const here = await Installation.make();
  t.after(() => here.remove());
  assert.equal((await here.run(['migrate'])).code, 0);
  const backup = join(here.root, 'backup');
  assert.equal((await here.run(['backup', backup])).code, 0);
  assert.equal((await here.run(wordsOf(EXPORT))).code, 0);
  const words = ['restore', backup, '--force'];
  const refused = await here.run(words);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /may be served from its new home.*--never-imported/s);
  assert.match((await here.run(wordsOf(EXPORT))).stdout, /Exported/, 'nothing was changed');
  assert.equal((await here.run([...words, '--never-imported'])).code, 0);
  assert.equal((await here.run(['user', 'add', 'ada@example.com'])).code, 0);
});

test('each command says which engine it is for', async (t) => {
  const here = await Installation.make();
  t.after(() => here.remove());
  assert.equal((await here.run(['migrate'])).code, 0);
  for (const words of [['import', 'x'], ['restore-point']]) {
    assert.match((await here.run(words)).stderr, /This is for PostgreSQL/);
  }
  assert.match((await here.run(['export'])).stderr, /--to <file>/);
  const environment = { COUNTERSIGN_DATABASE_URL: SERVER.url };
  assert.match((await here.run(wordsOf(EXPORT), { environment })).stderr, /This is for the database file/);
});
