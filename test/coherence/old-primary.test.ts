// Needs PostgreSQL's programs: a server of its own, whose standby goes.
/** An old primary, as a node sees it that nobody told: it answers every read, and acknowledges no write. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Primary } from '../../packages/server/src/push/primary.ts';
import { Reader } from '../../packages/server/src/push/reader.ts';
import { type Delivery, Rounds } from '../../packages/server/src/push/rounds.ts';
import { InvalidationLog } from '../../packages/server/src/revocation/revocation.ts';
import { openPostgresStore } from '../../packages/server/src/store/store.ts';
import { systemClock } from '../../packages/server/src/world/clock.ts';
import { systemStopwatch } from '../../packages/server/src/world/stopwatch.ts';
import { PrivatePostgres, WITHOUT_POSTGRES } from '../cluster/private-postgres.ts';

const API = 'https://api.example';
const WITHIN_MS = 60_000;

async function setUp(t: TestContext) {
  const postgres = await PrivatePostgres.make();
  t.after(() => postgres.drop());
  const url = postgres.urlOf('postgres');
  const store = await openPostgresStore({ url, clock: systemClock, journal: { kind: 'none' }, connections: 3 });
  t.after(() => store.close());
  let aheadMs = 0;
  const invalidations = new InvalidationLog(store);
  const rounds = new Rounds({ handleOf: (_client, subject, id) => `${subject}/${id}` });
  const lines: string[] = [];
  const said: Delivery[] = [];
  const note = (line: string) => void lines.push(line);
  const reader: Reader = new Reader({
    ...{ invalidations, rounds },
    primary: new Primary({
      ...{ invalidations, stopwatch: systemStopwatch },
      clock: { now: () => systemClock.now() + aheadMs },
      onConfirmed: () => reader.wake(),
    }),
    log: { info: note, warn: note, error: note },
    deliver: (deliveries) => void said.push(...deliveries),
  });
  const kinds = () => said.flatMap(({ messages }) => messages.map(({ kind }) => kind));
  const until = async (isSo: () => boolean) => {
    for (const endMs = performance.now() + WITHIN_MS; !isSo(); ) {
      assert.ok(performance.now() < endMs, `${kinds()} ${lines}`);
      reader.wake();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const pass = (ms: number) => {
    aheadMs += ms;
  };
  return { postgres, rounds, lines, kinds, until, pass };
}

test('a node tells what it reads, and echoes nothing, once its own writes are not acknowledged any more', {
  skip: WITHOUT_POSTGRES,
}, async (t) => {
  const { postgres, rounds, lines, kinds, until, pass } = await setUp(t);
  const pulse = (nonce: string) => rounds.pulse({ stream: 'a', clientId: 'rs', nonce });
  rounds.open({ name: 'a', clientId: 'rs', audiences: [API], maxStalenessMs: 3_000, nonce: 'n', resume: undefined });
  await until(() => kinds().length === 2);
  assert.deepEqual(kinds(), ['hello', 'heartbeat']);
  assert.deepEqual(lines, [], 'that the first write takes its time is no fault');

  await postgres.query('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await postgres.query('postgres', 'SELECT pg_reload_conf()');
  pass(10_000);
  pulse('p');
  await postgres.query(
    'postgres',
    `SET synchronous_commit = local;
     INSERT INTO invalidation (at_ms, kind, subject_id, until_ms) VALUES (0, 'user', 'u', 9000000000000)`,
  );
  await until(() => kinds().includes('invalidate') && lines.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 9_000)); // longer than a write waits for its answer
  await until(() => true);
  assert.deepEqual(kinds(), ['hello', 'heartbeat', 'invalidate']);
  assert.deepEqual(lines, ['the store acknowledges no write; verifiers get no echo until it does']);

  await postgres.query('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
  await postgres.query('postgres', 'SELECT pg_reload_conf()');
  await until(() => kinds().length === 4);
  assert.deepEqual(kinds().at(-1), 'heartbeat');
});
