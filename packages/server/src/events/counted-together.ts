import { type ActOutcome, onlyDone } from '../store/store.ts';
import type { RecordedEvent } from './events.ts';

interface Group {
  row: RecordedEvent;
  /** Not begun: more may join. */
  isOpen: boolean;
  done: Promise<void>;
}

/**
 * Counts on one row, one commit at a time: what arrives while one is under way shares the next. A flood would otherwise be as many
 * transactions that want the same row at once, and on an engine with several writers all but one of them would lose and begin again.
 */
export class CountedTogether {
  readonly #commit: (row: RecordedEvent) => Promise<ActOutcome>;
  /** The newest group of each row. */
  readonly #groups = new Map<string, Group>();

  constructor(commit: (row: RecordedEvent) => Promise<ActOutcome>) {
    this.#commit = commit;
  }

  /** Resolves once it is counted. */
  add(row: RecordedEvent): Promise<void> {
    const newest = this.#groups.get(row.id);
    if (newest?.isOpen) {
      newest.row = { ...newest.row, occurrences: newest.row.occurrences + row.occurrences };
      return newest.done;
    }
    const group: Group = { row, isOpen: true, done: Promise.resolve() };
    group.done = this.#count(group, newest?.done);
    this.#groups.set(row.id, group);
    return group.done;
  }

  async #count(group: Group, before: Promise<void> | undefined): Promise<void> {
    // Whoever waits for the one before hears of its failure.
    if (before) await before.catch(() => {});
    group.isOpen = false;
    try {
      onlyDone(await this.#commit(group.row));
    } finally {
      if (this.#groups.get(group.row.id) === group) this.#groups.delete(group.row.id);
    }
  }
}
