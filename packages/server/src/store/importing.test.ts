// Needs PostgreSQL: it imports into one.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { TEST_SERVER } from '../testing/testing.ts';
import { systemRandom } from '../world/random.ts';
import { type ExportResult, exportStore } from './exporting.ts';
import { readFence } from './fence.ts';
import { IMPORT_BATCH, importStore } from './importing.ts';
import { openScratchStore } from './postgres/scratch.ts';
import { openSqliteStore, type SqliteStore } from './sqlite.ts';
import type { Store, Transaction } from './store.ts';

const CLOCK = { now: () => 1_800_000_000_000 };
const MAC = () => createHmac('sha256', 'a key');
const USERS = 2 * IMPORT_BATCH + 7;

/** An export of some users, a session of each, and invalidations with a gap in front. */
async function exported(
  t: TestContext,
): Promise<{ file: string; folder: string; source: SqliteStore; result: ExportResult }> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-import-'));
  const source = openSqliteStore({ dataFolder: folder, clock: CLOCK, journal: { kind: 'collected', entries: [] } });
  t.after(async () => {
    await source.close();
    rmSync(folder, { recursive: true, force: true });
  });
  await source.write(async (tx) => {
    for (let number = 0; number < USERS; number++) await addUser(tx, number);
    await tx.run(
      "INSERT INTO invalidation (position, at_ms, kind, subject_id, until_ms) VALUES (41, 1, 'token', 'a', 9), (43, 1, 'user', 'b', 9)",
    );
    await tx.run('UPDATE store_epoch SET epoch = 6');
    await tx.run(
      "INSERT INTO authority (singleton, issuer, access_algorithm) VALUES (1, 'https://auth.example', 'ES256')",
    );
  });
  const file = join(folder, 'out.jsonl');
  const identity = { issuer: 'https://auth.example', accessAlgorithm: 'ES256' };
  const result = await exportStore({
    ...{ store: source, file, identity, mac: MAC, clock: CLOCK, random: systemRandom, noticeMs: 0 },
  });
  return { file, folder, source, result };
}

async function addUser(tx: Transaction, number: number): Promise<void> {
  await tx.run(
    'INSERT INTO app_user (proof, id, email, created_at_ms, disabled_at_ms) VALUES ($1, $2, $3, $4, $5)',
    ...[new Uint8Array([0, 255, number % 256]), `user_${number}`, `"ü${number}"@example.com`, CLOCK.now() + number],
    number % 2 === 0 ? null : number,
  );
}

async function target(t: TestContext): Promise<Store> {
  const { store, drop } = await openScratchStore({ server: TEST_SERVER, clock: CLOCK, journal: [] });
  t.after(drop);
  return store;
}

const bringIn = (store: Store, file: string, more: Partial<Parameters<typeof importStore>[0]> = {}) =>
  importStore({ ...{ store, file, mac: MAC, clock: CLOCK, accept: () => {}, acceptRow: () => {} }, ...more });

const ALL_USERS = 'SELECT proof, id, email, created_at_ms, disabled_at_ms, dead_before_ms FROM app_user ORDER BY id';

test('an import brings every value, raises the epoch above the source, and goes on with numbers', async (t) => {
  const { file, source, result } = await exported(t);
  const store = await target(t);
  const imported = await bringIn(store, file);
  assert.deepEqual(imported, {
    ...{ exportId: result.exportId, rows: result.rows, rowCount: result.rowCount, resumedAt: 0, wasDone: false },
    epoch: 7,
  });
  assert.equal(await store.epoch(), 7);
  assert.equal(await readFence(store.read), undefined);
  const [there, here] = [await source.read.all(ALL_USERS), await store.read.all(ALL_USERS)];
  const plain = (rows: object[]) => rows.map((row) => ({ ...row, proof: [...Object(row).proof] }));
  assert.deepEqual(plain(here), plain(there));
  const whose = await store.read.all('SELECT issuer, access_algorithm FROM authority');
  assert.deepEqual(whose, [{ issuer: 'https://auth.example', access_algorithm: 'ES256' }]);
  await store.write((tx) =>
    tx.run("INSERT INTO invalidation (at_ms, kind, subject_id, until_ms) VALUES (1, 'user', 'c', 9)"),
  );
  const log = await store.read.all('SELECT position, subject_id FROM invalidation ORDER BY position');
  assert.deepEqual(
    log.map((row) => ({ ...row })),
    [
      { position: 41, subject_id: 'a' },
      { position: 43, subject_id: 'b' },
      { position: 44, subject_id: 'c' },
    ],
  );
  const swept = await store.read.get<{ is_over: number }>(
    `SELECT (SELECT up_to FROM invalidation_sweep) < (SELECT max(xid)::text::bigint FROM invalidation WHERE subject_id = 'c')
       AND (SELECT up_to FROM invalidation_sweep) > (SELECT max(xid)::text::bigint FROM invalidation WHERE subject_id = 'b') AS is_over`,
  );
  assert.equal(swept?.is_over, 1, 'nobody resumes from before the import');
});

test('run once more, a finished import finds its work done', async (t) => {
  const { file, result } = await exported(t);
  const store = await target(t);
  await bringIn(store, file);
  await store.write((tx) => addUser(tx, USERS + 1)); // a server that runs on it by now
  const again = await bringIn(store, file);
  assert.deepEqual([again.wasDone, again.rowCount, again.epoch], [true, result.rowCount, 7]);
  assert.equal((await store.read.all(ALL_USERS)).length, USERS + 1);
});

test('a file whose header leaves a table out, or a column, is not brought in', async (t) => {
  const { file, folder } = await exported(t);
  const store = await target(t);
  const [head = '', ...rows] = readFileSync(file, 'utf8').trimEnd().split('\n');
  const header = JSON.parse(head) as { tables: { name: string; columns: object[] }[] }; // as this release writes it
  const footer = JSON.parse(rows.pop() ?? '');
  const bad = join(folder, 'short.jsonl');
  for (const tables of [
    header.tables.filter(({ name }) => name !== 'oauth_grant'),
    header.tables.map((table) => (table.name === 'client' ? { ...table, columns: table.columns.slice(1) } : table)),
  ]) {
    const body = `${[JSON.stringify({ ...header, tables }), ...rows].join('\n')}\n`;
    const counts = Object.fromEntries(tables.map(({ name }) => [name, footer.rows[name]]));
    const mac = MAC().update(body).digest('base64url');
    writeFileSync(bad, `${body}${JSON.stringify({ kind: 'end', rows: counts, mac })}\n`);
    await assert.rejects(bringIn(store, bad), { code: 'schema_differs' });
  }
  assert.equal(await readFence(store.read), undefined);
});

test('broken off after each batch, an import goes on and ends the same; until then the fence stands', async (t) => {
  const { file, source, result } = await exported(t);
  const store = await target(t);
  let tries = 0;
  let broken = 0;
  for (; broken < 100; broken++) {
    let writes = 0;
    tries += 1;
    // The first write of a try lets it begin, or brings a batch; the second is not taken: a process that was killed.
    const dying: Store = Object.assign(Object.create(store) as Store, {
      read: store.read,
      write: (work: (tx: Transaction) => Promise<unknown>) => {
        writes += 1;
        return writes > 1 ? Promise.reject(new Error('killed')) : store.write(work);
      },
    });
    const end = await bringIn(dying, file).catch((error: unknown) => error);
    if (!(end instanceof Error)) break;
    assert.equal(end.message, 'killed');
    assert.equal((await readFence(store.read))?.kind, 'arriving');
  }
  assert.ok(tries > 3, `${tries} tries`);
  assert.equal(await store.epoch(), 7);
  assert.equal((await store.read.all(ALL_USERS)).length, (await source.read.all(ALL_USERS)).length);
  assert.equal(result.rows.app_user, USERS);
});

test('a file that is not whole, or that is refused by who it is from, changes nothing', async (t) => {
  const { file, folder } = await exported(t);
  const store = await target(t);
  const whole = readFileSync(file, 'utf8');
  const bad = join(folder, 'bad.jsonl');
  const lines = whole.split('\n');
  writeFileSync(bad, `${lines.slice(0, -2).join('\n')}\n`);
  await assert.rejects(bringIn(store, bad), { code: 'export_damaged', message: /has no end/ });
  writeFileSync(bad, whole.replace('ü5', 'ü6'));
  await assert.rejects(bringIn(store, bad), { code: 'export_damaged' });
  const refuse = () => {
    throw new Error('not this one');
  };
  await assert.rejects(bringIn(store, file, { accept: refuse }), /not this one/);
  await assert.rejects(bringIn(store, file, { acceptRow: refuse }), /not this one/);
  assert.equal(await readFence(store.read), undefined);
  assert.equal(await store.epoch(), 1);
  assert.equal((await store.read.all(ALL_USERS)).length, 0);
});

test('a database that holds anything, or has another schema, takes no import', async (t) => {
  const { file } = await exported(t);
  const store = await target(t);
  await store.write((tx) => addUser(tx, 0));
  await assert.rejects(bringIn(store, file), { code: 'target_not_empty' });
  await store.write((tx) => tx.run('DELETE FROM app_user'));
  await store.write((tx) => tx.run("UPDATE schema_migration SET name = '0001-other' WHERE number = 1"));
  await assert.rejects(bringIn(store, file), { code: 'schema_differs' });
  assert.equal(await readFence(store.read), undefined);
});

test('what another program writes in between is found before the store is used', async (t) => {
  const { file } = await exported(t);
  const store = await target(t);
  let isDone = false;
  const end = bringIn(store, file, {
    onProgress: () => {
      if (isDone) return;
      isDone = true;
      void store.write((tx) => addUser(tx, USERS + 1));
    },
  });
  await assert.rejects(end, { code: 'target_not_empty', message: /app_user has other rows/ });
  assert.equal((await readFence(store.read))?.kind, 'arriving');
});

test('of two imports at once one goes on, and no row comes twice', async (t) => {
  const { file } = await exported(t);
  const store = await target(t);
  const ends = await Promise.allSettled([bringIn(store, file), bringIn(store, file)]);
  assert.ok(ends.some(({ status }) => status === 'rejected'));
  if (!ends.some(({ status }) => status === 'fulfilled')) await bringIn(store, file);
  assert.equal((await store.read.all(ALL_USERS)).length, USERS);
});

test('an import that another one has overtaken stops at once', async (t) => {
  const { file } = await exported(t);
  const store = await target(t);
  const overtaken: Store = Object.assign(Object.create(store) as Store, {
    read: store.read,
    // Before each of its commits, another import has gone a step further.
    write: async (work: (tx: Transaction) => Promise<unknown>) => {
      await store.write((tx) => tx.run('UPDATE store_fence SET rows_done = rows_done + 1'));
      return store.write(work);
    },
  });
  await assert.rejects(bringIn(overtaken, file), { code: 'import_interrupted' });
  assert.equal((await store.read.all(ALL_USERS)).length, 0);
});
