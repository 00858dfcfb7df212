/** `countersign migrate`, `backup`, `restore`: the database as a whole. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type RestoreOutcome, settleRestore } from '../admin/admin.ts';
import {
  type BackupDescription,
  backupStore,
  defaultJournalFolder,
  planOnPostgres,
  planOnSqlite,
  type RestoreResult,
  restoreDatabase,
} from '../store/store.ts';
import { systemClock } from '../world/clock.ts';
import { ensurePrivateFolder } from '../world/files.ts';
import { pinoLog } from '../world/log-pino.ts';
import { holdDataFolder } from './data-folder.ts';
import { requireSameIdentity } from './identity.ts';
import {
  authorityOver,
  existingMasterKey,
  masterKeyOf,
  memoryOfCommand,
  openDataFolder,
  openStore,
  requireEmbedded,
  settingsOf,
} from './opening.ts';
import { type JsonOption, withJson } from './options.ts';
import { iso, pairs, reply, when } from './output.ts';
import type { Terminal } from './terminal.ts';

interface RestoreOptions extends JsonOption {
  force?: boolean;
  neverImported?: boolean;
  journal: boolean;
}

export function storeCommands(program: Command, terminal: Terminal): void {
  withJson(
    program
      .command('migrate')
      .description('bring the database to the schema of this release; makes data folder, keys and database'),
  )
    .option('--plan', 'only say what would be applied, and who would have to wait; changes nothing')
    .action((options: JsonOption & { plan?: boolean }) =>
      options.plan ? plan(terminal, options) : migrate(terminal, options),
    );
  withJson(
    program
      .command('backup <folder>')
      .description('copy the running database into a new folder; neither master key nor journal'),
  ).action((folder: string, options: JsonOption) => backup(terminal, folder, options));
  withJson(
    program
      .command('restore <folder>')
      .description('put a backup in the place of the database; the server must be stopped'),
  )
    .option('--force', 'replace the database that is there; it is kept under another name')
    .option(
      '--never-imported',
      'with --force over a database that was exported: no copy of the export is, or will be, in use',
    )
    .option('--without-journal', 'do as if the revocation journal were lost: every grant ends')
    .action((folder: string, options: Omit<RestoreOptions, 'journal'> & { withoutJournal?: boolean }) =>
      restore(terminal, folder, { ...options, journal: !options.withoutJournal }),
    );
}

async function migrate(terminal: Terminal, options: JsonOption): Promise<void> {
  const settings = settingsOf(terminal);
  requireSameIdentity(settings);
  const masterKey = masterKeyOf(settings);
  const store = await openStore(settings);
  try {
    const log = pinoLog({ stream: terminal.stderr, level: 'warn' });
    await authorityOver({ settings, store, masterKey, log, ...memoryOfCommand(settings) });
  } finally {
    await store.close();
  }
  const applied = store.applied.map(({ name }) => name);
  const isNew = store.applied[0]?.number === 1;
  const changes =
    applied.length === 0 ? 'The schema is that of this release already.' : `Applied: ${applied.join(', ')}.`;
  const place = settings.database.kind === 'embedded' ? resolve(settings.dataFolder) : 'PostgreSQL';
  reply(terminal, options, {
    text: `${isNew ? `Made a database in ${place}. ` : ''}${changes}`,
    json: { applied, created: isNew },
  });
}

async function plan(terminal: Terminal, options: JsonOption): Promise<void> {
  const { database, dataFolder } = settingsOf(terminal);
  const planned = database.kind === 'embedded' ? planOnSqlite({ dataFolder }) : await planOnPostgres(database);
  const lines = planned.flatMap(({ name, locks }) => [
    name,
    ...locks.map(({ table, lock, lockedOut }) => {
      const where = table === '*' ? 'the database' : `table ${table}`;
      return `  ${where}: ${lock}; ${lockedOut === 'nobody' ? 'nobody has' : `${lockedOut} have`} to wait`;
    }),
    ...(locks.length === 0 ? ['  nothing that is in use is locked'] : []),
  ]);
  const text = lines.length === 0 ? 'The schema is that of this release already.' : lines.join('\n');
  reply(terminal, options, { text, json: { planned } });
}

async function backup(terminal: Terminal, folder: string, options: JsonOption): Promise<void> {
  const settings = settingsOf(terminal);
  requireSameIdentity(settings);
  const store = await openDataFolder(settings);
  let description: BackupDescription;
  try {
    description = await backupStore({ store, folder, clock: systemClock });
  } finally {
    await store.close();
  }
  const { createdAtMs, epoch, journalSegment, schema } = description;
  const text = [
    `Backed up into ${resolve(folder)}.`,
    'Not in it, on purpose: the master key (keep it apart from backups) and the revocation journal (copy the folder journal of the',
    `data folder often; a restore needs its segments from ${journalSegment} on, or every grant ends).`,
  ].join('\n');
  reply(terminal, options, {
    text,
    json: { folder: resolve(folder), createdAt: iso(createdAtMs), epoch, journalSegment, schema },
  });
}

async function restore(terminal: Terminal, folder: string, options: RestoreOptions): Promise<void> {
  const settings = settingsOf(terminal);
  requireEmbedded(settings);
  const { dataFolder, journalFolder = defaultJournalFolder(settings.dataFolder) } = settings;
  requireSameIdentity(settings);
  const masterKey = existingMasterKey(settings);
  ensurePrivateFolder(dataFolder);
  const release = holdDataFolder({ dataFolder, processId: terminal.processId });
  const log = pinoLog({ stream: terminal.stderr, level: 'warn' });
  let outcome: RestoreOutcome | undefined;
  try {
    const result = await restoreDatabase({
      ...{ backupFolder: folder, dataFolder, journalFolder, clock: systemClock },
      ...{
        force: options.force ?? false,
        withoutJournal: !options.journal,
        wasNeverImported: options.neverImported ?? false,
      },
      async settle(copy) {
        // The backup may be from before the server was started with other settings: those of the server hold.
        const how = { isSettling: true, adoptsSettings: true };
        const authority = await authorityOver({ settings, store: copy.store, masterKey, log, ...how });
        outcome = await settleRestore(authority, copy);
      },
    });
    reply(terminal, options, restored(result, outcome));
  } finally {
    release();
  }
}

function restored(result: RestoreResult, outcome: RestoreOutcome | undefined) {
  const { epoch, backupAtMs, journal, keptAside } = result;
  const text = [
    `Restored the backup of ${when(backupAtMs)}; the store's epoch is now ${epoch}.`,
    ...settledLines(outcome, journal),
    ...(keptAside === undefined ? [] : [`The database that was there is kept as ${keptAside}.`]),
  ].join('\n');
  return {
    text,
    json: { epoch, backupAt: iso(backupAtMs), journal, keptAside: keptAside ?? null, outcome: outcome ?? null },
  };
}

/** What died in a restore, of either engine, and what that means for users and applications. */
export function settledLines(
  outcome: RestoreOutcome | undefined,
  journal: { kind: 'complete' } | { kind: 'missing'; why: string },
): string[] {
  const replayed = outcome?.replayed;
  const grants =
    journal.kind === 'complete'
      ? `Grants go on: the journal was replayed (${replayed?.grant_ended ?? 0} endings, ${replayed?.grant_rotated ?? 0} rotations, ` +
        `${replayed?.user_disabled ?? 0} users and ${replayed?.client_disabled ?? 0} clients disabled), so what was revoked stays so.`
      : `Grants all ended (${outcome?.grantsEnded ?? 0}): the revocation journal could not be replayed, as ${journal.why}. Every ` +
        'application has to ask its users again.';
  return [
    pairs({
      'sessions ended': outcome?.sessionsEnded,
      'links taken back': outcome?.linksTakenBack,
      'access tokens revoked': outcome?.accessTokensRevoked,
      'consents forgotten': outcome?.consentsForgotten,
    }),
    journal.kind === 'complete'
      ? 'Users log in again. Applications get new access tokens by their refresh tokens.'
      : 'Users log in again.',
    grants,
    'Whatever else changed since the backup is as it was then: clients, their secrets, users, keys. Rotate secrets that were rotated ' +
      'since, and with "countersign keys rotate" a key that was replaced because others had it.',
  ];
}
