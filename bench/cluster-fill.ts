/**
 * Fills `access_token` with as many live tokens as a bench asks for. What a verdict reads of a row is genuine in every so many-th of
 * them only, the probes, spread evenly over the whole table; the others have the same columns, sizes and order of ids.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createId } from '@countersign/protocol';
import type pg from 'pg';
import type { BenchAuthority } from './cluster-authority.ts';
import { withClient } from './cluster-postgres.ts';

export interface Probe {
  readonly jti: string;
  readonly digest: Uint8Array;
}

/** Enough that their pages are many times what PostgreSQL itself keeps in memory: a probe is as cold as any row. */
const MOST_PROBES = 200_000;
/** Whose the tokens are. */
const USERS = 1_000;
/** Tokens issued in one second: their ids share what is made of the time. */
const TOKENS_PER_SECOND = 1_000;
/** Characters of an id that are made of the time; the others are random. */
const TIME_CHARACTERS = 'acctok_'.length + 11;
/** They must outlive the bench. */
const LIFETIME_MS = 6 * 3_600_000;
/** Both of the smallest machine's cores. */
const FILLERS = 2;
const BATCH = 10_000;

/** Replaces whatever the table holds. Returns the probes in no order. */
export async function fillTokens(url: string, bench: BenchAuthority, count: number): Promise<Probe[]> {
  const users = await addUsers(bench);
  return withClient(url, async (client) => {
    const indexes = await dropIndexes(client);
    await client.query('TRUNCATE access_token');
    await client.query('CREATE TABLE fill_second (second integer PRIMARY KEY, at_ms bigint, head text)');
    await client.query('CREATE TABLE fill_probe (number integer PRIMARY KEY, jti text, record bytea)');
    const seconds = await addSeconds(client, count);
    const probes = await addProbes(client, { bench, count, seconds });
    await client.query('ANALYZE fill_second, fill_probe');
    const share = Math.ceil(count / FILLERS);
    await Promise.all(
      Array.from({ length: FILLERS }, (_, index) =>
        withClient(url, (filler) =>
          filler.query(FILL, [
            ...[index * share, Math.min((index + 1) * share, count) - 1, TOKENS_PER_SECOND, bench.client.id, users],
            ...[bench.client.audience, LIFETIME_MS, TIME_CHARACTERS],
          ]),
        ),
      ),
    );
    await client.query('DROP TABLE fill_second, fill_probe');
    await client.query("SET maintenance_work_mem = '512MB'");
    for (const index of indexes) await client.query(index);
    // As autovacuum leaves a table behind: otherwise the first to read a row writes its page.
    await client.query('VACUUM (ANALYZE) access_token');
    // What was written is on its way to the disk: it is there before anything is measured.
    await client.query('CHECKPOINT');
    return probes;
  });
}

/** $1 first and $2 last number, $3 tokens per second, $4 client, $5 users, $6 audience, $7 lifetime, $8 length of what time makes. */
const FILL = `
  INSERT INTO access_token (jti, grant_id, client_id, user_id, session_id, audience, key_id, bucket_version, record,
    issued_at_ms, expires_at_ms)
  SELECT COALESCE(p.jti, s.head || t.tail), 'grant' || substr(s.head, 7) || t.tail, $4,
    ($5::text[])[1 + n % cardinality($5::text[])], 'sess' || substr(s.head, 7) || reverse(t.tail), $6,
    'key_0000000000000000000000', 1, COALESCE(p.record, sha256(t.tail::bytea)), s.at_ms, s.at_ms + $7
  FROM generate_series($1::integer, $2::integer) AS n
    JOIN fill_second s ON s.second = n / $3::integer
    LEFT JOIN fill_probe p ON p.number = n,
    LATERAL (SELECT substr(md5(n::text), 1, 29 - $8::integer) AS tail) t`;

/** All but the table itself, as they are made again. A unique index that is the primary key is an index like any other here. */
async function dropIndexes(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string; definition: string; is_primary: boolean }>(
    `SELECT c.relname AS name, pg_get_indexdef(c.oid) AS definition, i.indisprimary AS is_primary
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'access_token'::regclass`,
  );
  for (const { name, is_primary } of rows) {
    await client.query(is_primary ? `ALTER TABLE access_token DROP CONSTRAINT ${name}` : `DROP INDEX ${name}`);
  }
  return rows.map(({ definition }) => definition);
}

async function addUsers({ authority, store }: BenchAuthority): Promise<string[]> {
  return store.write(async (tx) => {
    const ids: string[] = [];
    for (let number = 0; number < USERS; number++) {
      ids.push((await authority.users.create(tx, `user${number}@example.org`)).id);
    }
    return ids;
  });
}

interface Second {
  readonly atMs: number;
  /** What the ids of that second begin with. */
  readonly head: string;
}

/** The last of them is now. */
async function addSeconds(client: pg.Client, count: number): Promise<Second[]> {
  const length = Math.ceil(count / TOKENS_PER_SECOND);
  const nowMs = Date.now();
  const seconds = Array.from({ length }, (_, second) => {
    // Ten million are issued in three hours: within the life of the first.
    const atMs = nowMs - (length - second) * 1_000;
    return { atMs, head: createId('acctok', atMs, new Uint8Array(8)).slice(0, TIME_CHARACTERS) };
  });
  await client.query(
    `INSERT INTO fill_second (second, at_ms, head)
     SELECT * FROM unnest($1::integer[], $2::bigint[], $3::text[])`,
    [seconds.map((_, second) => second), seconds.map(({ atMs }) => atMs), seconds.map(({ head }) => head)],
  );
  return seconds;
}

async function addProbes(
  client: pg.Client,
  given: { bench: BenchAuthority; count: number; seconds: readonly Second[] },
): Promise<Probe[]> {
  const { bench, count, seconds } = given;
  const length = Math.min(count, MOST_PROBES);
  const probes: Probe[] = [];
  for (let from = 0; from < length; from += BATCH) {
    const numbers: number[] = [];
    const jtis: string[] = [];
    const records: Uint8Array[] = [];
    for (let index = from; index < Math.min(from + BATCH, length); index++) {
      const number = Math.floor((index * count) / length);
      const atMs = seconds[Math.floor(number / TOKENS_PER_SECOND)]?.atMs ?? 0;
      const jti = createId('acctok', atMs, randomBytes(8));
      const signingInput = `${jti}.bench`; // any bytes: what is checked is their digest
      numbers.push(number);
      jtis.push(jti);
      records.push(bench.authority.buckets.record(jti, signingInput).record);
      probes.push({ jti, digest: createHash('sha256').update(signingInput).digest() });
    }
    await client.query(
      'INSERT INTO fill_probe (number, jti, record) SELECT * FROM unnest($1::integer[], $2::text[], $3::bytea[])',
      [numbers, jtis, records],
    );
  }
  return probes;
}
