// Needs PostgreSQL: it migrates one.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { inspect } from 'node:util';
import pg from 'pg';
import { TEST_SERVER } from '../../testing/testing.ts';
import { systemRandom } from '../../world/random.ts';
import { systemStopwatch } from '../../world/stopwatch.ts';
import { StoreRefusal, type StoreRefusalCode } from '../errors.ts';
import { locksOf } from '../migration-plan.ts';
import { indexesToMake, postgresDialect } from './dialect.ts';
import { migratePostgres, missingOnPostgres } from './migrating.ts';
import { openPostgresStore } from './postgres.ts';
import { dropScratchDatabase, makeScratchDatabase } from './scratch.ts';

const root = mkdtempSync(join(tmpdir(), 'countersign-migrating-'));
const url = await makeScratchDatabase(TEST_SERVER, { isEmpty: true });
const client = new pg.Client({ connectionString: url });
await client.connect();
let folder = root;

after(async () => {
  await client.end();
  await dropScratchDatabase(TEST_SERVER, url);
  rmSync(root, { recursive: true });
});

beforeEach(async () => {
  folder = mkdtempSync(join(root, 'case-'));
  await client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
});

const given = {
  place: { url },
  clock: { now: () => 42 },
  random: systemRandom,
  stopwatch: systemStopwatch,
};

function write(file: string, text: string): void {
  writeFileSync(join(folder, file), text);
}

async function names(): Promise<string[]> {
  return (await migratePostgres({ ...given, folder })).map(({ name }) => name);
}

async function refuses(code: StoreRefusalCode): Promise<void> {
  await assert.rejects(names(), (error) => error instanceof StoreRefusal && error.code === code);
}

test('applies in order, once, with what only PostgreSQL needs directly after, and remembers when', async () => {
  write('0002-second.sql', 'ALTER TABLE one ADD COLUMN b BLOB;');
  write('0001-first.sql', "CREATE TABLE one (a INTEGER, t TEXT DEFAULT 'TEXT');");
  write('0001-first.postgres.sql', 'ALTER TABLE one ADD COLUMN c xid8;');
  assert.deepEqual(
    (await missingOnPostgres({ place: { url }, folder })).map(({ name }) => name),
    ['0001-first', '0002-second'],
  );
  assert.deepEqual(await names(), ['0001-first', '0002-second']);
  assert.deepEqual(await names(), []);
  const { rows } = await client.query(
    "SELECT column_name, data_type, collation_name FROM information_schema.columns WHERE table_name = 'one' ORDER BY 1",
  );
  assert.deepEqual(
    rows.map((row) => Object.values(row).join(' ').trim()),
    ['a bigint', 'b bytea', 'c xid8', 't text C'],
  );
  assert.equal((await client.query('SELECT applied_at_ms FROM schema_migration')).rows[0].applied_at_ms, '42');
});

test('a migration that fails is taken back whole, those before it stay, and the next start goes on', async () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT);');
  write('0002-second.sql', 'CREATE TABLE two (a TEXT); SELECT nonsense;');
  await refuses('migration_failed');
  assert.equal((await client.query("SELECT to_regclass('two') AS it")).rows[0].it, null);
  write('0002-second.sql', 'CREATE TABLE two (a TEXT);');
  assert.deepEqual(await names(), ['0002-second']);
});

test('a migration that was applied and is another file now is refused, either of its files', async () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT);');
  await names();
  write('0001-first.postgres.sql', 'SELECT 1;');
  await refuses('migration_changed');
});

test('DP-08 the previous release runs on a schema that is one newer, and no older one does', async () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT);');
  write('0002-second.sql', 'CREATE TABLE two (a TEXT);');
  write('0003-third.sql', 'CREATE TABLE three (a TEXT);');
  await names();
  rmSync(join(folder, '0003-third.sql'));
  assert.deepEqual(await names(), []);
  rmSync(join(folder, '0002-second.sql'));
  await refuses('database_newer');
});

test('DP-08 nodes go on while a column is added: what they have prepared is prepared again', async () => {
  const store = await openPostgresStore({ ...given, url, journal: { kind: 'none' }, connections: 2 });
  try {
    const read = () => store.read.all('SELECT * FROM outlet WHERE name = $1', 'x');
    const work = () => store.write((tx) => tx.all('SELECT * FROM outlet WHERE name = $1', 'x'));
    await Promise.all([read(), read(), work(), work()]);
    await client.query('ALTER TABLE outlet ADD COLUMN later BIGINT');
    assert.deepEqual(await Promise.all([read(), read(), read(), work(), work(), work()]), [[], [], [], [], [], []]);
  } finally {
    await store.close();
  }
});

test('a migration that commits by itself is refused', async () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT); COMMIT;');
  await refuses('migration_failed');
});

test('somebody else’s tables are left alone', async () => {
  await client.query('CREATE TABLE theirs (a TEXT)');
  write('0001-first.sql', 'CREATE TABLE one (a TEXT);');
  await refuses('database_foreign');
});

test('of two that start together one migrates, and the other finds the work done', async () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT);');
  write('0002-second.sql', 'SELECT pg_sleep(0.3);');
  const applied = await Promise.all([names(), names()]);
  assert.deepEqual(applied.map((list) => list.length).sort(), [0, 2]);
});

test('one that waits for a lock lets others through, and gets on when the table is free', async () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT);');
  await names();
  write('0002-second.sql', 'ALTER TABLE one ADD COLUMN b TEXT;');
  const holder = new pg.Client({ connectionString: url });
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE one IN ACCESS SHARE MODE');
  const migrating = names();
  await new Promise((resolve) => setTimeout(resolve, 300));
  // It stands in the queue, so this waits behind it, but not for as long as the holder stays.
  await client.query('SELECT * FROM one');
  await holder.end();
  assert.deepEqual(await migrating, ['0002-second']);
});

test('one that waits for a node that waits for it gives way, and gets on later', async () => {
  write('0001-first.sql', 'CREATE TABLE one (a INTEGER); CREATE TABLE two (a INTEGER);');
  await names();
  write('0002-second.sql', 'ALTER TABLE one ADD COLUMN b INTEGER; ALTER TABLE two ADD COLUMN b INTEGER;');
  const node = new pg.Client({ connectionString: url });
  await node.connect();
  try {
    // Its own look for deadlocks comes later than the migration's, so that the migration is the one that gives way.
    await node.query("SET deadlock_timeout = '30s'");
    await node.query('BEGIN; INSERT INTO two (a) VALUES (1)');
    const migrating = names();
    await untilItWaits();
    await node.query('INSERT INTO one (a) VALUES (1); COMMIT');
    assert.deepEqual(await migrating, ['0002-second']);
  } finally {
    await node.end();
  }
});

/** Until the migration has one table, and waits for the other. */
async function untilItWaits(): Promise<void> {
  for (let looked = 0; looked < 200; looked++) {
    const { rows } = await client.query(
      "SELECT 1 FROM pg_locks WHERE relation = 'two'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted",
    );
    if (rows.length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail('the migration never waited');
}

test('a migration that fails repeats none of the words of the server, which may hold a row', async () => {
  write('0001-first.sql', "CREATE TABLE one (a TEXT UNIQUE); INSERT INTO one VALUES ('alice'), ('alice');");
  await assert.rejects(names(), (error: Error) => {
    assert.doesNotMatch(inspect(error, { depth: null }), /alice/);
    return error.message.includes('23505');
  });
});

test('an index is made while others write, and anew where that was broken off', async () => {
  write('0001-first.sql', 'CREATE TABLE one (a INTEGER);');
  await names();
  await client.query('INSERT INTO one SELECT 1 FROM generate_series(1, 2)');
  // What a broken-off one leaves.
  await assert.rejects(client.query('CREATE UNIQUE INDEX CONCURRENTLY one_a ON one (a)'));
  write('0002-index.sql', '-- outside-transaction\nCREATE INDEX one_a ON one (a);\nCREATE INDEX one_b ON one (a, a);');
  assert.deepEqual(await names(), ['0002-index']);
  const { rows } = await client.query(
    'SELECT indisvalid, indisunique FROM pg_index WHERE indexrelid::regclass::text ~ $1',
    ['^one_'],
  );
  assert.deepEqual(rows, [
    { indisvalid: true, indisunique: false },
    { indisvalid: true, indisunique: false },
  ]);
});

test('outside a transaction there is nothing but indexes', async () => {
  write('0001-first.sql', '-- outside-transaction\nCREATE TABLE one (a TEXT);');
  await refuses('migration_failed');
  assert.equal(indexesToMake('CREATE INDEX a ON b (c); UPDATE b SET c = 1;'), undefined);
});

test('a role that may not change tables opens a database that lacks nothing', async () => {
  const role = `countersign_test_${Buffer.from(systemRandom.bytes(4)).toString('hex')}`;
  const first = await openPostgresStore({ ...given, url, journal: { kind: 'none' }, connections: 2 });
  await first.close();
  await client.query(`CREATE ROLE ${role} LOGIN; GRANT USAGE ON SCHEMA public TO ${role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${role};
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ${role}`);
  try {
    const as = new URL(url);
    as.username = role;
    const store = await openPostgresStore({ ...given, url: as.href, journal: { kind: 'none' }, connections: 2 });
    const steps = [
      { text: 'SELECT epoch FROM store_epoch', values: [], must: { rows: 1, why: 'none' } },
      {
        text: 'INSERT INTO invalidation (at_ms, kind, subject_id, until_ms) VALUES ($1, $2, $3, $4)',
        values: [1, 'user', 'user_1', 2],
      },
    ];
    assert.deepEqual(await store.commit({ steps }), { kind: 'done' });
    await store.close();
  } finally {
    await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('the plan names who has to wait, and leaves out what is new', () => {
  const text = postgresDialect(`CREATE TABLE fresh (a INTEGER REFERENCES old (a)); CREATE INDEX fresh_a ON fresh (a);
    ALTER TABLE other ADD COLUMN b TEXT; INSERT INTO fresh SELECT 1; CREATE INDEX other_b ON other (b);`);
  const plan = (isOutsideTransaction: boolean) =>
    locksOf(text, { made: new Set(), isOutsideTransaction }).map(
      ({ table, lock, lockedOut }) => `${table} ${lock} ${lockedOut}`,
    );
  assert.deepEqual(plan(false), [
    'other ACCESS EXCLUSIVE everybody',
    'old SHARE ROW EXCLUSIVE writers',
    'other SHARE writers',
  ]);
  assert.ok(plan(true).includes('other SHARE UPDATE EXCLUSIVE nobody'));
});
