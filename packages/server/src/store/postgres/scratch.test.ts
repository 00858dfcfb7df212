// Needs PostgreSQL: it is about its databases.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TEST_SERVER } from '../../testing/testing.ts';
import { systemClock } from '../../world/clock.ts';
import { dropScratchDatabases, leaveScratchDatabase, openScratchStore, type ScratchServer } from './scratch.ts';

test('a database that one test left is as new for the next, and out of the reach of who left it', async (t) => {
  const server: ScratchServer = { ...TEST_SERVER, run: `own${process.pid}` };
  t.after(() => dropScratchDatabases(server));
  const open = () => openScratchStore({ server, clock: systemClock, journal: [] });
  const first = await open();
  const look = async ({ store }: typeof first) => ({
    epochs: await store.read.all('SELECT * FROM store_epoch'),
    migrations: await store.read.all('SELECT * FROM schema_migration ORDER BY number'),
    outlets: await store.read.all('SELECT * FROM outlet'),
  });
  const asMade = await look(first);
  assert.ok(asMade.migrations.length > 0 && asMade.epochs.length === 1);
  const append = `INSERT INTO invalidation (at_ms, kind, subject_id, until_ms) VALUES (1, 'user', 'x', 2)`;
  await first.store.write(async (tx) => {
    await tx.run("INSERT INTO outlet (name, read_up_to) VALUES ('x', 'y')");
    await tx.run('UPDATE store_epoch SET epoch = 7');
    await tx.run(append);
  });
  await first.drop();

  const second = await open();
  assert.notEqual(second.url, first.url);
  assert.deepEqual(await look(second), asMade);
  await second.store.write((tx) => tx.run(append));
  await leaveScratchDatabase(server, first.url);
  assert.deepEqual(await second.store.read.all('SELECT position FROM invalidation'), [{ position: 1 }]);
  const third = await open();
  assert.notEqual(third.url, second.url);
  await Promise.all([second.drop(), third.drop()]);
});
