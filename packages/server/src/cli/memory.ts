/** What a node has seen of its store, in its data folder: a copy of the database put back by hand cannot take it back. */
import { join } from 'node:path';
import type { Memory } from '../standing/standing.ts';
import { readText, writePrivateFile } from '../world/files.ts';

const FILE = 'seen.json';

export function memoryIn(dataFolder: string): Memory {
  const file = join(dataFolder, FILE);
  return {
    read() {
      const { epoch, head } = parsed(readText(file));
      return Number.isSafeInteger(epoch) && Number.isSafeInteger(head)
        ? { epoch: Number(epoch), head: Number(head) }
        : undefined;
    },
    write: (seen) => writePrivateFile(file, `${JSON.stringify(seen)}\n`),
  };
}

/** A file that was damaged remembers nothing, as one that is not there. */
function parsed(text: string | undefined): { epoch?: unknown; head?: unknown } {
  try {
    return Object(JSON.parse(text ?? '{}')) as { epoch?: unknown; head?: unknown }; // read as unknown
  } catch {
    return {};
  }
}
