/**
 * When the journal's lines are written.
 *
 * What ends something stands there before its commit is sent: a crash between the two ends, at a restore, something that somebody had
 * asked to end. A rotation stands there after its commit, and before whoever asked hears of it: the other order could name a generation
 * that never was, and an honest client would be shut out; a line that is lost this way belongs to an answer that nobody got.
 */
import { StoreUnavailable } from '../errors.ts';
import type { JournalEntry } from '../store.ts';
import type { SharedJournal } from './shared-journal.ts';

export class Recording {
  readonly #journal: SharedJournal;

  constructor(journal: SharedJournal) {
    this.#journal = journal;
  }

  /** Call what it returns where the commit was surely refused. */
  before(entries: readonly JournalEntry[]): Promise<() => void> {
    return this.#append(entries.filter((entry) => entry.kind !== 'grant_rotated'));
  }

  async after(entries: readonly JournalEntry[]): Promise<void> {
    await this.#append(entries.filter((entry) => entry.kind === 'grant_rotated'));
  }

  async #append(entries: readonly JournalEntry[]): Promise<() => void> {
    if (entries.length === 0) return () => {};
    try {
      return await this.#journal.append(entries);
    } catch (cause) {
      throw new StoreUnavailable('Writing: the revocation journal could not be written. Look at its disk.', { cause });
    }
  }
}

/** The commit is durable and must be answered as such, whatever comes after it. */
export function runHarmlessly(work: () => void): void {
  try {
    work();
  } catch {
    // As the contract says: lost, and hurting nobody.
  }
}
