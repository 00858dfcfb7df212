/**
 * The revocation journal of a node, where many nodes write one database: a folder of its own, in the format of `journal.ts`.
 *
 * Nothing orders the processes here, so each appends to a segment that it began itself and never cuts off what it wrote: a line of a
 * commit that was refused stays, and at a restore ends something that somebody had asked to end. Lines of commits that run at the same
 * time share a sync of the disk.
 */
import { closeSync, fdatasync, fstatSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { segmentFile, segmentNumbers, syncFolder } from './journal.ts';
import { entryLine, headerLine, mustSync } from './journal-line.ts';
import type { JournalEntry } from './store.ts';

/** A segment a day: those from before the oldest base backup may be deleted, and are told by their dates. */
const SEGMENT_MS = 24 * 60 * 60 * 1_000;

/** Programs of one node that begin a segment at the same moment: the server, and commands beside it. */
const MAX_TRIES = 100;

export class NodeJournal {
  readonly #folder: string;
  readonly #describe: () => { epoch: number; nowMs: number };
  #segment: Segment | undefined;

  /** `describe` is asked for the header of each segment. */
  constructor({ folder, describe }: { folder: string; describe: () => { epoch: number; nowMs: number } }) {
    this.#folder = folder;
    this.#describe = describe;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** Syncs of the disk for lines of the open segment, so far. */
  get syncs(): number {
    return this.#segment?.syncs ?? 0;
  }

  /** Fulfils when the lines are as durable as they must be; rejects where the disk did not take them. */
  async append(entries: readonly JournalEntry[]): Promise<void> {
    if (entries.length === 0) return;
    let segment: Segment | undefined;
    try {
      segment = this.#open();
      segment.write(entries.map(entryLine).join(''));
      if (entries.some(mustSync)) await segment.synced();
    } catch (error) {
      // A torn line is the last of its segment, and after a sync that failed nothing is known of what stands before.
      await this.#giveUp(segment);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#giveUp(this.#segment);
  }

  #open(): Segment {
    const { epoch, nowMs } = this.#describe();
    const open = this.#segment;
    if (open?.isThere && nowMs - open.startedAtMs < SEGMENT_MS) return open;
    void this.#giveUp(open);
    this.#segment = this.#start({ epoch, startedAtMs: nowMs });
    return this.#segment;
  }

  #start(begun: { epoch: number; startedAtMs: number }): Segment {
    const first = (segmentNumbers(this.#folder).at(-1) ?? 0) + 1;
    for (let number = first; number < first + MAX_TRIES; number++) {
      const descriptor = createNew(segmentFile(this.#folder, number));
      if (descriptor === undefined) continue;
      const segment = new Segment(descriptor, begun.startedAtMs);
      segment.write(headerLine({ segment: number, ...begun }));
      fsyncSync(descriptor);
      syncFolder(this.#folder);
      return segment;
    }
    throw new Error('No segment could be begun: others begin them all the time.');
  }

  async #giveUp(segment: Segment | undefined): Promise<void> {
    if (segment === this.#segment) this.#segment = undefined;
    await segment?.end();
  }
}

/** One file. Whoever waits for a sync waits for one of this very file. */
class Segment {
  readonly startedAtMs: number;
  readonly #descriptor: number;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #isEnded = false;
  #syncs = 0;

  constructor(descriptor: number, startedAtMs: number) {
    this.#descriptor = descriptor;
    this.startedAtMs = startedAtMs;
  }

  get syncs(): number {
    return this.#syncs;
  }

  /** A segment that was deleted takes lines and loses them. */
  get isThere(): boolean {
    return fstatSync(this.#descriptor).nlink > 0;
  }

  write(text: string): void {
    const bytes = Buffer.from(text);
    if (writeSync(this.#descriptor, bytes) !== bytes.length) throw new Error('The disk took only a part of it.');
  }

  /** A sync that is under way may have begun before the last line was written: those who come meanwhile share the next one. */
  synced(): Promise<void> {
    // A sync that failed fails those behind it, too: what it left undone is not tried again by a later one (fsync(2)).
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      this.#running = this.#sync();
      return this.#running;
    });
    return this.#next;
  }

  /** Ends after what waits here. */
  async end(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await this.#next?.catch(() => {});
    await this.#running.catch(() => {});
    closeSync(this.#descriptor);
  }

  #sync(): Promise<void> {
    this.#syncs += 1;
    return new Promise((resolve, reject) => {
      fdatasync(this.#descriptor, (error) => (error ? reject(error) : resolve()));
    });
  }
}

/** Undefined where there is one already. */
function createNew(file: string): number | undefined {
  try {
    return openSync(file, 'ax', 0o600);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return undefined;
    throw error;
  }
}
