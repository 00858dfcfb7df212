/**
 * Databases for tests: each store gets one of its own, made from a template that has the schema already (a tenth of the time of
 * migrating). Whoever is done with one empties it and leaves it to the next of the same run (a fifth of the time of making one). Every
 * server in production is left alone: only databases with these names are dropped.
 *
 *     countersign_test_<made at, ms>_<run>_<chance>     a test's own
 *     countersign_test_<made at, ms>_<run>_<chance>_free   emptied, for whoever gives it its own name back
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
const FREE = '_free';

/** No run of tests takes so long: what is older was left by one that broke off. */
const STALE_MS = 60 * 60_000;

/** What a database is when it is made: the rows that migrations bring, beside the tables that hold them. */
const REMEMBER_ROWS = `DO $$ DECLARE name text; found boolean; BEGIN
  CREATE SCHEMA made;
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM public.%I)', name) INTO found;
    IF found THEN EXECUTE format('CREATE TABLE made.%I AS TABLE public.%I', name, name); END IF;
  END LOOP;
END $$`;

/** What it is again when it was used. Nobody else is connected from here on. */
const EMPTY = `DO $$ DECLARE name text; all_names text; BEGIN
  PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
  SELECT string_agg(format('public.%I', tablename), ', ') INTO all_names FROM pg_tables WHERE schemaname = 'public';
  EXECUTE 'TRUNCATE ' || all_names || ' RESTART IDENTITY';
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'made' LOOP
    EXECUTE format('INSERT INTO public.%I SELECT * FROM made.%I', name, name);
  END LOOP;
END $$`;

/** Many test files run at once, and the server allows a hundred connections to all of them. */
const SCRATCH_CONNECTIONS = 4;

/** A server on which tests may make databases. */
export interface ScratchServer {
  /** Its user may make databases; the one that the URL names is only connected to. */
  readonly url: string;
  /**
   * Small letters and digits that name the run of tests, so that its end can drop what its tests left. Undefined: nobody will, so each
   * test drops its own.
   */
  readonly run: string | undefined;
}

export interface ScratchStore {
  readonly store: PostgresStore;
  /** Of the database, for whoever opens it once more. */
  readonly url: string;
  /** Closes the store; its database is done with. */
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
  const url = given.databaseUrl ?? (await freeDatabase(server)) ?? (await makeScratchDatabase(server));
  const store = await openPostgresStore({
    ...{ url, clock, connections: SCRATCH_CONNECTIONS },
    journal: { kind: 'collected', entries: journal },
  });
  return {
    store,
    url,
    async drop() {
      await store.close();
      await leaveScratchDatabase(server, url);
    },
  };
}

/** Whoever opened a store over it is done with it. */
export async function leaveScratchDatabase(server: ScratchServer, url: string): Promise<void> {
  if (server.run === undefined) return dropScratchDatabase(server, url);
  const name = ownName(url);
  await at(url, (client) => client.query(EMPTY));
  await at(server.url, (client) => client.query(`ALTER DATABASE ${name} RENAME TO ${name}${FREE}`));
}

/** The URL of one that somebody left, if there is one and nobody else was quicker. */
async function freeDatabase(server: ScratchServer): Promise<string | undefined> {
  if (server.run === undefined) return undefined;
  return at(server.url, async (client) => {
    const mine = `countersign_test_%_${server.run}_%${FREE}`.replaceAll('_', '\\_');
    const { rows } = await client.query<{ datname: string }>('SELECT datname FROM pg_database WHERE datname LIKE $1', [
      mine,
    ]);
    for (const { datname } of rows) {
      const name = datname.slice(0, -FREE.length);
      const isTaken = await client.query(`ALTER DATABASE ${datname} RENAME TO ${name}`).then(
        () => true,
        () => false,
      );
      if (isTaken) return urlOf(server, name);
    }
    return undefined;
  });
}

/** A new database; returns its URL. `isEmpty`: without the schema. */
export async function makeScratchDatabase(server: ScratchServer, options: { isEmpty?: boolean } = {}): Promise<string> {
  const { run = 'alone' } = server;
  const name = `countersign_test_${systemClock.now()}_${run}_${Buffer.from(systemRandom.bytes(4)).toString('hex')}`;
  await at(server.url, async (client) => {
    const template = options.isEmpty ? 'template1' : await templateOf(client, server);
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  });
  return urlOf(server, name);
}

export async function dropScratchDatabase(server: ScratchServer, url: string): Promise<void> {
  const name = ownName(url);
  await at(server.url, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
}

/** Drops what this run left, and what runs left that broke off long ago. */
export async function dropScratchDatabases(server: ScratchServer): Promise<void> {
  await at(server.url, async (client) => {
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
      .join() + REMEMBER_ROWS,
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
    await at(half, (inside) => inside.query(REMEMBER_ROWS));
    await client.query(`ALTER DATABASE ${new URL(half).pathname.slice(1)} RENAME TO ${name}`);
  }
  await client.query("SELECT pg_advisory_unlock(hashtext('countersign_template'))");
  return name;
}

async function exists(client: pg.Client, name: string): Promise<boolean> {
  return (await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name])).rows.length > 0;
}

function ownName(url: string): string {
  const name = new URL(url).pathname.slice(1);
  if (!OWN.test(name)) throw new Error('Being done with a database of a test: it is none.');
  return name;
}

function urlOf(server: ScratchServer, database: string): string {
  const url = new URL(server.url);
  url.pathname = `/${database}`;
  return url.href;
}

async function at<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(clientConfig({ url }));
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
