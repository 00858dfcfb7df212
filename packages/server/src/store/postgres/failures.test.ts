// Needs PostgreSQL: what it says.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import pg from 'pg';
import { TEST_SERVER } from '../../testing/testing.ts';
import { systemClock } from '../../world/clock.ts';
import { StoreUnavailable } from '../errors.ts';
import { ConnectionLost, translated } from './failures.ts';
import { openPostgresStore } from './postgres.ts';
import { dropScratchDatabase, makeScratchDatabase } from './scratch.ts';

const url = await makeScratchDatabase(TEST_SERVER);
const store = await openPostgresStore({ url, clock: systemClock, journal: { kind: 'none' }, connections: 1 });
after(async () => {
  await store.close();
  await dropScratchDatabase(TEST_SERVER, url);
});

const backend = async () => (await store.write((tx) => tx.get<{ pid: number }>('SELECT pg_backend_pid() AS pid')))?.pid;

for (const code of ['XX001', '58030']) {
  test(`an error of class ${code.slice(0, 2)} ends the work, and neither its connection nor an act's`, async () => {
    const before = await backend();
    const raising = `DO 'BEGIN RAISE EXCEPTION USING ERRCODE = ''${code}''; END'`;
    let runs = 0;
    const working = store.write(async (tx) => {
      runs += 1;
      await tx.run(raising);
    });
    const isOutage = (error: unknown) =>
      error instanceof StoreUnavailable && !(error instanceof ConnectionLost) && error.message.includes(code);
    await assert.rejects(working, isOutage);
    assert.equal(runs, 1);
    await assert.rejects(store.commit({ steps: [{ text: raising, values: [] }] }), isOutage);
    assert.equal(await backend(), before);
  });
}

test('what ends the connection leaves the end of a commit open', () => {
  const said = (severity: string, code: string) =>
    translated(Object.assign(new pg.DatabaseError('words', 5, 'error'), { severity, code }));
  for (const [severity, code] of [
    ['FATAL', '57P01'],
    ['FATAL', '25P03'],
    ['PANIC', '58030'],
    ['FATAL', 'XX000'],
    // In a language that is not known here.
    ['ВАЖНО', '57P01'],
    ['ПАНИКА', 'XX000'],
    ['ERROR', '08P01'],
  ] as const) {
    assert.ok(said(severity, code) instanceof ConnectionLost, `${severity} ${code}`);
  }
  for (const [severity, code] of [
    ['ERROR', '58030'],
    ['ERROR', 'XX002'],
    ['ERROR', '57014'],
  ] as const) {
    assert.ok(!(said(severity, code) instanceof ConnectionLost), `${severity} ${code}`);
  }
});
