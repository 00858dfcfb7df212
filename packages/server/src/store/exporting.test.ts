import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { systemRandom } from '../world/random.ts';
import { StoreFenced, StoreUnavailable } from './errors.ts';
import { readExport } from './export-reading.ts';
import { abandonExport, exportStore } from './exporting.ts';
import { fenceSentence, readFence, requireUnfenced } from './fence.ts';
import { openSqliteStore, type SqliteStore } from './sqlite.ts';

const CLOCK = { now: () => 1_800_000_000_000 };
const MAC = () => createHmac('sha256', 'a key');
const IDENTITY = { issuer: 'https://auth.example', accessAlgorithm: 'ES256' };

function setup(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-export-'));
  const open = () => openSqliteStore({ dataFolder: folder, clock: CLOCK, journal: { kind: 'collected', entries: [] } });
  const [store, running] = [open(), open()];
  t.after(async () => {
    await Promise.all([store.close(), running.close()]);
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'out.jsonl');
  const run = (to = file) =>
    exportStore({ store, file: to, identity: IDENTITY, mac: MAC, clock: CLOCK, random: systemRandom, noticeMs: 0 });
  return { folder, file, store, running, run };
}

const addUser = (store: SqliteStore, number: number) =>
  store.write((tx) =>
    tx.run(
      'INSERT INTO app_user (proof, id, email, created_at_ms, disabled_at_ms) VALUES ($1, $2, $3, $4, NULL)',
      new Uint8Array([0, 255, number]),
      `user_${number}`,
      `"ü${number}"@example.com`,
      CLOCK.now() + number,
    ),
  );

async function addSession(store: SqliteStore, number: number) {
  await store.write((tx) =>
    tx.run(
      `INSERT INTO browser_session (proof, id, digest, user_id, amr, created_at_ms, last_seen_ms, expires_at_ms, user_agent, network)
       VALUES ($1, $2, $1, $3, '[]', 1, 1, 1, 'x', 'x')`,
      new Uint8Array([number]),
      `sess_${number}`,
      `user_${number}`,
    ),
  );
}

test('an export holds every row of every table, each after those it refers to', async (t) => {
  const { file, store, run } = setup(t);
  for (const number of [2, 1]) {
    await addUser(store, number);
    await addSession(store, number);
  }
  const result = await run();
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const rows: unknown[] = [];
  const contents = await readExport(
    file,
    MAC,
    ({ table, values }) => void rows.push([table.name, ...values.slice(0, 3)]),
  );
  assert.deepEqual(
    rows.filter((row) => String(Object(row)[0]) !== 'event'),
    [
      ['app_user', new Uint8Array([0, 255, 2]), 'user_2', '"ü2"@example.com'],
      ['app_user', new Uint8Array([0, 255, 1]), 'user_1', '"ü1"@example.com'],
      ['browser_session', new Uint8Array([2]), 'sess_2', new Uint8Array([2])],
      ['browser_session', new Uint8Array([1]), 'sess_1', new Uint8Array([1])],
    ],
  );
  assert.deepEqual(contents.footer, { rows: contents.rows, mac: result.mac });
  const { header } = contents;
  assert.deepEqual({ issuer: header.issuer, accessAlgorithm: header.accessAlgorithm }, IDENTITY);
  assert.equal(header.epoch, 1);
  const left = ['lease', 'lease_node', 'schema_migration', 'store_fence', 'store_epoch', 'invalidation_sweep'];
  const tables = await store.read.all<{ name: string }>(
    "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
  );
  assert.deepEqual(
    header.tables.map(({ name }) => name).sort(),
    tables.map(({ name }) => name).filter((name) => !left.includes(name)),
  );
});

test('from the fence on a server that runs takes no write, whichever release it is, and none starts', async (t) => {
  const { store, running, run } = setup(t);
  await addUser(running, 1);
  await requireUnfenced(running.read);
  await run();
  await assert.rejects(addUser(running, 2), (error) => error instanceof StoreFenced && error.code === 'store_fenced');
  const older = new DatabaseSync(store.file);
  t.after(() => older.close());
  assert.throws(() => older.exec("UPDATE app_user SET email = 'x'"), /store_fenced/);
  assert.throws(() => older.exec('DELETE FROM app_user'), /store_fenced/);
  assert.throws(() => older.exec('UPDATE store_epoch SET epoch = 9'), /store_fenced/);
  await assert.rejects(requireUnfenced(running.read), { code: 'store_fenced', message: fenceSentence('leaving') });
  assert.equal((await running.read.all('SELECT 1 FROM app_user')).length, 1, 'reading goes on');
});

test('a fenced store is not usable once a write was refused', async (t) => {
  const { running, run } = setup(t);
  await run();
  await assert.rejects(addUser(running, 1), StoreFenced);
  await assert.rejects(running.assertUsable(), StoreUnavailable);
});

test('broken off anywhere, an export goes on, and the file is the same to the byte', async (t) => {
  const { file, folder, store, run } = setup(t);
  for (let number = 0; number < 40; number++) await addUser(store, number);
  await run();
  const whole = readFileSync(file);
  const header = whole.indexOf('\n') + 1;
  for (const at of [1, header - 1, header, header + 1, header + 777, whole.length - 60, whole.length - 1]) {
    truncateSync(file, at);
    await run();
    assert.deepEqual(readFileSync(file), whole, `broken off at ${at} of ${whole.length}`);
    await run();
    assert.deepEqual(readFileSync(file), whole, 'a second time changes nothing');
  }
  const other = join(folder, 'other.jsonl');
  await run(other);
  assert.deepEqual(readFileSync(other), whole, 'a lost file is written again');
});

test('given up while it waits, an export copies nothing: the store takes writes again', async (t) => {
  const { file, store, running } = setup(t);
  const waiting = exportStore({
    ...{ store, file, identity: IDENTITY, mac: MAC, clock: CLOCK, random: systemRandom, noticeMs: 500 },
  });
  while ((await readFence(running.read)) === undefined) await new Promise((resolve) => setImmediate(resolve));
  await abandonExport({ store: running, wasNeverImported: false });
  await addUser(running, 1);
  await assert.rejects(waiting, { code: 'export_given_up' });
  assert.equal(existsSync(file), false);
});

test('given up after its copy, an export does not end its file', async (t) => {
  const { file, store, running, run } = setup(t);
  const write = store.write.bind(store);
  let writes = 0;
  store.write = async (work) => {
    writes += 1;
    if (writes === 2) await abandonExport({ store: running, wasNeverImported: false }); // in front of the mark
    return write(work);
  };
  await assert.rejects(run(), { code: 'export_given_up' });
  assert.equal((await readExport(file, MAC)).footer, undefined);
  await addUser(running, 1);
});

test('of two exports of one data folder at once the second is refused', async (t) => {
  const { folder, store, running } = setup(t);
  const of = (from: SqliteStore) =>
    exportStore({
      ...{ store: from, file: join(folder, 'out.jsonl'), identity: IDENTITY, mac: MAC, clock: CLOCK },
      ...{ random: systemRandom, noticeMs: 50 },
    });
  const first = of(store);
  await assert.rejects(of(running), { code: 'export_running' });
  await first;
  assert.equal((await of(running)).mac, (await first).mac, 'and then finds it done');
});

test('who has not the key can neither change a file nor end one', async (t) => {
  const { file, store, run } = setup(t);
  await addUser(store, 1);
  const { mac } = await run();
  const other = () => createHmac('sha256', 'another key');
  await assert.rejects(readExport(file, other), { code: 'export_damaged', message: /or the key is another/ });
  const whole = readFileSync(file, 'utf8');
  const body = `${whole.split('\n').slice(0, -2).join('\n')}\n`.replace('user_1', 'user_2');
  const footer = JSON.parse(whole.trimEnd().split('\n').at(-1) ?? '');
  for (const digest of [
    createHash('sha256').update(body).digest('base64url'),
    other().update(body).digest('base64url'),
    mac,
  ]) {
    writeFileSync(file, `${body}${JSON.stringify({ ...footer, mac: digest })}\n`);
    await assert.rejects(readExport(file, MAC), { code: 'export_damaged' });
  }
});

test('a file of something else is left alone', async (t) => {
  const { file, folder, run, store } = setup(t);
  for (const text of ['a torn line', 'something\nelse\n']) {
    writeFileSync(file, text);
    await assert.rejects(run(), (error: Error & { code?: string }) =>
      ['export_file_exists', 'export_damaged'].includes(error.code ?? ''),
    );
    assert.equal(readFileSync(file, 'utf8'), text);
    await requireUnfenced(store.read);
  }
  rmSync(file);
  await run();
  const other = join(folder, 'other.jsonl');
  writeFileSync(other, '{"kind":"another thing"');
  await assert.rejects(run(other), { code: 'export_file_exists' });
  assert.equal(readFileSync(other, 'utf8'), '{"kind":"another thing"');
  await abandonExport({ store, wasNeverImported: true });
  await assert.rejects(run(), { code: 'export_file_exists' });
});

test('giving an export up brings the store back: freely before its file was whole, by a vow after', async (t) => {
  const { file, store, running, run } = setup(t);
  await assert.rejects(abandonExport({ store, wasNeverImported: false }), { code: 'export_not_begun' });
  await assert.rejects(
    exportStore({
      ...{ store, file, identity: IDENTITY, mac: MAC, clock: CLOCK, random: systemRandom, noticeMs: 0 },
      clock: {
        now: (() => {
          let calls = 0;
          return () => {
            calls += 1;
            if (calls > 1) throw new Error('broken off');
            return CLOCK.now();
          };
        })(),
      },
    }),
    /broken off/,
  );
  await assert.rejects(addUser(running, 1), StoreFenced);
  assert.equal((await readExport(file, MAC)).footer, undefined);
  await abandonExport({ store, wasNeverImported: false });
  await addUser(running, 1);
  rmSync(file);
  await run();
  await assert.rejects(abandonExport({ store, wasNeverImported: false }), { code: 'export_completed' });
  await assert.rejects(addUser(running, 2), StoreFenced);
  await abandonExport({ store, wasNeverImported: true });
  await addUser(running, 2);
});

test('a file that is not whole, or not as it was written, is refused', async (t) => {
  const { file, folder, store, run } = setup(t);
  for (const number of [1, 2, 3]) await addUser(store, number);
  await addSession(store, 1);
  await run();
  const whole = readFileSync(file, 'utf8');
  const lines = whole.split('\n').slice(0, -1);
  const bad = join(folder, 'bad.jsonl');
  const refused = async (text: string, what: RegExp) => {
    writeFileSync(bad, text);
    await assert.rejects(readExport(bad, MAC), { code: 'export_damaged', message: what });
  };
  const joined = (changed: string[]) => `${changed.join('\n')}\n`;
  await refused('', /no header/);
  await refused('{}\n', /does not begin/);
  await refused(whole.replace('ü2', 'ü7'), /not that of its rows/);
  await refused(joined(lines.filter((line) => !line.includes('user_3'))), /not that of its rows/);
  await refused(joined([...lines, lines[1] ?? '']), /after its end/);
  await refused(joined([...lines.slice(0, -1), 'x', lines.at(-1) ?? '']), /cannot be read/);
  const [head = '', ...rows] = lines;
  await refused(joined([head, ...rows.slice(0, -1).reverse()]), /not one of its tables/);
  await refused(whole.replace('["app_user"', '["app_users"'), /not one of its tables/);
  appendFileSync(file, 'torn');
  assert.equal((await readExport(file, MAC)).wholeBytes, whole.length + 3, 'three letters of two bytes');
});
