/**
 * What the one server of a data folder runs as, kept beside its database. A command that is run in another shell may lack the server's
 * settings; under another issuer it would call honest tokens forged and ring, under another algorithm replace keys that nobody
 * asked to replace. So it compares, and refuses, before it opens anything: also where a release before this one made the database, which
 * does not say whose it is (keys/whose.ts). Of nodes over PostgreSQL none decides by its start, so there only the database says it.
 */
import { join } from 'node:path';
import type { Settings } from '../config/config.ts';
import { readText, writePrivateFile } from '../world/files.ts';
import { CommandRefused } from './refusals.ts';

const FILE = 'authority.json';

type Identity = Pick<Settings, 'issuer' | 'accessAlgorithm' | 'dataFolder' | 'database'>;

/** Notes, at each start of the server, what it runs as: its settings decide. */
export function rememberIdentity(settings: Identity): void {
  const { issuer, accessAlgorithm, dataFolder, database } = settings;
  if (database.kind === 'postgres') return;
  const text = `${JSON.stringify({ issuer, accessAlgorithm })}\n`;
  const file = join(dataFolder, FILE);
  if (readText(file) !== text) writePrivateFile(file, text);
}

/** @throws CommandRefused `other_settings` when the settings are not those of the server that was started here */
export function requireSameIdentity(settings: Identity): void {
  if (settings.database.kind === 'postgres') return;
  const known = readIdentity(join(settings.dataFolder, FILE));
  const differing = (['issuer', 'accessAlgorithm'] as const).find(
    (name) => known[name] !== undefined && known[name] !== settings[name],
  );
  if (differing === undefined) return;
  throw new CommandRefused(
    'other_settings',
    `The server of ${settings.dataFolder} runs with ${differing} ${known[differing]}, and here it is ${settings[differing]}. Run this ` +
      'with the settings of the server; a file that COUNTERSIGN_CONFIG names serves both. If they were changed, start the server first.',
  );
}

function readIdentity(file: string): { issuer?: unknown; accessAlgorithm?: unknown } {
  try {
    return Object(JSON.parse(readText(file) ?? '{}')) as { issuer?: unknown; accessAlgorithm?: unknown }; // compared as unknown
  } catch {
    return {}; // the next start writes it anew
  }
}
