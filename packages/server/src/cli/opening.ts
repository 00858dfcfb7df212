/** From settings to the parts of an authority: what every command but --help does first. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type DatabaseSettings,
  type MasterKeySource,
  openMasterKey,
  readSettings,
  type Settings,
} from '../config/config.ts';
import type { WakeUps } from '../revocation/revocation.ts';
import { type Authority, composeAuthority, type World } from '../server.ts';
import type { ClockOffset, Memory } from '../standing/standing.ts';
import {
  defaultJournalFolder,
  isMigrated,
  openPostgresStore,
  openSqliteStore,
  type PostgresStore,
  type PostgresStoreOptions,
  type SqliteStore,
} from '../store/store.ts';
import { systemClock } from '../world/clock.ts';
import { ensurePrivateFolder, readText } from '../world/files.ts';
import type { Log } from '../world/log.ts';
import { pinoLog } from '../world/log-pino.ts';
import type { MailTransport } from '../world/mail-transport.ts';
import { systemRandom } from '../world/random.ts';
import { systemStopwatch } from '../world/stopwatch.ts';
import { systemTimers } from '../world/timers.ts';
import { hasDatabase } from './data-folder.ts';
import { requireSameIdentity } from './identity.ts';
import { memoryIn } from './memory.ts';
import { nodeNameOf } from './node-name.ts';
import { CommandRefused } from './refusals.ts';
import type { Terminal } from './terminal.ts';

/** The store that the settings name. */
export type OpenStore = SqliteStore | PostgresStore;

/** An authority over that store. */
export interface Opened {
  settings: Settings;
  authority: Authority;
  store: OpenStore;
}

/** @throws SettingsError */
export function settingsOf(terminal: Terminal): Settings {
  return readSettings({ environment: terminal.environment, readText });
}

/**
 * Runs a command's work on the store, beside a running server or without one; both see each other's commits at once.
 * Refuses where there is no database: making one because a path is misspelt would answer every question with "none".
 */
export async function withAuthority<T>(
  terminal: Terminal,
  work: (opened: Opened) => Promise<T>,
  { adoptsSettings = false }: { adoptsSettings?: boolean } = {},
): Promise<T> {
  const settings = settingsOf(terminal);
  await requireDatabase(settings);
  requireSameIdentity(settings);
  const log = pinoLog({ stream: terminal.stderr, level: 'warn' });
  const masterKey = masterKeyOf(settings);
  const store = await openStore(settings);
  try {
    const authority = await authorityOver({
      ...{ settings, store, masterKey, log, adoptsSettings },
      ...memoryOfCommand(settings),
    });
    const result = await work({ settings, store, authority });
    await authority.standing.end();
    return result;
  } finally {
    await store.close();
  }
}

/**
 * What a command knows of the store. On PostgreSQL it may have been led to an older copy, where what it takes back would be taken back for
 * nobody. The embedded file is the one that the server of its folder has, and that server judges it.
 */
export function memoryOfCommand({ database, dataFolder }: Settings): { memory?: Memory } {
  return database.kind === 'postgres' ? { memory: memoryIn(dataFolder) } : {};
}

/**
 * The master key; its file is made together with the first database. Beside a database that is there, a missing file is a key
 * that was lost: a new one would open nothing. Of many nodes each needs the same key, so none makes one of its own.
 */
export function masterKeyOf(settings: Settings): Uint8Array {
  ensurePrivateFolder(settings.dataFolder);
  const { masterKey, database, dataFolder } = settings;
  if (masterKey.kind === 'file' && (database.kind === 'postgres' || hasDatabase(dataFolder))) {
    requireKeyFile(masterKey.path);
  }
  return openKey(masterKey);
}

/** The master key of a data folder whose database a restore brings. @throws CommandRefused when there is none */
export function existingMasterKey(settings: Settings): Uint8Array {
  if (settings.masterKey.kind === 'file') requireKeyFile(settings.masterKey.path);
  return openKey(settings.masterKey);
}

export async function openStore(settings: Settings): Promise<OpenStore> {
  const { database } = settings;
  if (database.kind === 'embedded') return openEmbedded(settings);
  const { url, caFile, connections } = database;
  return openPostgresStore({ url, caFile, connections, journal: nodeJournalOf(settings), clock: systemClock });
}

/** Over PostgreSQL. Nothing orders the lines of several nodes: each writes a folder of its own. */
export function nodeJournalOf({ journalFolder, dataFolder }: Settings): PostgresStoreOptions['journal'] {
  return journalFolder === undefined ? { kind: 'none' } : folderOf(join(journalFolder, nodeNameOf(dataFolder)));
}

/** The embedded store of a data folder that has one, for what is done to its file. @throws CommandRefused */
export async function openDataFolder(settings: Settings): Promise<SqliteStore> {
  requireEmbedded(settings);
  await requireDatabase(settings);
  return openEmbedded(settings);
}

/** @throws CommandRefused `embedded_only` where the state is in PostgreSQL, which has tools of its own for this */
export function requireEmbedded({ database }: Settings): void {
  if (database.kind === 'embedded') return;
  throw new CommandRefused(
    'embedded_only',
    'This is for the database file in the data folder, and databaseUrl names PostgreSQL. Back that up and restore it with its own ' +
      'tools, as docs/operating/backup.md says; or unset databaseUrl (COUNTERSIGN_DATABASE_URL, DATABASE_URL).',
  );
}

/** @throws CommandRefused `postgresql_only`, with what is done otherwise where the state is in the data folder */
export function requirePostgres(
  { database }: Settings,
  otherwise: string,
): Extract<DatabaseSettings, { kind: 'postgres' }> {
  if (database.kind === 'postgres') return database;
  throw new CommandRefused(
    'postgresql_only',
    `This is for PostgreSQL, and no databaseUrl (COUNTERSIGN_DATABASE_URL) is set. ${otherwise}`,
  );
}

function openEmbedded({ dataFolder, journalFolder }: Settings): SqliteStore {
  const journal = folderOf(journalFolder ?? defaultJournalFolder(dataFolder));
  return openSqliteStore({ dataFolder, clock: systemClock, journal });
}

function folderOf(folder: string): { kind: 'folder'; folder: string } {
  return { kind: 'folder', folder };
}

async function requireDatabase({ dataFolder, database }: Settings): Promise<void> {
  if (database.kind === 'postgres') {
    if (await isMigrated(database)) return;
    throw new CommandRefused(
      'no_database',
      'The database that databaseUrl names is empty. Check databaseUrl, or make the tables with: countersign migrate',
    );
  }
  if (hasDatabase(dataFolder)) return;
  throw new CommandRefused(
    'no_database',
    `There is no database in ${dataFolder} that this user can see. Check COUNTERSIGN_DATA_FOLDER (dataFolder), the folder ` +
      'and the user this was called in and by, or make one with: countersign migrate',
  );
}

/** The parts over any store. A command sends no mails: what it causes waits in the queue for the server. */
export function authorityOver(given: {
  settings: Settings;
  store: Parameters<typeof composeAuthority>[0]['store'];
  masterKey: Uint8Array;
  log: Log;
  mailTransport?: MailTransport;
  wakeUps?: WakeUps;
  onJobError?: (error: unknown) => void;
  memory?: Memory;
  clockOffset?: ClockOffset;
  node?: string;
  /** Of a restore, which ends what must die before anybody is served. */
  isSettling?: boolean;
  adoptsSettings?: boolean;
}): Promise<Authority> {
  const { settings, store, masterKey, log, mailTransport = NO_MAILS, onJobError = () => {} } = given;
  const { wakeUps, memory, clockOffset, node, isSettling = false, adoptsSettings = false } = given;
  const world: World = {
    ...{ clock: systemClock, random: systemRandom, stopwatch: systemStopwatch, log, mailTransport },
    timers: systemTimers({ onError: onJobError }),
  };
  const more = {
    ...{ ...(wakeUps && { wakeUps }), ...(memory && { memory }), ...(clockOffset && { clockOffset }) },
    ...(node !== undefined && { node }),
  };
  return composeAuthority({ world, settings, store, masterKey, isSettling, adoptsSettings, ...more });
}

const NO_MAILS: MailTransport = {
  send: () => Promise.reject(new Error('Sending a mail: only the server sends mails.')),
};

function requireKeyFile(path: string): void {
  if (existsSync(path)) return;
  throw new CommandRefused(
    'master_key_missing',
    `The master key is missing: there is no ${path}, and no other was given. Put the file back from where it is kept, or set ` +
      'COUNTERSIGN_MASTER_KEY or COUNTERSIGN_MASTER_KEY_FILE. The nodes of one PostgreSQL all have the same; for the first: openssl rand ' +
      '-base64 32. Nothing was changed.',
  );
}

function openKey(source: MasterKeySource): Uint8Array {
  try {
    return openMasterKey(source, systemRandom).key;
  } catch (error) {
    // Its sentences say what to do and hold no secret.
    throw new CommandRefused(
      'bad_master_key',
      error instanceof Error ? error.message : 'Reading the master key failed.',
    );
  }
}
