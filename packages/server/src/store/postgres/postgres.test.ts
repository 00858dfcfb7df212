// Needs PostgreSQL: it shows that this engine keeps the contract.
import { TEST_SERVER } from '../../testing/testing.ts';
import { systemClock } from '../../world/clock.ts';
import { storeConformance } from '../conformance.ts';
import type { JournalEntry } from '../store.ts';
import { postgresDialect } from './dialect.ts';
import { openPostgresStore } from './postgres.ts';
import { dropScratchDatabase, makeScratchDatabase } from './scratch.ts';

storeConformance('PostgreSQL', async ({ maxWorkMs, createTable }) => {
  const url = await makeScratchDatabase(TEST_SERVER);
  const journal: JournalEntry[] = [];
  const options = { url, clock: systemClock, journal: { kind: 'collected' as const, entries: journal } };
  const store = await openPostgresStore({ ...options, connections: 6, maxWorkMs: maxWorkMs * 20 });
  await store.write((tx) => tx.run(postgresDialect(createTable)));
  return {
    store,
    journal: async () => journal,
    dispose: async () => {
      await store.close();
      await dropScratchDatabase(TEST_SERVER, url);
    },
  };
});
