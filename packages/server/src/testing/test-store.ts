/**
 * A store for a test, of the engine that the run asks for: `COUNTERSIGN_TEST_ENGINE=postgres`, else SQLite. Tests of the domains run on
 * both (scripts/test.ts); what is about one engine opens that one by name.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type JournalEntry,
  openScratchStore,
  openSqliteStore,
  type ScratchServer,
  type Store,
} from '../store/store.ts';
import type { Clock } from '../world/clock.ts';

/** The server for tests: `TEST_DATABASE_URL`, else the one on this machine. */
export const TEST_SERVER: ScratchServer = {
  url: process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres',
  run: process.env.COUNTERSIGN_TEST_RUN,
};

export const IS_POSTGRES = process.env.COUNTERSIGN_TEST_ENGINE === 'postgres';

export interface TestStore {
  store: Store;
  journal: JournalEntry[];
  /** What whoever copies the database has: of SQLite its files, of PostgreSQL the values of each table. */
  copied(): Promise<{ name: string; bytes: Buffer }[]>;
  /** Closes the store and removes what was made for it. */
  close(): Promise<void>;
}

export async function openTestStore({ clock }: { clock: Clock }): Promise<TestStore> {
  const journal: JournalEntry[] = [];
  if (IS_POSTGRES) {
    const { store, drop } = await openScratchStore({ server: TEST_SERVER, clock, journal });
    return { store, journal, copied: () => copiedTables(store), close: drop };
  }
  const dataFolder = mkdtempSync(join(tmpdir(), 'countersign-rules-'));
  const store = openSqliteStore({ dataFolder, clock, journal: { kind: 'collected', entries: journal } });
  return {
    store,
    journal,
    copied: async () => readdirSync(dataFolder).map((name) => ({ name, bytes: readFileSync(join(dataFolder, name)) })),
    async close() {
      await store.close();
      rmSync(dataFolder, { recursive: true, force: true });
    },
  };
}

async function copiedTables({ read }: Store): Promise<{ name: string; bytes: Buffer }[]> {
  const tables = await read.all<{ name: string }>(
    "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
  );
  return Promise.all(
    tables.map(async ({ name }) => {
      const rows = await read.all(`SELECT * FROM ${name}`);
      const values = rows.flatMap((row) => Object.values(row).map(bytesOf));
      return { name, bytes: Buffer.concat(values) };
    }),
  );
}

function bytesOf(value: unknown): Buffer {
  return value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value));
}
