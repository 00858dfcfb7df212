/** `countersign export`, `import`: from the embedded store to PostgreSQL. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { abandonExport, exportStore } from '../store/store.ts';
import { systemClock } from '../world/clock.ts';
import { systemRandom } from '../world/random.ts';
import { requireSameIdentity } from './identity.ts';
import { openDataFolder, settingsOf } from './opening.ts';
import { type JsonOption, withJson } from './options.ts';
import { pairs, reply } from './output.ts';
import { progressOn } from './progress.ts';
import { CommandRefused } from './refusals.ts';
import type { Terminal } from './terminal.ts';

interface ExportWords extends JsonOption {
  to?: string;
  abandon?: boolean;
  neverImported?: boolean;
}

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
}

async function exportTo(terminal: Terminal, options: ExportWords): Promise<void> {
  const { to: file } = options;
  if (file === undefined) {
    throw new CommandRefused('file_missing', 'Exporting: say into which file, with --to <file>; or --abandon.');
  }
  const settings = settingsOf(terminal);
  requireSameIdentity(settings);
  const { issuer, accessAlgorithm } = settings;
  const store = openDataFolder(settings);
  const progress = progressOn(terminal.stderr);
  try {
    const result = await exportStore({
      ...{ store, file, clock: systemClock, random: systemRandom, identity: { issuer, accessAlgorithm } },
      onProgress: (rows) => progress.tell(`${rows} rows written`),
    });
    progress.end();
    const { exportId, rowCount, sha256, resumedAt } = result;
    const text = [
      `Exported ${rowCount} rows into ${resolve(file)}.`,
      pairs({ export: exportId, 'sha-256 of its rows': sha256, 'rows of an earlier try': resumedAt || undefined }),
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
  const store = openDataFolder(settings);
  try {
    await abandonExport({ store, wasNeverImported: options.neverImported ?? false });
  } finally {
    await store.close();
  }
  const text = 'The export is given up: the data folder can be served from again. Start the server, or restart it.';
  reply(terminal, options, { text, json: { abandoned: true } });
}
