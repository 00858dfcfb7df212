import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { backupStore } from './backup.ts';
import { raiseEpoch } from './epoch.ts';
import { StoreRefusal, type StoreRefusalCode } from './errors.ts';
import { MIGRATIONS_FOLDER, readMigrations } from './migration-files.ts';
import { type RestoredCopy, type RestoreOptions, restoreDatabase } from './restore.ts';
import { openSqliteStore, type SqliteStore } from './sqlite.ts';

const root = mkdtempSync(join(tmpdir(), 'countersign-backup-'));
let nowMs = 1000;
const clock = { now: () => nowMs };
let folder = root;
const opened: SqliteStore[] = [];

after(async () => {
  await Promise.all(opened.map((store) => store.close()));
  rmSync(root, { recursive: true });
});

beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'));
  nowMs += 1000;
});

const places = () => ({ dataFolder: join(folder, 'data'), journalFolder: join(folder, 'journal') });

function open(): SqliteStore {
  const { dataFolder, journalFolder } = places();
  const store = openSqliteStore({ dataFolder, clock, journal: { kind: 'folder', folder: journalFolder } });
  opened.push(store);
  return store;
}

const addUser = (store: SqliteStore, id: string): Promise<number> =>
  store.write((tx) => tx.run("INSERT INTO app_user (id, email, created_at_ms, proof) VALUES ($1, $1, 0, x'00')", id));

const users = async (store: Pick<SqliteStore, 'read'>): Promise<string[]> =>
  (await store.read.all<{ id: string }>('SELECT id FROM app_user ORDER BY id')).map((row) => row.id);

const endGrant = (store: SqliteStore, grantId: string): Promise<void> =>
  store.write(async (tx) => tx.journal({ kind: 'grant_ended', grantId, atMs: nowMs, reason: 'test' }));

function makeBackup(store: SqliteStore, name = 'backup') {
  nowMs += 1;
  return backupStore({ store, folder: join(folder, name), clock });
}

function restore(options: Partial<RestoreOptions> = {}) {
  nowMs += 1;
  return restoreDatabase({
    ...places(),
    backupFolder: join(folder, 'backup'),
    clock,
    settle: async () => {},
    ...options,
  });
}

const refusedWith = (code: StoreRefusalCode) => (error: unknown) =>
  error instanceof StoreRefusal && error.code === code;

async function endedIn(copy: RestoredCopy): Promise<string[]> {
  if (copy.journal.kind === 'missing') return [copy.journal.why];
  const ended: string[] = [];
  for await (const entry of copy.journal.entries())
    ended.push(entry.kind === 'grant_ended' ? entry.grantId : entry.kind);
  return ended;
}

test('a backup is made while writes go on, and holds one moment of the store', async () => {
  const store = open();
  await addUser(store, 'user_0');
  const backup = makeBackup(store);
  const during = Array.from({ length: 200 }, (_, index) => addUser(store, `user_during_${index}`));
  const description = await backup;
  const schema = readMigrations(MIGRATIONS_FOLDER).length;
  await Promise.all(during);
  assert.deepEqual(description, { format: 1, createdAtMs: nowMs, epoch: 1, journalSegment: 1, schema });
  assert.deepEqual(readdirSync(join(folder, 'backup')).sort(), ['backup.json', 'countersign.db']);
  if (process.platform !== 'win32') {
    assert.equal(statSync(join(folder, 'backup')).mode & 0o777, 0o700);
    for (const file of ['backup.json', 'countersign.db']) {
      assert.equal(statSync(join(folder, 'backup', file)).mode & 0o777, 0o600, file);
    }
  }
  await store.close();
  await restore({ force: true });
  assert.ok((await users(open())).includes('user_0'));
});

test('a backup goes only into a new folder', async () => {
  const store = open();
  mkdirSync(join(folder, 'backup'));
  await assert.rejects(makeBackup(store), refusedWith('backup_folder_exists'));
});

test('a restore gives back the copy, raises the epoch, keeps the replaced database and names what was taken back', async () => {
  const store = open();
  await addUser(store, 'user_before');
  await endGrant(store, 'grant_before');
  await makeBackup(store);
  await addUser(store, 'user_since');
  await endGrant(store, 'grant_since');
  await store.close();

  let seen: RestoredCopy | undefined;
  let ended: string[] = [];
  const result = await restore({
    force: true,
    settle: async (copy) => {
      seen = copy;
      ended = await endedIn(copy);
      await copy.store.write((tx) =>
        tx.run("INSERT INTO app_user (id, email, created_at_ms, proof) VALUES ('user_x', 'x', 0, x'00')"),
      );
    },
  });
  assert.deepEqual(ended, ['grant_since']);
  assert.equal(seen?.epoch, 2);
  assert.equal(result.epoch, 2);
  assert.equal(result.journal.kind, 'complete');
  assert.ok(result.keptAside !== undefined && existsSync(result.keptAside));

  const restored = open();
  assert.deepEqual(await users(restored), ['user_before', 'user_x']);
  assert.equal(await restored.epoch(), 2);
  assert.ok(!existsSync(join(places().dataFolder, 'restoring')));
});

test('the same backup restored again replays what came before and after the first restore, at a higher epoch', async () => {
  const store = open();
  await makeBackup(store);
  await endGrant(store, 'grant_1');
  await store.close();
  await restore({ force: true });
  const second = open();
  await endGrant(second, 'grant_2');
  await second.close();
  let ended: string[] = [];
  const result = await restore({
    force: true,
    settle: async (copy) => {
      ended = await endedIn(copy);
    },
  });
  assert.deepEqual(ended, ['grant_1', 'grant_2']);
  assert.equal(result.epoch, 3);
});

test('the epoch rises above that of the replaced database', async () => {
  const store = open();
  await makeBackup(store);
  await store.write((tx) => raiseEpoch(tx, { aboveEpoch: 40, reason: 'restore point', atMs: nowMs }));
  await store.close();
  assert.equal((await restore({ force: true })).epoch, 42);
});

test('a lost database is restored above every epoch the journal names', async () => {
  const store = open();
  await makeBackup(store);
  await store.close();
  await restore({ force: true });
  const second = open();
  await endGrant(second, 'grant_1');
  await second.close();
  rmSync(places().dataFolder, { recursive: true });
  const result = await restore();
  assert.equal(result.epoch, 3);
  assert.equal(result.keptAside, undefined);
});

test('a lost, foreign or left-out journal is missing, and stays missing for that backup', async () => {
  const store = open();
  await makeBackup(store);
  await store.close();
  const left = await restore({ force: true, withoutJournal: true });
  assert.equal(left.journal.kind, 'missing');
  rmSync(places().journalFolder, { recursive: true });
  assert.equal((await restore({ force: true })).journal.kind, 'missing');
  const second = open();
  await endGrant(second, 'grant_1');
  await second.close();
  assert.equal((await restore({ force: true })).journal.kind, 'missing');
});

test('a restore refuses a database in its way, one in use, and half a backup', async () => {
  const store = open();
  await makeBackup(store);
  await assert.rejects(restore(), refusedWith('database_exists'));
  await assert.rejects(restore({ force: true }), refusedWith('database_in_use'));
  await addUser(store, 'user_still');
  await store.close();
  rmSync(join(folder, 'backup', 'backup.json'));
  await assert.rejects(restore({ force: true }), refusedWith('backup_incomplete'));
  writeFileSync(join(folder, 'backup', 'backup.json'), '{"format":2}');
  await assert.rejects(restore({ force: true }), refusedWith('backup_incomplete'));
  assert.deepEqual(await users(open()), ['user_still']);
});

test('a damaged copy is refused and nothing changes', async () => {
  const store = open();
  await addUser(store, 'user_still');
  await makeBackup(store);
  await store.close();
  const file = join(folder, 'backup', 'countersign.db');
  const bytes = readFileSync(file);
  bytes.fill(0xa5, 3 * 4096, 9 * 4096);
  writeFileSync(file, bytes);
  const settle = () => Promise.reject(new Error('nobody settles a damaged copy'));
  await assert.rejects(restore({ force: true, settle }), refusedWith('database_damaged'));
  assert.deepEqual(await users(open()), ['user_still']);
});

test('a settlement that fails leaves the database that was there', async () => {
  const store = open();
  await makeBackup(store);
  await addUser(store, 'user_since');
  await store.close();
  const failure = new Error('settling failed');
  await assert.rejects(restore({ force: true, settle: () => Promise.reject(failure) }), failure);
  const still = open();
  assert.deepEqual(await users(still), ['user_since']);
  assert.equal(await still.epoch(), 1);
});

test('a database that cannot be read any more is replaced and kept, its log with it', async () => {
  const store = open();
  await addUser(store, 'user_before');
  await makeBackup(store);
  await store.close();
  const { dataFolder } = places();
  writeFileSync(join(dataFolder, 'countersign.db'), 'no database at all '.repeat(500));
  writeFileSync(join(dataFolder, 'countersign.db-wal'), 'nor a log');
  const { keptAside } = await restore({ force: true });
  assert.ok(keptAside !== undefined && existsSync(`${keptAside}-wal`));
  assert.ok(!existsSync(join(dataFolder, 'countersign.db-wal')));
  assert.deepEqual(await users(open()), ['user_before']);
});
