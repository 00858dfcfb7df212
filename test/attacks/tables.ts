/** What whoever copies the database of a running server has before him, whichever engine it is. */
import type { Store } from '@countersign/server';

const NAMES: Readonly<Record<Store['engine'], string>> = {
  sqlite: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name",
  postgresql:
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY name",
};

/** The name of every table. */
export async function tablesOf({ engine, read }: Store): Promise<string[]> {
  return (await read.all<{ name: string }>(NAMES[engine])).map(({ name }) => name);
}
