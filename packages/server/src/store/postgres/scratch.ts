/**
 * Databases for tests: each store gets one of its own, made from a template that has the schema already (a tenth of the time of
 * migrating), and drops it when it is done with. Every server in production is left alone: only databases with these names are dropped.
 *
 *     countersign_test_<made at, ms>_<run>_<chance>     a test's own
 *     countersign_template_<digest of the migrations>   whole whenever it has this name
 */
import pg from 'pg';
import { type Clock, systemClock } from '../../world/clock.ts';
import { systemRandom } from '../../world/random.ts';
import { systemStopwatch } from '../../world/stopwatch.ts';
import { MIGRATIONS_FOLDER, readMigrations, sha256Of } from '../migration-files.ts';
import type { JournalEntry } from '../store.ts';
import { clientConfig } from './connections.ts';
import { postgresMigration } from './dialect.ts';
import { migratePostgres } from './migrating.ts';
import { openPostgresStore, type PostgresStore } from './postgres.ts';

const OWN = /^countersign_test_(\d+)_([a-z0-9]+)_/;

/** No run of tests takes so long: what is older was left by one that broke off. */
const STALE_MS = 60 * 60_000;

/** Many test files run at once, and the server allows a hundred connections to all of them. */
const SCRATCH_CONNECTIONS = 4;

/** A server on which tests may make databases. */
export interface ScratchServer {
  /** Its user may make databases; the one that the URL names is only connected to. */
  readonly url: string;
  /** Small letters and digits that name the run of tests, so that its end can drop what its tests left. */
  readonly run: string;
}

export interface ScratchStore {
  readonly store: PostgresStore;
  /** Of the database, for whoever opens it once more. */
  readonly url: string;
  /** Closes the store and drops its database. */
  drop(): Promise<void>;
}

/** Opens a store over a new database, or over one that an earlier one left (`databaseUrl`). */
export async function openScratchStore(given: {
  server: ScratchServer;
  clock: Clock;
  journal: JournalEntry[];
  databaseUrl?: string;
}): Promise<ScratchStore> {
  const { server, clock, journal } = given;
  const url = given.databaseUrl ?? (await makeScratchDatabase(server));
  const store = await openPostgresStore({
    ...{ url, clock, connections: SCRATCH_CONNECTIONS },
    journal: { kind: 'collected', entries: journal },
  });
  return {
    store,
    url,
    async drop() {
      await store.close();
      await dropScratchDatabase(server, url);
    },
  };
}

/** A new database; returns its URL. `isEmpty`: without the schema. */
export async function makeScratchDatabase(server: ScratchServer, options: { isEmpty?: boolean } = {}): Promise<string> {
  const name = `countersign_test_${systemClock.now()}_${server.run}_${Buffer.from(systemRandom.bytes(4)).toString('hex')}`;
  await atServer(server, async (client) => {
    const template = options.isEmpty ? 'template1' : await templateOf(client, server);
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  });
  return urlOf(server, name);
}

export async function dropScratchDatabase(server: ScratchServer, url: string): Promise<void> {
  const name = new URL(url).pathname.slice(1);
  if (!OWN.test(name)) throw new Error('Dropping a database of a test: it is none.');
  await atServer(server, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
}

/** Drops what this run left, and what runs left that broke off long ago. */
export async function dropScratchDatabases(server: ScratchServer): Promise<void> {
  await atServer(server, async (client) => {
    const { rows } = await client.query<{ datname: string }>('SELECT datname FROM pg_database');
    for (const { datname } of rows) {
      const [, madeAtMs, run] = OWN.exec(datname) ?? [];
      if (madeAtMs === undefined) continue;
      if (run !== server.run && systemClock.now() - Number(madeAtMs) < STALE_MS) continue;
      await client.query(`DROP DATABASE IF EXISTS ${datname} WITH (FORCE)`);
    }
  });
}

async function templateOf(client: pg.Client, server: ScratchServer): Promise<string> {
  const digest = sha256Of(
    readMigrations(MIGRATIONS_FOLDER)
      .map((file) => postgresMigration(file).sha256)
      .join(),
  );
  const name = `countersign_template_${digest.slice(0, 16)}`;
  if (await exists(client, name)) return name;
  // One makes it, the others wait; it gets its name when it is whole.
  await client.query("SELECT pg_advisory_lock(hashtext('countersign_template'))");
  if (!(await exists(client, name))) {
    const half = await makeScratchDatabase(server, { isEmpty: true });
    await migratePostgres({
      ...{ place: { url: half }, clock: systemClock, random: systemRandom, stopwatch: systemStopwatch },
    });
    await client.query(`ALTER DATABASE ${new URL(half).pathname.slice(1)} RENAME TO ${name}`);
  }
  await client.query("SELECT pg_advisory_unlock(hashtext('countersign_template'))");
  return name;
}

async function exists(client: pg.Client, name: string): Promise<boolean> {
  return (await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name])).rows.length > 0;
}

function urlOf(server: ScratchServer, database: string): string {
  const url = new URL(server.url);
  url.pathname = `/${database}`;
  return url.href;
}

async function atServer(server: ScratchServer, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client(clientConfig({ url: server.url }));
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
