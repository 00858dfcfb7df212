// Needs PostgreSQL: its log is read.
/**
 * The log of invalidations where many write at once: real transactions of PostgreSQL that are over in another order than they began.
 * Other databases of the same server may have transactions open, too, so nothing here says where the head stands, only what it is below.
 */
import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { Client } from 'pg';
import { cursorOf, seenUpTo } from '../../packages/server/src/push/seen.ts';
import { InvalidationLog } from '../../packages/server/src/revocation/revocation.ts';
import { deleteOverInvalidations } from '../../packages/server/src/revocation/table.ts';
import { openScratchStore } from '../../packages/server/src/store/postgres/scratch.ts';
import { setRestorePoint } from '../../packages/server/src/store/restore-point.ts';
import { systemClock } from '../../packages/server/src/world/clock.ts';
import { systemRandom } from '../../packages/server/src/world/random.ts';

const server = { url: process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres', run: 'log' };
const { store, url, drop } = await openScratchStore({ server, clock: systemClock, journal: [] });
after(drop);
const log = new InvalidationLog(store);

/** A connection of its own, on which the test begins and ends transactions. */
async function writer(t: TestContext) {
  const client = new Client({ connectionString: url });
  await client.connect();
  t.after(() => client.end());
  await client.query('SET synchronous_commit = off'); // what is tested is when rows can be read
  return {
    begin: () => client.query('BEGIN'),
    /** Rows of a transaction, or each of its own. */
    async insert(subjectId: string, rows = 1, untilMs = Number.MAX_SAFE_INTEGER) {
      const { rows: inserted } = await client.query<{ xid: string }>(
        `INSERT INTO invalidation (at_ms, kind, subject_id, until_ms)
         SELECT 0, 'token', $1, $3 FROM generate_series(1, $2) RETURNING xid::text`,
        [subjectId, rows, untilMs],
      );
      return Number(inserted[0]?.xid);
    },
    commit: () => client.query('COMMIT'),
    rollBack: () => client.query('ROLLBACK'),
  };
}

const subjects = ({ rows }: { rows: readonly { subjectId: string }[] }) => rows.map(({ subjectId }) => subjectId);
const start = async () => (await log.read(seenUpTo((await log.state()).head), 1_000_000)).seen;

test('what commits first comes first, whoever began first, and nothing comes twice', async (t) => {
  const [older, younger] = [await writer(t), await writer(t)];
  const begun = await start();
  await older.begin();
  const first = await older.insert('older');
  const second = await younger.insert('younger');
  assert.ok(first < second);
  const one = await log.read(begun, 100);
  assert.deepEqual([subjects(one), one.isComplete], [['younger'], true]);
  assert.ok(one.seen.open.includes(first) && cursorOf(one.seen) < first, 'the cursor waits');
  assert.ok((await log.state()).head < first);
  assert.deepEqual(subjects(await log.read(one.seen, 100)), []);
  await younger.insert('third');
  const two = await log.read(one.seen, 100);
  assert.deepEqual(subjects(two), ['third']);
  await older.commit();
  const three = await log.read(two.seen, 100);
  assert.deepEqual(subjects(three), ['older'], 'under a lower number than what was read before');
  assert.deepEqual(subjects(await log.read(three.seen, 100)), []);
  assert.deepEqual(subjects(await log.read(seenUpTo(cursorOf(begun)), 100)).slice(-3), ['older', 'younger', 'third']);
});

test('what is taken back never comes, and nobody waits for it', async (t) => {
  const [older, younger] = [await writer(t), await writer(t)];
  const begun = await start();
  await older.begin();
  const first = await older.insert('taken back');
  const second = await younger.insert('stays');
  const one = await log.read(begun, 100);
  await older.rollBack();
  const two = await log.read(one.seen, 100);
  assert.deepEqual([subjects(one), subjects(two)], [['stays'], []]);
  assert.ok(one.seen.open.includes(first) && !two.seen.open.includes(first));
  assert.equal(two.seen.upTo, second);
});

test('beyond a transaction that stays open everything is read, page by page, once', async (t) => {
  const [older, younger] = [await writer(t), await writer(t)];
  const begun = await start();
  await older.begin();
  const first = await older.insert('older');
  const last: number[] = [];
  for (let row = 0; row < 25; row++) last.push(await younger.insert(`row ${row}`));
  const read: string[] = [];
  let seen = begun;
  let reads = 0;
  for (let isComplete = false; !isComplete; reads++) {
    const page = await log.read(seen, 10);
    read.push(...subjects(page));
    ({ seen, isComplete } = page);
    assert.ok(cursorOf(seen) < first);
  }
  assert.deepEqual([read.length, new Set(read).size, reads], [25, 25, 3]);
  assert.deepEqual(subjects(await log.read(seen, 10)), []);
  await older.commit();
  const late = await log.read(seen, 10);
  assert.deepEqual([subjects(late), late.seen.upTo], [['older'], last.at(-1)]);
});

test('a transaction is never torn apart, however small the page', async (t) => {
  const one = await writer(t);
  const begun = await start();
  await one.insert('before');
  await one.insert('many', 2_500);
  await one.insert('behind');
  const read = await log.read(begun, 2);
  assert.deepEqual([read.rows.length, read.isComplete], [2_501, false]);
  const rest = await log.read(read.seen, 2);
  assert.deepEqual([subjects(rest), rest.isComplete], [['behind'], true]);
});

test('a late transaction stands in the read before what was read earlier of the same', async (t) => {
  const [older, younger] = [await writer(t), await writer(t)];
  const begun = await start();
  await older.begin();
  await older.insert('older');
  for (let row = 0; row < 1_500; row++) await younger.insert('row');
  const real = store.read.all.bind(store.read);
  t.mock.method(store.read, 'all', async (...given: Parameters<typeof real>) => {
    const rows = await real(...given);
    t.mock.restoreAll();
    await older.commit(); // between two pages of one read
    return rows;
  });
  const read = await log.read(begun, 10_000);
  assert.deepEqual([read.rows.length, read.rows[0]?.subjectId, read.isComplete], [1_501, 'older', true]);
  assert.deepEqual(
    read.rows.map(({ cursor }) => cursor),
    read.rows.map(({ cursor }) => cursor).sort((left, right) => left - right),
  );
});

test('sweeping says the highest transaction that it took rows of, and the head does not fall with its row', async (t) => {
  const [older, younger] = [await writer(t), await writer(t)];
  await older.begin();
  await older.insert('keeps its number');
  const second = await younger.insert('newest by transaction', 1, 1);
  await older.insert('newest by position');
  await older.commit();
  const { head, newest } = await log.state();
  const sweep = () =>
    store.write((tx) => deleteOverInvalidations(tx, { engine: store.engine, nowMs: 2, limit: 1_000 }));
  assert.deepEqual([newest?.cursor, newest?.subjectId], [second, 'newest by transaction']);
  assert.equal(await sweep(), 0, 'by it the log is known again');
  const third = await younger.insert('newer');
  assert.equal(await sweep(), 1);
  const read = await log.read(seenUpTo(0), 100_000);
  assert.deepEqual([read.sweptUpTo, read.seen.upTo], [second, third]);
  assert.ok((await log.state()).head >= head);
  assert.equal(await sweep(), 0);
});

test('a row by which the log is known is there, or was swept, or is missing, whatever its numbers', async (t) => {
  const one = await writer(t);
  const fateOf = async (changes: object = {}) => {
    assert.ok(landmark);
    return (await log.state({ ...landmark, ...changes })).landmark;
  };
  await one.insert('known', 1, 1);
  const { newest: landmark } = await log.state();
  assert.equal(landmark?.subjectId, 'known');
  assert.equal((await log.state()).landmark, 'there', 'who knows none misses none');
  await one.insert('later');
  assert.equal(await fateOf(), 'there');
  for (const another of [{ atMs: 1 }, { subjectId: 'x' }, { position: 1_000_000 }, { cursor: landmark.cursor + 1 }]) {
    assert.equal(await fateOf(another), 'missing', JSON.stringify(another));
  }
  assert.equal((await log.read(seenUpTo(0), 10, { ...landmark, atMs: 1 })).state.landmark, 'missing');
  assert.equal((await log.read(seenUpTo(0), 10, landmark)).state.landmark, 'there');
  await store.write((tx) => deleteOverInvalidations(tx, { engine: store.engine, nowMs: 2, limit: 1_000 }));
  assert.equal(await fateOf(), 'swept');
});

test('numbers that this server has not given are another server’s, until a restore point gives its own', async (t) => {
  const one = await writer(t);
  await one.insert('own');
  assert.equal((await log.state()).isForeign, false);
  await store.write((tx) => tx.run("UPDATE invalidation SET xid = '4000000000000' WHERE subject_id = 'own'"));
  const { isForeign, epoch } = await log.state();
  assert.equal(isForeign, true);
  assert.equal((await log.read(seenUpTo(0), 10)).state.isForeign, true);
  const point = { store, clock: systemClock, random: systemRandom, aboveEpoch: 0, settle: async () => {} };
  assert.ok((await setRestorePoint(point)).epoch > epoch);
  const begun = await start();
  assert.equal((await log.state()).isForeign, false);
  await one.insert('told');
  assert.deepEqual(subjects(await log.read(begun, 10)), ['told']);
  await store.write((tx) => tx.run("UPDATE invalidation_sweep SET up_to = '4000000000000'"));
  assert.equal((await log.state()).isForeign, true, 'rows that are gone had such numbers, too');
  await setRestorePoint(point);
  assert.equal((await log.state()).isForeign, false);
});

test('so many rows stand after where the log reaches', async (t) => {
  const one = await writer(t);
  const cursors = [];
  for (let row = 0; row < 4; row++) cursors.push(await one.insert('row'));
  assert.equal(await log.reach(3), cursors[0]);
  assert.equal(await log.reach(1_000_000), 0);
});

test('with many writers at once every row that commits is read once, and before the end of a read that began after it', async (t) => {
  let seen = await start();
  const written = new Set<string>();
  const read: string[] = [];
  let isOver = false;
  const writers = await Promise.all(Array.from({ length: 6 }, () => writer(t)));
  const writing = writers.map(async (one, name) => {
    for (let number = 0; number < 150; number++) {
      await one.begin();
      await one.insert(`${name}.${number}`, 1 + (number % 3));
      if (number % 7 === name) await new Promise((resolve) => setTimeout(resolve, number % 11));
      if (number % 5 === 0) await one.rollBack();
      else {
        await one.commit();
        for (let row = 0; row < 1 + (number % 3); row++) written.add(`${name}.${number}`);
      }
    }
  });
  const reading = (async () => {
    while (!isOver) {
      const committed = [...written];
      let isComplete = false;
      while (!isComplete) {
        const page = await log.read(seen, 7);
        read.push(...subjects(page));
        ({ seen, isComplete } = page);
      }
      const known = new Set(read);
      for (const subject of committed) assert.ok(known.has(subject), `${subject} was committed before the read began`);
    }
  })();
  await Promise.all(writing);
  isOver = true;
  await reading;
  const last = await log.read(seen, 100_000);
  read.push(...subjects(last));
  const rowsOf = (subject: string) => 1 + (Number(subject.split('.')[1]) % 3);
  assert.equal(new Set(read).size, written.size);
  assert.equal(
    read.length,
    [...written].reduce((sum, subject) => sum + rowsOf(subject), 0),
  );
});
