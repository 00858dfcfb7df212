/** What the stories of this folder rest on: that the PostgreSQL they stop and restore behaves as one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PrivatePostgres, WITHOUT_POSTGRES } from './private-postgres.ts';

test('a power cut keeps what was committed, and a restored base backup knows nothing that came after it', {
  skip: WITHOUT_POSTGRES,
}, async () => {
  const postgres = await PrivatePostgres.make();
  try {
    await postgres.createDatabase('kept');
    await postgres.query('kept', 'CREATE TABLE line (number BIGINT PRIMARY KEY)');
    const numbers = async () => {
      const rows = await postgres.query<{ number: string }>('kept', 'SELECT number FROM line ORDER BY number');
      return rows.map(({ number }) => Number(number));
    };
    await postgres.query('kept', 'INSERT INTO line VALUES (1)');
    const backup = await postgres.backUp();
    await postgres.query('kept', 'INSERT INTO line VALUES (2)');
    await postgres.restart('immediate');
    assert.deepEqual(await numbers(), [1, 2]);
    assert.throws(() => postgres.restore(backup), /runs/);
    await postgres.stop('fast');
    await assert.rejects(numbers());
    postgres.restore(backup);
    await postgres.start();
    assert.deepEqual(await numbers(), [1]);
  } finally {
    await postgres.drop();
  }
});
