/**
 * The revocation journal as PostgreSQL's engine writes it: commits of many run at once, so that a line cannot be cut off again once
 * another may stand behind it.
 */
import { NodeJournal } from '../node-journal.ts';
import type { JournalEntry } from '../store.ts';

export interface SharedJournal {
  /**
   * Fulfils when the lines are as durable as they must be. Call what it returns where the commit was surely refused: then the lines may
   * go. They may stay as well, and at a restore end something that somebody had asked to end.
   */
  append(entries: readonly JournalEntry[]): Promise<() => void>;
  close(): Promise<void>;
}

/** `none`: a restore ends every grant. `folder`: of this node alone. `collected` is for tests. */
export type SharedJournalPlace =
  | { kind: 'none' }
  | { kind: 'folder'; folder: string }
  | { kind: 'collected'; entries: JournalEntry[] };

export function openSharedJournal(
  place: SharedJournalPlace,
  describe: () => { epoch: number; nowMs: number },
): SharedJournal {
  if (place.kind === 'none') return { append: async () => () => {}, close: async () => {} };
  if (place.kind === 'collected') {
    const { entries: kept } = place;
    return {
      append: async (entries) => {
        kept.push(...entries);
        return () => {
          for (const entry of entries) kept.splice(kept.lastIndexOf(entry), 1);
        };
      },
      close: async () => {},
    };
  }
  const own = new NodeJournal({ folder: place.folder, describe });
  return {
    append: async (entries) => {
      await own.append(entries);
      return () => {};
    },
    close: () => own.close(),
  };
}
