/** What a node has seen of its store, in its data folder: a copy of the database put back by hand cannot take it back. */
import { join } from 'node:path';
import type { Memory, Seen } from '../standing/standing.ts';
import { readText, writePrivateFile } from '../world/files.ts';

const FILE = 'seen.json';

export function memoryIn(dataFolder: string): Memory {
  const file = join(dataFolder, FILE);
  return {
    read() {
      return seenIn(parsed(readText(file)));
    },
    write(seen) {
      // A command that ends late has seen less than the server whose folder it shares.
      const known = seenIn(parsed(readText(file)));
      if (known && (known.epoch > seen.epoch || (known.epoch === seen.epoch && known.head > seen.head))) return;
      writePrivateFile(file, `${JSON.stringify(seen)}\n`);
    },
  };
}

function seenIn({ epoch, head, newest }: Partial<Record<keyof Seen, unknown>>): Seen | undefined {
  if (!isNumber(epoch) || !isNumber(head)) return undefined;
  const { cursor, position, atMs, subjectId } = Object(newest) as Partial<Record<string, unknown>>; // read as unknown
  const isWhole = isNumber(cursor) && isNumber(position) && isNumber(atMs) && typeof subjectId === 'string';
  return { epoch, head, ...(isWhole && { newest: { cursor, position, atMs, subjectId } }) };
}

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** A file that was damaged remembers nothing, as one that is not there. */
function parsed(text: string | undefined): Partial<Record<keyof Seen, unknown>> {
  try {
    return Object(JSON.parse(text ?? '{}')) as Partial<Record<keyof Seen, unknown>>; // read as unknown
  } catch {
    return {};
  }
}
