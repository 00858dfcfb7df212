import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { storeConformance } from './conformance.ts';
import { raiseEpoch } from './epoch.ts';
import { MAX_BATCH, MAX_WAITING } from './group-commit.ts';
import { MAX_STATEMENTS, SqliteHandle } from './handle.ts';
import { DATABASE_FILE, openSqliteStore, type SqliteStore } from './sqlite.ts';
import { type JournalEntry, StoreUnavailable } from './store.ts';

const clock = { now: () => 1_700_000_000_000 };
const root = mkdtempSync(join(tmpdir(), 'countersign-store-'));
const opened: SqliteStore[] = [];
let folders = 0;

function freshFolder(): string {
  folders += 1;
  return join(root, String(folders));
}

function openFresh(entries: JournalEntry[] = []): { store: SqliteStore; dataFolder: string } {
  const dataFolder = freshFolder();
  const store = openSqliteStore({ dataFolder, clock, journal: { kind: 'collected', entries } });
  opened.push(store);
  return { store, dataFolder };
}

after(async () => {
  await Promise.all(opened.map((store) => store.close()));
  rmSync(root, { recursive: true });
});

storeConformance('SQLite', async ({ maxWorkMs, createTable }) => {
  const entries: JournalEntry[] = [];
  const store = openSqliteStore({
    dataFolder: freshFolder(),
    clock,
    maxWorkMs,
    journal: { kind: 'collected', entries },
  });
  await store.write((tx) => tx.run(createTable));
  return { store, journal: async () => entries, dispose: () => store.close() };
});

test('every handle carries the pragmas that durability and confinement rest on', () => {
  const { store } = openFresh();
  const common = {
    journal_mode: 'wal',
    synchronous: 2,
    fullfsync: 1,
    checkpoint_fullfsync: 1,
    foreign_keys: 1,
    trusted_schema: 0,
    busy_timeout: 5000,
    cache_size: -8192,
    temp_store: 2,
  };
  assert.deepEqual(store.pragmas(), {
    writer: { ...common, wal_autocheckpoint: 1000, journal_size_limit: 67108864, secure_delete: 1 },
    reader: { ...common, query_only: 1 },
  });
});

test('folder, database and log are readable by their owner only', { skip: process.platform === 'win32' }, async () => {
  const { store, dataFolder } = openFresh();
  await store.write(async () => {});
  assert.equal(statSync(dataFolder).mode & 0o777, 0o700);
  for (const file of readdirSync(dataFolder)) assert.equal(statSync(join(dataFolder, file)).mode & 0o777, 0o600, file);
});

test('the reading handle cannot write, neither by its pragma nor by how its file was opened', () => {
  const { store } = openFresh();
  const reader = new SqliteHandle({ file: store.file, role: 'reader' });
  assert.throws(() => reader.run('CREATE TABLE t (a)', []));
  reader.database.exec('PRAGMA query_only = OFF');
  assert.throws(() => reader.run('CREATE TABLE t (a)', []));
  assert.throws(() => reader.run("UPDATE store_epoch SET reason = 'x'", []));
  reader.close();
});

test('writes of one turn share one commit, and more than MAX_BATCH do not', async () => {
  const { store } = openFresh();
  const addUser = (id: number) => (): Promise<number> =>
    store.write((tx) =>
      tx.run(
        "INSERT INTO app_user (id, email, created_at_ms, proof) VALUES ($1, $2, 0, x'00')",
        `user_${id}`,
        `${id}@example.org`,
      ),
    );
  await Promise.all(Array.from({ length: 64 }, (_, index) => addUser(index)()));
  assert.deepEqual(store.counts, { commits: 1, writes: 64 });
  await Promise.all(Array.from({ length: MAX_BATCH + 1 }, (_, index) => addUser(100 + index)()));
  assert.deepEqual(store.counts, { commits: 3, writes: 64 + MAX_BATCH + 1 });
});

test('a write that arrives while the batch runs joins it', async () => {
  const { store } = openFresh();
  let inner: Promise<number> | undefined;
  await store.write(async (tx) => {
    inner = store.write((own) => own.run("UPDATE store_epoch SET reason = 'joined'"));
    await tx.get('SELECT 1 AS one');
  });
  assert.equal(await inner, 1);
  assert.deepEqual(store.counts, { commits: 1, writes: 2 });
});

test('a commit that fails refuses the whole batch, its journal lines and after-commits too, and the next one works', async () => {
  const entries: JournalEntry[] = [];
  const { store } = openFresh(entries);
  const ran: string[] = [];
  await store.write(async (tx) => {
    await tx.run('CREATE TABLE parent (id INTEGER PRIMARY KEY)');
    await tx.run('CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)');
  });
  const results = await Promise.allSettled([
    store.write(async (tx) => {
      tx.journal({ kind: 'user_disabled', userId: 'user_1', atMs: 1 });
      tx.afterCommit(() => ran.push('after a commit that was not'));
      await tx.run('INSERT INTO parent (id) VALUES (1)');
    }),
    store.write((tx) => tx.run('INSERT INTO child (id) VALUES (2)')),
    store.write(async () => {
      throw new Error('decided on rows that are now gone');
    }),
  ]);
  for (const result of results) {
    assert.ok(result.status === 'rejected' && result.reason instanceof StoreUnavailable, result.status);
    assert.match(String(result.reason.cause), /FOREIGN KEY/);
  }
  assert.equal(await store.read.get('SELECT id FROM parent'), undefined);
  assert.deepEqual(entries, []);
  assert.deepEqual(ran, []);
  assert.equal(await store.write((tx) => tx.run('INSERT INTO parent (id) VALUES (1)')), 1);
});

test('DP-02 a store that refused a commit is unusable until a write reaches the disk', async () => {
  const { store } = openFresh();
  await store.write(async (tx) => {
    await tx.run('CREATE TABLE child (id INTEGER REFERENCES store_epoch (singleton) DEFERRABLE INITIALLY DEFERRED)');
    await tx.run("CREATE TRIGGER full BEFORE UPDATE ON store_epoch BEGIN SELECT RAISE(ABORT, 'disk is full'); END");
  });
  await store.assertUsable(); // nothing was refused, so nothing is tried
  await assert.rejects(
    store.write((tx) => tx.run('INSERT INTO child (id) VALUES (2)')),
    StoreUnavailable,
  );
  await assert.rejects(store.assertUsable());
  await store.write(async () => {}); // an empty commit needs no disk, and shows nothing
  await assert.rejects(store.assertUsable());
  await store.write((tx) => tx.run('DROP TRIGGER full'));
  const before = statSync(`${store.file}-wal`).size;
  await store.assertUsable();
  assert.ok(statSync(`${store.file}-wal`).size > before, 'what was tried reached the file');
});

test('a journal that cannot be written refuses the batch', async () => {
  class FullDisk extends Array<JournalEntry> {
    override push(): number {
      throw new Error('no space left');
    }
  }
  const { store } = openFresh(new FullDisk());
  const write = store.write(async (tx) => {
    await tx.run("UPDATE store_epoch SET reason = 'changed'");
    tx.journal({ kind: 'user_disabled', userId: 'user_1', atMs: 1 });
  });
  await assert.rejects(write, StoreUnavailable);
  assert.equal((await store.read.get<{ reason: string }>('SELECT reason FROM store_epoch'))?.reason, 'created');
});

test('a work that ends the transaction of its batch refuses the batch and cannot write outside of one', async () => {
  const { store } = openFresh();
  const results = await Promise.allSettled([
    store.write(async (tx) => {
      await tx.run('ROLLBACK');
      await tx.run("UPDATE store_epoch SET reason = 'alone'").catch(() => {});
    }),
    store.write((tx) => tx.run("UPDATE store_epoch SET reason = 'fellow'")),
  ]);
  for (const result of results) {
    assert.ok(result.status === 'rejected' && result.reason instanceof StoreUnavailable, result.status);
  }
  assert.equal((await store.read.get<{ reason: string }>('SELECT reason FROM store_epoch'))?.reason, 'created');
  assert.equal(await store.write((tx) => tx.run("UPDATE store_epoch SET reason = 'after'")), 1);
});

test('writes past MAX_WAITING are refused at once', async () => {
  const { store } = openFresh();
  const writes = Array.from({ length: MAX_WAITING + 1 }, () => store.write(async () => 'taken'));
  await assert.rejects(writes.pop() ?? Promise.resolve(), StoreUnavailable);
  assert.equal((await Promise.all(writes)).length, MAX_WAITING);
});

test('another process may write in between', async () => {
  const { store } = openFresh();
  const other = new DatabaseSync(store.file);
  other.exec("BEGIN IMMEDIATE; UPDATE store_epoch SET reason = 'other'; COMMIT");
  assert.equal((await store.read.get<{ reason: string }>('SELECT reason FROM store_epoch'))?.reason, 'other');
  assert.equal(await store.write((tx) => tx.run("UPDATE store_epoch SET reason = 'own'")), 1);
  other.close();
});

test('prepared statements are bounded, the least used goes first', () => {
  const { store } = openFresh();
  const reader = new SqliteHandle({ file: store.file, role: 'reader' });
  for (let count = 0; count < MAX_STATEMENTS + 50; count += 1) reader.get(`SELECT ${count} AS value`, []);
  assert.equal(reader.statementCount, MAX_STATEMENTS);
  assert.deepEqual({ ...Object(reader.get('SELECT 1 AS value', [])) }, { value: 1 });
  reader.close();
});

test('what is erased does not stay in the file', async () => {
  const { store, dataFolder } = openFresh();
  const secret = 'erased-'.repeat(2000);
  await store.write((tx) =>
    tx.run(
      "INSERT INTO mail (id, sealed_mail, created_at_ms, give_up_at_ms) VALUES ('mail_1', $1, 0, 0)",
      Buffer.from(secret),
    ),
  );
  await store.write((tx) => tx.run("UPDATE mail SET sealed_mail = NULL WHERE id = 'mail_1'"));
  await store.close();
  assert.ok(!readFileSync(join(dataFolder, DATABASE_FILE)).includes('erased-erased'));
});

test('the epoch rises above what it is told and never falls', async () => {
  const { store } = openFresh();
  const raise = (aboveEpoch: number) => store.write((tx) => raiseEpoch(tx, { aboveEpoch, reason: 'test', atMs: 5 }));
  assert.equal(await raise(7), 8);
  assert.equal(await raise(2), 9);
  assert.equal(await store.epoch(), 9);
});

test('two processes that start on an empty folder at once both come up', async () => {
  const dataFolder = freshFolder();
  const script = `
    const { openSqliteStore } = await import(${JSON.stringify(new URL('./sqlite.ts', import.meta.url).href)});
    const store = openSqliteStore({
      dataFolder: ${JSON.stringify(dataFolder)}, clock: { now: () => 0 }, journal: { kind: 'collected', entries: [] },
    });
    console.log(store.applied.length);
    await store.close();`;
  const start = async () =>
    Number((await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script])).stdout);
  const applied = await Promise.all([start(), start(), start()]);
  assert.equal(applied.filter((count) => count > 0).length, 1);
});
