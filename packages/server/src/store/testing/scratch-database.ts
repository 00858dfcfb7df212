/**
 * Databases for tests: each of its own, made from a template that has the schema already (a tenth of the time of migrating), dropped
 * when the test closes it. What a run that broke off left is dropped by the next run, by its name, which tells its age.
 */
import { createHash, randomBytes } from 'node:crypto';
import pg from 'pg';
import { systemRandom } from '../../world/random.ts';
import { systemStopwatch } from '../../world/stopwatch.ts';
import { MIGRATIONS_FOLDER, readMigrations } from '../migration-files.ts';
import { migratePostgres } from '../postgres/migrating.ts';

const SCRATCH = 'countersign_test_';
const TEMPLATE = 'countersign_template_';

/** No run takes so long. */
const STALE_MS = 60 * 60_000;

/** The server for tests: `TEST_DATABASE_URL`, else the one on this machine. Its user may make databases. */
export function testServerUrl(): string {
  return process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres';
}

export interface ScratchDatabase {
  readonly url: string;
  readonly name: string;
  drop(): Promise<void>;
}

/** `isEmpty`: without the schema. */
export async function makeScratchDatabase(options: { isEmpty?: boolean } = {}): Promise<ScratchDatabase> {
  const name = `${SCRATCH}${Date.now()}_${randomBytes(4).toString('hex')}`;
  await atServer(async (client) => {
    const template = options.isEmpty ? 'template1' : await templateOf(client);
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  });
  return {
    name,
    url: urlOf(name),
    drop: () => atServer(async (client) => void (await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))),
  };
}

/** Drops what older runs left: databases of an hour ago, and templates of other migrations that nobody made lately. */
export async function dropStaleDatabases(nowMs = Date.now()): Promise<void> {
  await atServer(async (client) => {
    const { rows } = await client.query<{ datname: string }>('SELECT datname FROM pg_database');
    for (const { datname } of rows) {
      const madeAtMs = Number(new RegExp(`^${SCRATCH}(\\d+)_`).exec(datname)?.[1] ?? Number.NaN);
      if (nowMs - madeAtMs > STALE_MS) await client.query(`DROP DATABASE IF EXISTS ${datname} WITH (FORCE)`);
    }
  });
}

async function templateOf(client: pg.Client): Promise<string> {
  const name = `${TEMPLATE}${digestOfMigrations()}`;
  if (await exists(client, name)) return name;
  // One makes it, the others wait. A template under its final name is whole: it is renamed when it is.
  await client.query(`SELECT pg_advisory_lock(hashtext('${TEMPLATE}'))`);
  if (await exists(client, name)) return name;
  const half = `${SCRATCH}${Date.now()}_template`;
  await client.query(`CREATE DATABASE ${half}`);
  await migratePostgres({
    place: { url: urlOf(half) },
    clock: { now: () => 0 },
    random: systemRandom,
    stopwatch: systemStopwatch,
  });
  await client.query(`ALTER DATABASE ${half} RENAME TO ${name}`);
  return name;
}

async function exists(client: pg.Client, name: string): Promise<boolean> {
  return (await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name])).rows.length > 0;
}

function digestOfMigrations(): string {
  const hash = createHash('sha256');
  for (const { text, postgresText = '' } of readMigrations(MIGRATIONS_FOLDER))
    hash.update(`${text}\n${postgresText}\n`);
  return hash.digest('hex').slice(0, 16);
}

function urlOf(database: string): string {
  const url = new URL(testServerUrl());
  url.pathname = `/${database}`;
  return url.href;
}

async function atServer<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: testServerUrl() });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
