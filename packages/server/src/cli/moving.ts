/** `countersign export`, `import`, `restore-point`: from the embedded store to PostgreSQL, and what is done once its server was restored. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { exportMac, masterKeyCheck, settleRestore } from '../admin/admin.ts';
import { openBucketKeys } from '../buckets/buckets.ts';
import type { Settings } from '../config/config.ts';
import { requireNoOther } from '../keys/keys.ts';
import { Sealer } from '../sealing/sealing.ts';
import {
  abandonExport,
  exportStore,
  importStore,
  journalOfNodes,
  openPostgresStore,
  type PostgresStore,
  setRestorePoint,
} from '../store/store.ts';
import { systemClock } from '../world/clock.ts';
import { ensurePrivateFolder } from '../world/files.ts';
import { pinoLog } from '../world/log-pino.ts';
import { systemRandom } from '../world/random.ts';
import { requireSameIdentity } from './identity.ts';
import { memoryIn } from './memory.ts';
import {
  authorityOver,
  existingMasterKey,
  nodeJournalOf,
  openDataFolder,
  requirePostgres,
  settingsOf,
} from './opening.ts';
import { type JsonOption, wholeNumber, withJson } from './options.ts';
import { pairs, reply } from './output.ts';
import { progressOn } from './progress.ts';
import { CommandRefused } from './refusals.ts';
import { settledLines } from './stores.ts';
import type { Terminal } from './terminal.ts';

interface ExportWords extends JsonOption {
  to?: string;
  abandon?: boolean;
  neverImported?: boolean;
}

interface RestorePointWords extends JsonOption {
  journal?: string;
  aboveEpoch?: number;
}

/** One writes; what is asked beside it needs a second. */
const COMMAND_CONNECTIONS = 2;

/** The epoch that follows is the highest whole number which every reader of it holds exactly. */
const MAX_EPOCH = Number.MAX_SAFE_INTEGER - 1;

/** Statements over whole tables, on which nobody waits: a hundred million rows are updated or counted in this. */
const LONG_STATEMENT_MS = 60 * 60_000;

export function movingCommands(program: Command, terminal: Terminal): void {
  withJson(
    program
      .command('export')
      .description(
        'write everything of the embedded database into a file, for PostgreSQL; nothing is served here afterwards',
      ),
  )
    .option('--to <file>', 'the file: a new one, or that of an export which was broken off')
    .option('--abandon', 'give the export up: serve from here again')
    .option('--never-imported', 'with --abandon, once the file was whole: no copy of it is, or will be, in use')
    .action((options: ExportWords) => (options.abandon ? abandon(terminal, options) : exportTo(terminal, options)));
  withJson(
    program
      .command('import <file>')
      .description('bring an export into the empty PostgreSQL database that databaseUrl names; nobody is logged out'),
  ).action((file: string, options: JsonOption) => importFrom(terminal, file, options));
  withJson(
    program
      .command('restore-point')
      .description('after PostgreSQL was put back to an earlier moment: end what may have been taken back since'),
  )
    .option(
      '--journal <folder>',
      'the revocation journals of all nodes, each in its folder; without them every grant ends',
    )
    .option('--above-epoch <number>', 'an epoch that a node or verifier has seen', wholeNumber(1, MAX_EPOCH))
    .action((options: RestorePointWords) => restorePoint(terminal, options));
}

async function exportTo(terminal: Terminal, options: ExportWords): Promise<void> {
  const { to: file } = options;
  if (file === undefined) {
    throw new CommandRefused('file_missing', 'Exporting: say into which file, with --to <file>; or --abandon.');
  }
  const settings = settingsOf(terminal);
  requireSameIdentity(settings);
  const { issuer, accessAlgorithm } = settings;
  const mac = exportMac(new Sealer({ masterKey: existingMasterKey(settings), random: systemRandom }));
  const store = await openDataFolder(settings);
  const progress = progressOn(terminal.stderr);
  try {
    const result = await exportStore({
      ...{ store, file, mac, clock: systemClock, random: systemRandom, identity: { issuer, accessAlgorithm } },
      onProgress: (rows) => progress.tell(`${rows} rows written`),
    });
    progress.end();
    const { exportId, rowCount, resumedAt } = result;
    const text = [
      `Exported ${rowCount} rows into ${resolve(file)}.`,
      pairs({ export: exportId, 'rows of an earlier try': resumedAt || undefined }),
      'From now on nothing is served from this data folder. Carry the file, and apart from it the master key, to the new home, and run there:',
      `  countersign import ${file}`,
      'The file logs nobody in and forges nothing without the master key. It names users by their addresses: keep it private, and destroy',
      'it when the new home serves. To go back before that: countersign export --abandon --never-imported',
    ].join('\n');
    reply(terminal, options, { text, json: { file: resolve(file), ...result } });
  } finally {
    progress.end();
    await store.close();
  }
}

async function abandon(terminal: Terminal, options: ExportWords): Promise<void> {
  const settings = settingsOf(terminal);
  const store = await openDataFolder(settings);
  try {
    await abandonExport({ store, wasNeverImported: options.neverImported ?? false });
  } finally {
    await store.close();
  }
  const text = 'The export is given up: the data folder can be served from again. Start the server, or restart it.';
  reply(terminal, options, { text, json: { abandoned: true } });
}

async function importFrom(terminal: Terminal, file: string, options: JsonOption): Promise<void> {
  const settings = settingsOf(terminal);
  const { issuer, accessAlgorithm } = settings;
  const masterKey = existingMasterKey(settings);
  const sealer = new Sealer({ masterKey, random: systemRandom });
  const key = masterKeyCheck(sealer);
  const store = await openPatiently(settings);
  const progress = progressOn(terminal.stderr);
  try {
    const result = await importStore({
      ...{ store, file, mac: exportMac(sealer), clock: systemClock },
      acceptRow: (row) => key.look(row),
      accept({ header }) {
        if (!key.isSeen)
          throw new CommandRefused('export_damaged', 'Importing: the file is of no server that ever ran.');
        if (header.issuer === issuer && header.accessAlgorithm === accessAlgorithm) return;
        throw new CommandRefused(
          'other_settings',
          `Importing: the file is of ${header.issuer} with ${header.accessAlgorithm}, and here it is ${issuer} with ${accessAlgorithm}. Its ` +
            'tokens are good under the same settings only. Set issuer and accessAlgorithm as they were.',
        );
      },
      onProgress: ({ rows, of }) => progress.tell(`${rows} of ${of} rows imported`),
    });
    progress.end();
    const { rowCount, epoch, resumedAt, wasDone } = result;
    if (wasDone) {
      const text = `This file was imported already, all ${rowCount} rows of it. Nothing was changed.`;
      return reply(terminal, options, { text, json: result });
    }
    const text = [
      `Imported ${rowCount} rows; the store's epoch is now ${epoch}.`,
      ...(resumedAt > 0 ? [pairs({ 'rows of an earlier try': resumedAt })] : []),
      'Start the nodes. When they serve, destroy the file, and leave the old data folder alone: it must never be served from again.',
    ].join('\n');
    reply(terminal, options, { text, json: result });
  } finally {
    progress.end();
    await store.close();
  }
}

async function restorePoint(terminal: Terminal, options: RestorePointWords): Promise<void> {
  const settings = settingsOf(terminal);
  const masterKey = existingMasterKey(settings);
  const log = pinoLog({ stream: terminal.stderr, level: 'warn' });
  const store = await openPatiently(settings);
  try {
    // A wrong key and other settings are found out before the fence goes up: nobody could take it down.
    await requireNoOther(store.read, settings);
    await openBucketKeys(store.read, new Sealer({ masterKey, random: systemRandom }));
    const { journal, epoch: journalEpoch } =
      options.journal === undefined
        ? { journal: { kind: 'missing' as const, why: 'none was given' }, epoch: 0 }
        : journalOfNodes(options.journal);
    const aboveEpoch = Math.max(
      journalEpoch,
      memoryIn(settings.dataFolder).read()?.epoch ?? 0,
      options.aboveEpoch ?? 0,
    );
    const { epoch, settled } = await setRestorePoint({
      ...{ store, clock: systemClock, random: systemRandom, aboveEpoch },
      // Composed behind the fence: what it reads of the copy nobody changes any more.
      async settle(raised) {
        const authority = await authorityOver({ settings, store, masterKey, log, isSettling: true });
        return settleRestore(authority, { store, epoch: raised, journal });
      },
    });
    const text = [`The restore point is set; the store's epoch is now ${epoch}.`, ...settledLines(settled, journal)];
    const json = { epoch, journal: journal.kind, outcome: settled };
    reply(terminal, options, { text: text.join('\n'), json });
  } finally {
    await store.close();
  }
}

/** @throws CommandRefused `postgresql_only` */
function openPatiently(settings: Settings): Promise<PostgresStore> {
  const { url, caFile } = requirePostgres(
    settings,
    'An embedded database goes back to a backup with: countersign restore',
  );
  ensurePrivateFolder(settings.dataFolder);
  return openPostgresStore({
    ...{ url, caFile, clock: systemClock, journal: nodeJournalOf(settings) },
    ...{ connections: COMMAND_CONNECTIONS, statementTimeoutMs: LONG_STATEMENT_MS, maxWorkMs: LONG_STATEMENT_MS },
  });
}
