/** Which database holds the state, and what the settings about it exclude. */
import { readPostgresAddress } from '../world/postgres-address.ts';
import { type Given, POSTGRES_URL } from './fields.ts';

export type DatabaseSettings =
  /** A file in the data folder. */
  | { readonly kind: 'embedded' }
  | {
      readonly kind: 'postgres';
      /** Holds the password: never to be shown. */
      readonly url: string;
      readonly caFile: string | undefined;
      /** How many this node holds at most for writing, and as many again for reading. */
      readonly connections: number;
    };

/** Two cores of a database are busy with about this many; the hundred that PostgreSQL allows by default carry four nodes. */
const DEFAULT_CONNECTIONS = 10;

export interface ReadingDatabase {
  readonly given: Given;
  /** Read where neither `databaseUrl` nor `databaseUrlFile` is set: the name by which platforms hand out databases. */
  readonly platformUrl: string | undefined;
  readonly fileText: (name: 'databaseUrlFile' | 'databaseCaFile', path: string) => string | undefined;
  readonly called: (name: string) => string;
  readonly problems: string[];
}

export function databaseSource(reading: ReadingDatabase): DatabaseSettings {
  const { given, platformUrl, fileText, called, problems } = reading;
  const { databaseUrl, databaseUrlFile, databaseCaFile: caFile, databaseConnections } = given;
  if (databaseUrl !== undefined && databaseUrlFile !== undefined) {
    problems.push(`${called('databaseUrl')} and ${called('databaseUrlFile')} are both set. Unset one of them.`);
  }
  const text = databaseUrl ?? (databaseUrlFile && fileText('databaseUrlFile', databaseUrlFile)?.trim());
  const isPlatforms = databaseUrl === undefined && databaseUrlFile === undefined;
  const url = isPlatforms ? platformUrl : text;
  // The setting itself was checked when it was read.
  if (url && databaseUrl === undefined && readPostgresAddress(url) === undefined) {
    problems.push(`${isPlatforms ? 'DATABASE_URL' : called('databaseUrlFile')} must ${POSTGRES_URL}.`);
  }
  if (url) {
    if (caFile !== undefined) fileText('databaseCaFile', caFile);
    return { kind: 'postgres', url, caFile, connections: databaseConnections ?? DEFAULT_CONNECTIONS };
  }
  for (const [setting, value] of Object.entries({ databaseCaFile: caFile, databaseConnections })) {
    if (value !== undefined)
      problems.push(`${called(setting)} is of no use without databaseUrl. Set that, or unset this.`);
  }
  return { kind: 'embedded' };
}

/** For the log at start: what an operator should know of how the database is reached, and of what a restore of it costs. */
export function databaseWarnings(database: DatabaseSettings, given: Pick<Given, 'journalFolder'>): string[] {
  if (database.kind === 'embedded') return [];
  const warnings: string[] = [];
  if (readPostgresAddress(database.url)?.isExposed) {
    warnings.push(
      'databaseUrl says sslmode=disable, and the database is on another machine: whoever is on the way reads and writes all that is ' +
        'stored. Use verify-full, or a tunnel.',
    );
  }
  if (given.journalFolder === undefined) {
    warnings.push(
      'There is no revocation journal: a restore of the database ends every grant. Set journalFolder on every node to keep them.',
    );
  }
  return warnings;
}
