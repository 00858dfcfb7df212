/**
 * Reading the revocation journal back, at a restore only: whether what a backup needs is all there, and its entries in order.
 */
import { closeSync, createReadStream, existsSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { StoreRefusal } from './errors.ts';
import { segmentFile, segmentNumbers } from './journal.ts';
import { MAX_LINE_CHARACTERS, parseEntry, parseHeader, type SegmentHeader } from './journal-line.ts';
import type { JournalEntry } from './store.ts';

/**
 * What the journal can say about the time since a backup. `missing`: nothing, or not all of it; then every grant of the backup
 * must die, because one that was ended since cannot be told from one that was not.
 */
export type JournalSince =
  | { kind: 'complete'; fromSegment: number; toSegment: number; entries: () => AsyncGenerator<JournalEntry> }
  | { kind: 'missing'; why: string };

/**
 * Looks whether the segment that a backup began, recognized by number and moment, and every later one are in the folder. A
 * lost *newest* segment cannot be seen: keep the folder whole.
 */
export function journalSince(options: { folder: string; fromSegment: number; startedAtMs: number }): JournalSince {
  const { folder, fromSegment, startedAtMs } = options;
  if (!existsSync(folder)) return { kind: 'missing', why: 'there is no journal folder' };
  const segments = segmentNumbers(folder).filter((segment) => segment >= fromSegment);
  if (segments[0] !== fromSegment)
    return { kind: 'missing', why: `segment ${fromSegment} is not in the journal folder` };
  if (readHeader(folder, fromSegment)?.startedAtMs !== startedAtMs) {
    return { kind: 'missing', why: `segment ${fromSegment} was not begun by this backup` };
  }
  const gap = segments.findIndex((segment, index) => segment !== fromSegment + index);
  if (gap !== -1) return { kind: 'missing', why: `segment ${fromSegment + gap} is not in the journal folder` };
  const toSegment = fromSegment + segments.length - 1;
  return { kind: 'complete', fromSegment, toSegment, entries: () => readJournal({ folder, fromSegment, toSegment }) };
}

/** Of it, what replaying needs. */
export type Replayable =
  | Pick<Extract<JournalSince, { kind: 'complete' }>, 'kind' | 'entries'>
  | Extract<JournalSince, { kind: 'missing' }>;

/**
 * The journals of all nodes, each in a folder of its own within `folder`: every entry of them, in no order between nodes. None is left out
 * for its age: the clocks that dated it and what the copy holds are not one. Doing again what a copy has already changes nothing. Throws
 * `StoreRefusal` `journal_damaged` where there is none, or a segment is missing between others; that a node's folder is missing, or its
 * newest segment, cannot be seen.
 */
export function journalOfNodes(folder: string): { epoch: number; journal: Replayable } {
  const nodes = existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => ({ name, path: join(folder, name), segments: segmentNumbers(join(folder, name)) }))
        .filter(({ segments }) => segments.length > 0)
    : [];
  if (nodes.length === 0) {
    throw new StoreRefusal('journal_damaged', 'Reading the revocation journals: the folder holds no folder of a node.');
  }
  for (const { name, segments } of nodes) {
    const gap = segments.findIndex((segment, index) => segment !== (segments[0] ?? 0) + index);
    if (gap === -1) continue;
    throw new StoreRefusal(
      'journal_damaged',
      `Reading the revocation journals: segment ${(segments[0] ?? 0) + gap} of ${name} is missing. Bring it back, or set the restore ` +
        'point without the journals, which ends every grant.',
    );
  }
  async function* entries(): AsyncGenerator<JournalEntry> {
    for (const { path } of nodes) yield* readJournal({ folder: path, fromSegment: 0 });
  }
  const epoch = Math.max(...nodes.map(({ path }) => journalEpoch(path)));
  return { epoch, journal: { kind: 'complete', entries } };
}

/** The highest epoch that any segment was begun in; 0 when there is none. Outlives a lost database. */
export function journalEpoch(folder: string): number {
  if (!existsSync(folder)) return 0;
  return Math.max(0, ...segmentNumbers(folder).map((segment) => readHeader(folder, segment)?.epoch ?? 0));
}

/**
 * Entries of the segments `fromSegment` to `toSegment` (default: the newest), in the order of their commits. A last line that
 * a crash tore is passed over: its commit never happened. Throws `StoreRefusal` `journal_damaged` on anything else unreadable.
 */
export async function* readJournal(options: {
  folder: string;
  fromSegment: number;
  toSegment?: number;
}): AsyncGenerator<JournalEntry> {
  const { folder, fromSegment, toSegment = Number.POSITIVE_INFINITY } = options;
  for (const segment of segmentNumbers(folder)) {
    if (segment >= fromSegment && segment <= toSegment) yield* readSegment(folder, segment);
  }
}

async function* readSegment(folder: string, segment: number): AsyncGenerator<JournalEntry> {
  let rest = '';
  let lineNumber = 0;
  for await (const chunk of createReadStream(segmentFile(folder, segment), { encoding: 'utf8' })) {
    const lines = `${rest}${String(chunk)}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      lineNumber += 1;
      if (lineNumber === 1) {
        if (parseHeader(line)?.segment !== segment) throw damaged(segment, lineNumber);
        continue;
      }
      const entry = parseEntry(line);
      if (entry === undefined) throw damaged(segment, lineNumber);
      yield entry;
    }
    if (rest.length > MAX_LINE_CHARACTERS) throw damaged(segment, lineNumber + 1);
  }
  // A whole entry without its newline may belong to a commit that survived; to end too much is the safe side.
  const last = lineNumber === 0 ? undefined : parseEntry(rest);
  if (last !== undefined) yield last;
}

function readHeader(folder: string, segment: number): SegmentHeader | undefined {
  const descriptor = openSync(segmentFile(folder, segment), 'r');
  try {
    const bytes = Buffer.alloc(MAX_LINE_CHARACTERS);
    const line = bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, bytes.length, 0)).split('\n', 1)[0] ?? '';
    const header = parseHeader(line);
    return header?.segment === segment ? header : undefined;
  } finally {
    closeSync(descriptor);
  }
}

function damaged(segment: number, line: number): StoreRefusal {
  return new StoreRefusal(
    'journal_damaged',
    `Reading the revocation journal: line ${line} of segment ${segment} is not an entry. ` +
      'Restore the journal folder from a copy, or restore without the journal, which ends every grant.',
  );
}
