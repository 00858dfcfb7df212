/**
 * What the one server of a data folder runs as, kept beside its database. A command that is run in another shell may lack the server's
 * settings; under another issuer it would call honest tokens forged and ring, under another algorithm replace keys that nobody
 * asked to replace, and without the journal take back what a restore brings to life again. So it compares, and refuses, before it opens
 * anything: also where a release before this one made the database, which does not say whose it is (keys/whose.ts). Of nodes over PostgreSQL
 * none decides by its start, so there the database says issuer and algorithm.
 */
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { Settings } from '../config/config.ts';
import { readText, writePrivateFile } from '../world/files.ts';
import { CommandRefused } from './refusals.ts';

const FILE = 'authority.json';

type Identity = Pick<Settings, 'issuer' | 'accessAlgorithm' | 'journalFolder' | 'dataFolder' | 'database'>;

interface Compared {
  issuer?: unknown;
  accessAlgorithm?: unknown;
  journalFolder?: unknown;
}

/** What must be the same. A journal within the data folder is named from there, for it moves with it. */
function comparedOf({ issuer, accessAlgorithm, journalFolder, dataFolder, database }: Identity): Compared {
  const own = database.kind === 'postgres' ? {} : { issuer, accessAlgorithm };
  if (journalFolder === undefined) return { ...own, journalFolder: null };
  const within = relative(dataFolder, journalFolder);
  const isOutside = within === '' || within.split(sep)[0] === '..' || isAbsolute(within);
  return { ...own, journalFolder: isOutside ? resolve(journalFolder) : within };
}

/** Notes, at each start of the server, what it runs as: its settings decide. */
export function rememberIdentity(settings: Identity): void {
  const text = `${JSON.stringify(comparedOf(settings))}\n`;
  const file = join(settings.dataFolder, FILE);
  if (readText(file) !== text) writePrivateFile(file, text);
}

/** @throws CommandRefused `other_settings` when the settings are not those of the server that was started here */
export function requireSameIdentity(settings: Identity): void {
  const known = readIdentity(join(settings.dataFolder, FILE));
  const own = comparedOf(settings);
  const differing = (['issuer', 'accessAlgorithm', 'journalFolder'] as const).find(
    (name) => known[name] !== undefined && own[name] !== undefined && known[name] !== own[name],
  );
  if (differing === undefined) return;
  throw new CommandRefused(
    'other_settings',
    `The server of ${settings.dataFolder} runs with ${differing} ${known[differing] ?? 'unset'}, and here it is ${own[differing] ?? 'unset'}. ` +
      'Run this with the settings of the server; a file that COUNTERSIGN_CONFIG names serves both. If they were changed, start the server first.',
  );
}

function readIdentity(file: string): Compared {
  try {
    return Object(JSON.parse(readText(file) ?? '{}')) as Compared; // compared as unknown
  } catch {
    return {}; // the next start writes it anew
  }
}
