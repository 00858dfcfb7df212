import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, beforeEach, test } from 'node:test';
import { StoreRefusal, type StoreRefusalCode } from './errors.ts';
import { migrate, schemaNumber } from './migrate.ts';
import { MIGRATIONS_FOLDER, readMigrations } from './migration-files.ts';

const clock = { now: () => 42 };
const root = mkdtempSync(join(tmpdir(), 'countersign-migrate-'));
let folder = root;
let database = new DatabaseSync(':memory:');

after(() => {
  database.close();
  rmSync(root, { recursive: true });
});

beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'));
  database.close();
  database = new DatabaseSync(':memory:');
});

function write(file: string, text: string): void {
  writeFileSync(join(folder, file), text);
}

function names(): string[] {
  return migrate({ database, clock, folder }).map((migration) => migration.name);
}

function refuses(code: StoreRefusalCode): void {
  assert.throws(names, (error) => error instanceof StoreRefusal && error.code === code);
}

test('applies in order, once, and remembers when', () => {
  write('0002-second.sql', 'ALTER TABLE one ADD COLUMN b TEXT;');
  write('0001-first.sql', 'CREATE TABLE one (a TEXT); INSERT INTO one (a) VALUES (1);');
  write('README.md', 'not a migration');
  assert.equal(schemaNumber(database), 0);
  assert.deepEqual(names(), ['0001-first', '0002-second']);
  assert.deepEqual(names(), []);
  assert.equal(schemaNumber(database), 2);
  assert.equal(database.prepare('SELECT applied_at_ms FROM schema_migration').get()?.applied_at_ms, 42);
});

test('a migration that fails is taken back whole, those before it stay, and the next start goes on', () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT);');
  write('0002-second.sql', 'CREATE TABLE two (a TEXT); SELECT nonsense;');
  refuses('migration_failed');
  assert.equal(schemaNumber(database), 1);
  assert.equal(database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'two'").get(), undefined);
  write('0002-second.sql', 'CREATE TABLE two (a TEXT);');
  assert.deepEqual(names(), ['0002-second']);
});

test('an applied file that was edited is refused', () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT);');
  names();
  write('0001-first.sql', 'CREATE TABLE one (a INTEGER);');
  refuses('migration_changed');
});

test('DP-08 the previous release runs on a schema that is one newer, and no older one does', () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT);');
  write('0002-second.sql', 'CREATE TABLE two (a TEXT);');
  write('0003-third.sql', 'CREATE TABLE three (a TEXT);');
  names();
  rmSync(join(folder, '0003-third.sql'));
  assert.deepEqual(names(), []);
  rmSync(join(folder, '0002-second.sql'));
  refuses('database_newer');
});

test('a migration that the previous release cannot run on says so', () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT);');
  write('0002-second.sql', '-- runs-from: 2\nDROP TABLE one;');
  names();
  rmSync(join(folder, '0002-second.sql'));
  refuses('database_newer');
});

test('gaps and other names are refused', () => {
  write('0002-second.sql', 'CREATE TABLE two (a TEXT);');
  refuses('migration_missing');
  rmSync(join(folder, '0002-second.sql'));
  write('1-first.sql', 'CREATE TABLE one (a TEXT);');
  refuses('migration_misnamed');
});

test('a migration that commits by itself is refused', () => {
  write('0001-first.sql', 'CREATE TABLE one (a TEXT); COMMIT;');
  refuses('migration_failed');
});

test('the migrations of this release apply', () => {
  const count = readMigrations(MIGRATIONS_FOLDER).length;
  assert.equal(migrate({ database, clock }).length, count);
  assert.equal(database.prepare('SELECT epoch FROM store_epoch').get()?.epoch, 1);
});

test('migrating to the outbox of alarms puts those into it that nobody was told yet, and no others', () => {
  const released = readMigrations(MIGRATIONS_FOLDER);
  for (const { name, text } of released.slice(0, 2)) write(`${name}.sql`, text);
  names();
  const event = database.prepare(
    "INSERT INTO event (id, at_ms, type, severity, rings, detail) VALUES (?, 1, 'alarm.forged', 'critical', ?, '{}')",
  );
  for (const [id, rings] of [
    ['evt_1', 1],
    ['evt_2', 1],
    ['evt_3', 0],
    ['evt_4', 1],
  ] as const)
    event.run(id, rings);
  database.exec("INSERT INTO outlet (name, read_up_to) VALUES ('alarm-log', 'evt_1')");
  for (const { name, text } of released.slice(2, 3)) write(`${name}.sql`, text);
  names();
  const untold = database.prepare('SELECT event_id FROM alarm_untold ORDER BY event_id').all();
  assert.deepEqual(
    untold.map(({ event_id }) => event_id),
    ['evt_2', 'evt_4'],
  );
});
