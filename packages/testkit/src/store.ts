/** The store of a test server, on the engine it is given. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Clock,
  type JournalEntry,
  leaveScratchDatabase,
  openScratchStore,
  openSqliteStore,
  type Store,
} from '@countersign/server';
import type { TestEngine } from './engine.ts';

/** Which database belongs to a data folder, for the server that opens it again. */
const FILE = 'test-database-url';

export interface TestStore {
  store: Store;
  /** Removes what stands outside the data folder. The store is closed before. */
  remove(): Promise<void>;
}

/** Opens the store of a data folder, a new one or that of an earlier server. */
export async function openTestStore(given: {
  engine: TestEngine;
  dataFolder: string;
  clock: Clock;
  journal: JournalEntry[];
}): Promise<TestStore> {
  const { engine, dataFolder, clock, journal } = given;
  if (engine === undefined) {
    const store = openSqliteStore({ dataFolder, clock, journal: { kind: 'collected', entries: journal } });
    return { store, remove: async () => {} };
  }
  const file = join(dataFolder, FILE);
  const databaseUrl = readIfThere(file);
  const { store, url } = await openScratchStore({
    ...{ server: engine, clock, journal },
    ...(databaseUrl !== undefined && { databaseUrl }),
  });
  writeFileSync(file, url);
  return { store, remove: () => leaveScratchDatabase(engine, url) };
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
