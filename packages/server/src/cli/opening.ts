/** From settings to the parts of an authority: what every command but --help does first. */
import { existsSync } from 'node:fs';
import { type MasterKeySource, openMasterKey, readSettings, type Settings } from '../config/config.ts';
import { type Authority, composeAuthority, type World } from '../server.ts';
import type { Memory } from '../standing/standing.ts';
import { openSqliteStore, type SqliteStore } from '../store/store.ts';
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
import { CommandRefused } from './refusals.ts';
import type { Terminal } from './terminal.ts';

/** An authority over the store of the data folder. */
export interface Opened {
  settings: Settings;
  authority: Authority;
  store: SqliteStore;
}

/** @throws SettingsError */
export function settingsOf(terminal: Terminal): Settings {
  return readSettings({ environment: terminal.environment, readText });
}

/**
 * Runs a command's work on the data folder, beside a running server or without one; both see each other's commits at once.
 * Refuses a folder without a database: making one because a path is misspelt would answer every question with "none".
 */
export async function withAuthority<T>(terminal: Terminal, work: (opened: Opened) => Promise<T>): Promise<T> {
  const settings = settingsOf(terminal);
  requireDatabase(settings);
  requireSameIdentity(settings);
  const log = pinoLog({ stream: terminal.stderr, level: 'warn' });
  const masterKey = masterKeyOf(settings);
  const store = openStore(settings);
  try {
    return await work({ settings, store, authority: await authorityOver({ settings, store, masterKey, log }) });
  } finally {
    await store.close();
  }
}

/**
 * The master key; its file is made together with the first database. Beside a database that is there, a missing file is a key
 * that was lost: a new one would open nothing.
 */
export function masterKeyOf(settings: Settings): Uint8Array {
  ensurePrivateFolder(settings.dataFolder);
  const { masterKey } = settings;
  if (masterKey.kind === 'file' && hasDatabase(settings.dataFolder)) requireKeyFile(masterKey.path);
  return openKey(masterKey);
}

/** The master key of a data folder whose database a restore brings. @throws CommandRefused when there is none */
export function existingMasterKey(settings: Settings): Uint8Array {
  if (settings.masterKey.kind === 'file') requireKeyFile(settings.masterKey.path);
  return openKey(settings.masterKey);
}

export function openStore(settings: Settings): SqliteStore {
  const { dataFolder, journalFolder } = settings;
  const journal = { kind: 'folder' as const, folder: journalFolder };
  return openSqliteStore({ dataFolder, clock: systemClock, journal });
}

/** The embedded store of a data folder that has one. @throws CommandRefused `no_database` */
export function openDataFolder(settings: Settings): SqliteStore {
  requireDatabase(settings);
  return openStore(settings);
}

function requireDatabase({ dataFolder }: Settings): void {
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
  onJobError?: (error: unknown) => void;
  /** Of the server: a command does not judge whether the store is an older one. */
  memory?: Memory;
  node?: string;
  isSettling?: boolean;
}): Promise<Authority> {
  const { settings, store, masterKey, log, mailTransport = NO_MAILS, onJobError = () => {} } = given;
  const { memory, node, isSettling = false } = given;
  const world: World = {
    ...{ clock: systemClock, random: systemRandom, stopwatch: systemStopwatch, log, mailTransport },
    timers: systemTimers({ onError: onJobError }),
  };
  return composeAuthority({
    ...{ world, settings, store, masterKey, isSettling },
    ...(memory && { memory }),
    ...(node !== undefined && { node }),
  });
}

const NO_MAILS: MailTransport = {
  send: () => Promise.reject(new Error('Sending a mail: only the server sends mails.')),
};

function requireKeyFile(path: string): void {
  if (existsSync(path)) return;
  throw new CommandRefused(
    'master_key_missing',
    `The master key is missing: there is no ${path}, and no other was given. Put the file back from where it is kept, or set ` +
      'COUNTERSIGN_MASTER_KEY or COUNTERSIGN_MASTER_KEY_FILE. Nothing was changed.',
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
