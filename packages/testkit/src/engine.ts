/**
 * The engine under the test servers of a run. The one file of this package that reads the environment: a run of tests says it once for
 * all, as `npm test` does, which runs every scenario on both engines.
 */
import type { ScratchServer } from '@countersign/server';

/** Undefined: a database file. */
export type TestEngine = ScratchServer | undefined;

const LOCAL_SERVER = 'postgres://postgres@127.0.0.1:5432/postgres';

/** `COUNTERSIGN_TEST_ENGINE=postgres` with `TEST_DATABASE_URL` or the server of this machine, unless a test names a server itself. */
export function engineOf(databaseServerUrl: string | undefined): TestEngine {
  const { COUNTERSIGN_TEST_ENGINE: engine, TEST_DATABASE_URL: url, COUNTERSIGN_TEST_RUN: run } = process.env;
  if (databaseServerUrl !== undefined) return { url: databaseServerUrl, run };
  return engine === 'postgres' ? { url: url ?? LOCAL_SERVER, run } : undefined;
}
