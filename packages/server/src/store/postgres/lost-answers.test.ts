// Needs PostgreSQL: its answers get lost.
/** Connections that break around a commit: what was committed is never done twice, what was not is done once. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { TEST_SERVER } from '../../testing/testing.ts';
import { systemClock } from '../../world/clock.ts';
import { systemStopwatch } from '../../world/stopwatch.ts';
import { type Act, StoreUnavailable } from '../store.ts';
import { sweepFootprints } from './footprints.ts';
import { openPostgresStore, type PostgresStore } from './postgres.ts';
import { dropScratchDatabase, makeScratchDatabase } from './scratch.ts';
import { type Loss, LossyProxy } from './testing/lossy-proxy.ts';

const database = await makeScratchDatabase(TEST_SERVER);
const { proxy, url } = await LossyProxy.to(database);
const journal = { kind: 'none' as const };
const given = { clock: systemClock, journal, connections: 4 };
const direct = await openPostgresStore({ ...given, url: database });
const store = await openPostgresStore({ ...given, url });
// Without a key: what is done twice is there twice.
await direct.write((tx) => tx.run('CREATE TABLE minted (id TEXT NOT NULL, by_run BIGINT)'));
after(async () => {
  await Promise.all([store.close(), direct.close()]);
  await proxy.close();
  await dropScratchDatabase(TEST_SERVER, database);
});

const LOSSES: readonly Loss[] = ['answer_lost', 'never_arrives', 'arrives_late'];

async function minted(id: string): Promise<number> {
  return (await direct.read.all('SELECT id FROM minted WHERE id = $1', id)).length;
}

function minting(id: string): Act {
  return {
    // Of two steps, and with none that would refuse it the second time: only the engine keeps it from being done twice.
    steps: [
      { text: 'SELECT epoch FROM store_epoch WHERE epoch > $1', values: [0], must: { rows: 1, why: 'no epoch' } },
      { text: 'INSERT INTO minted (id, by_run) VALUES ($1, $2)', values: [id, 1] },
    ],
    footprint: { text: 'SELECT id FROM minted WHERE id = $1', values: [id] },
  };
}

describe('works', () => {
  for (const loss of LOSSES) {
    test(`${loss}: a work is in force once, and its after-commits run once`, async () => {
      const id = `work-${loss}`;
      let runs = 0;
      let after = 0;
      proxy.lose('COMMIT', loss);
      const answer = await store.write(async (tx) => {
        runs += 1;
        tx.afterCommit(() => {
          after += 1;
        });
        await tx.run('INSERT INTO minted (id, by_run) VALUES ($1, $2)', id, runs);
        return `answer of run ${runs}`;
      });
      assert.equal(await minted(id), 1);
      assert.equal(after, 1);
      assert.equal(runs, loss === 'answer_lost' ? 1 : 2);
      assert.equal(answer, `answer of run ${runs}`);
    });
  }

  test('one that only reads is made again', async () => {
    const before = proxy.losses;
    proxy.lose('COMMIT', 'never_arrives');
    const rows = await store.write((tx) => tx.all('SELECT epoch FROM store_epoch'));
    assert.equal(rows.length, 1);
    assert.equal(proxy.losses, before + 1);
  });

  test('one whose connection broke while nobody used it is made again', async () => {
    const before = proxy.losses;
    proxy.lose('BEGIN', 'never_arrives');
    const changed = await store.write((tx) => tx.run('INSERT INTO minted (id) VALUES ($1)', 'idle'));
    assert.equal(changed, 1);
    assert.equal(await minted('idle'), 1);
    assert.equal(proxy.losses, before + 1);
  });

  test('one that wrote leaves a footprint, one that changed nothing leaves none', async () => {
    const left = async () => (await direct.read.all('SELECT id FROM work_footprint')).length;
    const before = await left();
    await store.write((tx) => tx.run('UPDATE minted SET by_run = 1 WHERE id = $1', 'there is none'));
    assert.equal(await left(), before);
    await store.write((tx) => tx.run('INSERT INTO minted (id) VALUES ($1)', 'footprint'));
    assert.equal(await left(), before + 1);
  });

  test('footprints are forgotten after minutes, and not before', async () => {
    await direct.write((tx) => tx.run("UPDATE work_footprint SET made_at = now() - interval '9 minutes'"));
    assert.deepEqual(await sweepFootprints(direct.read, direct), { deleted: 0 });
    const left = await direct.write((tx) =>
      tx.run("UPDATE work_footprint SET made_at = now() - interval '11 minutes'"),
    );
    assert.ok(left > 0);
    assert.deepEqual(await sweepFootprints(direct.read, direct), { deleted: left });
    // Those of the two writes above and of nothing older: none of the old ones is there.
    const [{ old } = { old: -1 }] = await direct.read.all<{ old: number }>(
      "SELECT count(*) AS old FROM work_footprint WHERE made_at < now() - interval '10 minutes'",
    );
    assert.equal(old, 0);
  });

  test('one that is refused at its last statement gives its connection back in order', async () => {
    const one = await openPostgresStore({ ...given, connections: 1, url: database });
    const count = 'SELECT count(*) AS count FROM minted';
    let runs = 0;
    // Each reads what the other writes, and the other commits first: the next that this one writes is refused, its footprint.
    await one.write(async (tx) => {
      runs += 1;
      await tx.all(count);
      await tx.run('INSERT INTO minted (id) VALUES ($1)', 'overtaken');
      if (runs > 1) return;
      await direct.write(async (other) => {
        await other.all(count);
        await other.run('INSERT INTO minted (id) VALUES ($1)', 'overtaking');
      });
    });
    assert.equal(runs, 2);
    await one.write((tx) => tx.run('INSERT INTO minted (id) VALUES ($1)', 'the next'));
    await one.close();
    assert.deepEqual([await minted('overtaken'), await minted('overtaking'), await minted('the next')], [1, 1, 1]);
  });

  test('one whose backend ends between two of its statements is made again', async () => {
    let runs = 0;
    await store.write(async (tx) => {
      runs += 1;
      await tx.run('INSERT INTO minted (id, by_run) VALUES ($1, $2)', 'between', runs);
      const row = await tx.get<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      if (runs === 1) await direct.read.get('SELECT pg_terminate_backend($1::int)', row?.pid ?? 0);
      await tx.run('INSERT INTO minted (id, by_run) VALUES ($1, $2)', 'between and after', runs);
    });
    assert.equal(runs, 2);
    assert.equal(await minted('between'), 1);
    assert.equal(await minted('between and after'), 1);
  });
});

describe('acts', () => {
  for (const loss of LOSSES) {
    test(`${loss}: an act is done once`, async () => {
      const id = `act-${loss}`;
      proxy.lose(id, loss);
      assert.deepEqual(await store.commit(minting(id)), { kind: 'done' });
      await new Promise((resolve) => setTimeout(resolve, 700)); // past what arrives late
      assert.equal(await minted(id), 1);
    });

    test(`${loss}: one without footprint is said to be unknown, and not done again`, async () => {
      const id = `no-footprint-${loss}`;
      proxy.lose(id, loss);
      const { footprint: _, ...act } = minting(id);
      await assert.rejects(store.commit(act), (error) => {
        assert.ok(error instanceof StoreUnavailable);
        assert.match(error.message, /unknown/);
        return true;
      });
      assert.equal(await minted(id), loss === 'answer_lost' ? 1 : 0);
    });
  }

  test('a storm that ends backends at any moment doubles nothing and loses nothing that was acknowledged', async () => {
    const ids = Array.from({ length: 300 }, (_, index) => `storm-${index}`);
    let isOver = false;
    const storm = (async () => {
      while (!isOver) {
        await direct.read.all(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND query LIKE '%minted%' AND pid <> pg_backend_pid()`,
        );
        await new Promise((resolve) => setTimeout(resolve, 15));
      }
    })();
    const outcomes = await Promise.allSettled(
      ids.map((id, index) =>
        index % 2 === 0
          ? store.commit(minting(id)).then(({ kind }) => assert.equal(kind, 'done'))
          : store.write(async (tx) => void (await tx.run('INSERT INTO minted (id) VALUES ($1)', id))),
      ),
    );
    isOver = true;
    await storm;
    let acknowledged = 0;
    for (const [index, outcome] of outcomes.entries()) {
      const count = await minted(ids[index] ?? '');
      if (outcome.status === 'fulfilled') {
        acknowledged += 1;
        assert.equal(count, 1, ids[index]);
      } else {
        assert.ok(outcome.reason instanceof StoreUnavailable, String(outcome.reason));
        assert.ok(count <= 1, ids[index]);
      }
    }
    assert.ok(acknowledged > 0);
  });
});

test('a database that stays away leaves the end unknown, and says so within the time it has', async () => {
  // A minute passes with each look, so that the test need not wait.
  let minutes = 0;
  const stopwatch = { monotonicMs: () => systemStopwatch.monotonicMs() + 60_000 * minutes++ };
  const other = await LossyProxy.to(database);
  const lonely: PostgresStore = await openPostgresStore({ ...given, url: other.url, stopwatch });
  await lonely.write((tx) => tx.run('INSERT INTO minted (id) VALUES ($1)', 'before'));
  other.proxy.lose('COMMIT', 'answer_lost');
  const writing = lonely.write(async (tx) => {
    await tx.run('INSERT INTO minted (id) VALUES ($1)', 'away');
    tx.journal({ kind: 'user_disabled', userId: 'user_1', atMs: 1 });
  });
  await assert.rejects(writing, (error) => error instanceof StoreUnavailable && /unknown/.test(error.message));
  assert.equal(await minted('away'), 1);
  await lonely.close();
  await other.proxy.close();
});

test('no message and no cause holds the password', async () => {
  const secret = 'hunter2hunter2';
  const wrong = new URL(database);
  wrong.password = secret;
  const failures: unknown[] = [];
  for (const change of [
    (to: URL) => (to.port = '1'),
    (to: URL) => (to.pathname = '/there-is-no-such-database'),
    (to: URL) => (to.username = 'nobody-of-that-name'),
    (to: URL) => (to.search = '?sslmode=verify-full'),
  ]) {
    const to = new URL(wrong);
    change(to);
    await assert.rejects(openPostgresStore({ ...given, url: to.href }), (error) => {
      failures.push(error);
      return error instanceof StoreUnavailable;
    });
  }
  for (const failure of failures) {
    const { message, cause, stack } = failure as Error;
    assert.doesNotMatch(`${message} ${stack} ${String(cause)}`, /hunter2/);
  }
});
