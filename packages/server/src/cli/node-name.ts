import { join } from 'node:path';
import { createPrivateFile, readText, writePrivateFile } from '../world/files.ts';
import { systemRandom } from '../world/random.ts';

const FILE = 'node';
const NAME_BYTES = 8; // 64 bits: no two nodes of an installation draw the same
const NAME = /^node-[0-9a-f]{16}$/;

/** What the node of a data folder is called, for ever: its journal stands in a folder of this name beside those of the others. */
export function nodeNameOf(dataFolder: string): string {
  const file = join(dataFolder, FILE);
  const known = readText(file)?.trim();
  if (known !== undefined && NAME.test(known)) return known;
  const drawn = `node-${Buffer.from(systemRandom.bytes(NAME_BYTES)).toString('hex')}`;
  // A file that was damaged names nobody, as one that is not there.
  if (known !== undefined) writePrivateFile(file, `${drawn}\n`);
  else if (!createPrivateFile(file, `${drawn}\n`)) return nodeNameOf(dataFolder); // another process was first
  return drawn;
}
