/**
 * The revocation journal: what must stay so after a restore of an older backup. It stands outside the database, in a folder of
 * segments (`000001.jsonl`, …) that are only ever appended to.
 *
 * Life of a segment: started by a backup, by a restore, or after a torn line; the newest is written. Lines of the segment that
 * a backup started, and of all later ones, are what happened since. Segments older than the oldest backup may be deleted.
 *
 * A line is written before its commit: a crash between the two leaves an entry too many, which at a restore ends something that
 * somebody had asked to end. The other order could leave one too few.
 *
 * Writing happens only while the store's write lock is held (BEGIN IMMEDIATE), which also orders the server and the command line.
 * `journal-reading.ts` reads it back.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { entryLine, headerLine, mustSync } from './journal-line.ts';
import type { JournalEntry } from './store.ts';

export interface Journal {
  /** Appends the lines of one commit. Call the returned function if that commit is refused: the lines go again. */
  append(entries: readonly JournalEntry[]): () => void;
  /** Begins a segment with a number above all others; returns its number. */
  startSegment(options: { startedAtMs: number; epoch: number }): number;
  close(): void;
}

/** A journal for tests: entries land in the array that is given. It knows segments only by count. */
export class CollectedJournal implements Journal {
  readonly #entries: JournalEntry[];
  #segment = 1;

  constructor(entries: JournalEntry[]) {
    this.#entries = entries;
  }

  append(entries: readonly JournalEntry[]): () => void {
    const before = this.#entries.length;
    this.#entries.push(...entries);
    return () => {
      this.#entries.length = before;
    };
  }

  startSegment(): number {
    this.#segment += 1;
    return this.#segment;
  }

  close(): void {}
}

interface OpenSegment {
  readonly number: number;
  readonly descriptor: number;
  /** Bytes in it as this process last left it. Another process may have appended since. */
  size: number;
}

export class JournalFolder implements Journal {
  readonly #folder: string;
  readonly #describe: () => { epoch: number; nowMs: number };
  #open: OpenSegment | undefined;

  /** `describe` is asked for the header whenever a segment must be started. */
  constructor({ folder, describe }: { folder: string; describe: () => { epoch: number; nowMs: number } }) {
    this.#folder = folder;
    this.#describe = describe;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  append(entries: readonly JournalEntry[]): () => void {
    if (entries.length === 0) return () => {};
    const segment = this.#newest();
    const before = segment.size;
    const takeBack = (): void => this.#takeBack(segment, before);
    const bytes = Buffer.from(entries.map(entryLine).join(''));
    try {
      const written = writeSync(segment.descriptor, bytes);
      if (written !== bytes.length) throw new Error('Writing the revocation journal: the disk took only a part of it.');
      segment.size = before + written;
      if (entries.some(mustSync)) fdatasyncSync(segment.descriptor);
    } catch (error) {
      takeBack();
      throw error;
    }
    return takeBack;
  }

  startSegment({ startedAtMs, epoch }: { startedAtMs: number; epoch: number }): number {
    const newest = segmentNumbers(this.#folder).at(-1) ?? 0;
    return this.#start({ segment: newest + 1, epoch, startedAtMs }).number;
  }

  close(): void {
    if (this.#open !== undefined) closeSync(this.#open.descriptor);
    this.#open = undefined;
  }

  /** The segment to append to: the newest one there is, or a fresh one if its last line is torn. */
  #newest(): OpenSegment {
    let open = this.#open;
    // A segment that was deleted takes lines and loses them.
    if (open !== undefined && fstatSync(open.descriptor).nlink === 0) {
      this.close();
      open = undefined;
    }
    if (open === undefined || existsSync(segmentFile(this.#folder, open.number + 1))) {
      const number = segmentNumbers(this.#folder).at(-1);
      if (number === undefined) return this.#startNext(1);
      this.close();
      open = { number, descriptor: openSync(segmentFile(this.#folder, number), 'a+', 0o600), size: -1 };
      this.#open = open;
    }
    const size = fstatSync(open.descriptor).size;
    if (size === open.size) return open;
    if (!endsWithNewline(open.descriptor, size)) return this.#startNext(open.number + 1);
    open.size = size;
    return open;
  }

  #startNext(segment: number): OpenSegment {
    const { epoch, nowMs } = this.#describe();
    return this.#start({ segment, epoch, startedAtMs: nowMs });
  }

  #start(header: { segment: number; epoch: number; startedAtMs: number }): OpenSegment {
    const descriptor = openSync(segmentFile(this.#folder, header.segment), 'ax+', 0o600);
    this.close();
    const line = headerLine(header);
    this.#open = { number: header.segment, descriptor, size: line.length };
    if (writeSync(descriptor, line) !== line.length) {
      throw new Error('Starting a segment of the revocation journal: the disk took only a part of its header.');
    }
    fsyncSync(descriptor);
    syncFolder(this.#folder);
    return this.#open;
  }

  #takeBack(segment: OpenSegment, size: number): void {
    // If the disk refuses even this, whole lines stay (the safe side) and a torn one makes the next append start a segment.
    segment.size = -1;
    try {
      ftruncateSync(segment.descriptor, size);
      segment.size = size;
    } catch {}
  }
}

/** Numbers of the segments in a folder, ascending. Other files are left alone. */
export function segmentNumbers(folder: string): number[] {
  return readdirSync(folder)
    .map((name) => /^(\d{6,})\.jsonl$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

export function segmentFile(folder: string, segment: number): string {
  return join(folder, `${String(segment).padStart(6, '0')}.jsonl`);
}

/** Makes a new or renamed name in a folder survive a power cut. Windows has no such call and needs none. */
export function syncFolder(folder: string): void {
  let descriptor: number;
  try {
    descriptor = openSync(folder, 'r');
  } catch {
    return;
  }
  try {
    fsyncSync(descriptor);
  } catch {
  } finally {
    closeSync(descriptor);
  }
}

function endsWithNewline(descriptor: number, size: number): boolean {
  const last = Buffer.alloc(1);
  return size > 0 && readSync(descriptor, last, 0, 1, size - 1) === 1 && last[0] === 0x0a;
}
