/**
 * The machine of the database loses its power while a commit is on its way. PostgreSQL then gives the numbers of transactions that it had
 * not written down out again: that another transaction of the same number is in force must not be taken for an answer.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { LossyProxy } from '../../packages/server/src/store/postgres/testing/lossy-proxy.ts';
import { openPostgresStore } from '../../packages/server/src/store/store.ts';
import { systemClock } from '../../packages/server/src/world/clock.ts';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { PrivatePostgres, WITHOUT_POSTGRES } from './private-postgres.ts';

const opening = { clock: systemClock, journal: { kind: 'none' as const }, connections: 1 };

test('a commit that a crash swallowed is never answered as done', { skip: WITHOUT_POSTGRES }, async () => {
  const postgres = await PrivatePostgres.make();
  after(() => postgres.drop());
  // So that nothing is written down before the crash but by commits.
  await postgres.query('postgres', "ALTER SYSTEM SET wal_writer_delay = '10s'");
  await postgres.restart('fast');
  await postgres.createDatabase('countersign');
  const database = postgres.urlOf('countersign');
  const { proxy, url } = await LossyProxy.to(`${database}?sslmode=disable`);
  after(() => proxy.close());
  const node = await openPostgresStore({ ...opening, url });
  after(() => node.close());
  await node.write((tx) => tx.run('CREATE TABLE minted (id TEXT NOT NULL)'));
  const minted = async (id: string) =>
    (await postgres.query('countersign', 'SELECT 1 FROM minted WHERE id = $1', [id])).length;

  proxy.lose('COMMIT', 'cut_off');
  const writing = node
    .write((tx) => tx.run('INSERT INTO minted (id) VALUES ($1)', 'mine'))
    .then(
      () => 'done',
      (error: Error) => error.message,
    );
  await eventually('COMMIT is on its way', () => proxy.isCutOff);
  await postgres.restart('immediate');
  // Others go on, and get the numbers that were lost.
  const other = await openPostgresStore({ ...opening, url: database });
  after(() => other.close());
  for (let number = 0; number < 20; number++) {
    await other.write((tx) => tx.run('INSERT INTO minted (id) VALUES ($1)', `other ${number}`));
  }
  proxy.isCutOff = false;
  const answer = await writing;
  // A machine on which this takes too long says that it is unknown, as it should.
  if (answer === 'done') assert.equal(await minted('mine'), 1, 'answered as done, and not in force');
  else assert.match(answer, /unknown/);
});
