/** Which tables an export carries, and in which order. */
import { DatabaseSync } from 'node:sqlite';
import { systemClock } from '../world/clock.ts';
import type { ColumnType, ExportedTable } from './export-format.ts';
import { migrate } from './migrate.ts';

/** Everything but these goes along, so that a new table needs nothing here. */
const LEFT_BEHIND: Readonly<Record<string, string>> = {
  schema_migration: 'the target is migrated by itself',
  store_fence: 'it says what is done with this very store',
  lease: 'nodes of the new home take the jobs by themselves',
  lease_node: 'the nodes of the new home are others',
  store_epoch: 'the header names the epoch, and the target begins a higher one',
  invalidation_sweep: 'cursors of the log mean what the engine says, and verifiers begin anew with the epoch',
};

const TYPES: Readonly<Record<string, ColumnType>> = { INTEGER: 'integer', TEXT: 'text', BLOB: 'bytes' };

/** The tables of an embedded database, each after those that its foreign keys name. */
export function exportedTables(source: DatabaseSync): ExportedTable[] {
  const names = source
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name")
    .all()
    .map(({ name }) => String(name))
    .filter((name) => !(name in LEFT_BEHIND));
  const ordered: string[] = [];
  while (ordered.length < names.length) {
    const next = names.find(
      (name) => !ordered.includes(name) && parents(source, name).every((parent) => ordered.includes(parent)),
    );
    if (next === undefined) throw new Error('Exporting: foreign keys go round in a circle.');
    ordered.push(next);
  }
  return ordered.map((name) => ({ name, columns: columnsOf(source, name) }));
}

/** Those that an export of this release has. */
export function exportedTablesOfRelease(): ExportedTable[] {
  const empty = new DatabaseSync(':memory:');
  try {
    migrate({ database: empty, clock: systemClock });
    return exportedTables(empty);
  } finally {
    empty.close();
  }
}

function parents(source: DatabaseSync, table: string): string[] {
  const keys = source.prepare('SELECT DISTINCT "table" AS parent FROM pragma_foreign_key_list(?1)').all(table);
  return keys.map(({ parent }) => String(parent)).filter((parent) => parent !== table);
}

function columnsOf(source: DatabaseSync, table: string): ExportedTable['columns'] {
  return source
    .prepare('SELECT name, type FROM pragma_table_info(?1) ORDER BY cid')
    .all(table)
    .map(({ name, type }) => {
      const known = TYPES[String(type)];
      if (known === undefined) throw new Error(`Exporting: column ${table}.${name} has no type that an export knows.`);
      return { name: String(name), type: known };
    });
}
