import type { Store } from '../store/store.ts';
import { type Invalidation, selectHead, selectInvalidationsAfter, selectSweptUpTo } from './table.ts';

/** Where the log stands. */
export interface LogState {
  /** The store's epoch: it rises with each restore. */
  epoch: number;
  /** Cursor of the newest row. Never falls within an epoch. */
  head: number;
}

/** A row with the cursor of a reader that has read up to it. */
export interface LoggedInvalidation extends Invalidation {
  cursor: number;
}

/** The answer of a read. What is read after the rows says whether they may be relied on. */
export interface LogRead {
  state: LogState;
  /** In the order of commits. */
  rows: LoggedInvalidation[];
  /** Where the next read goes on. */
  cursor: number;
  /** Every row that was visible when the read began is in `rows`; else there were more than it might bring. */
  isComplete: boolean;
  /** The highest cursor of a row ever swept: from before it the log is not whole. */
  sweptUpTo: number;
}

/** Rows of one statement: some milliseconds of the event loop, which reading runs on. */
const PAGE_ROWS = 1_000;

/**
 * The log of invalidations as whoever keeps copies of verdicts reads it: by cursor, to the end. Where there is one writer, commits
 * happen in the order of positions, so the position is the cursor. An engine with several writers finds rows by transaction
 * and may bring one twice; readers must know a row again by its position and rely on no order of positions.
 */
export class InvalidationLog {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async state(): Promise<LogState> {
    return { epoch: await this.#store.epoch(), head: await selectHead(this.#store.read) };
  }

  /** Rows after a cursor, at most about `maxRows`. Everything is read after the call. */
  async read(after: number, maxRows: number): Promise<LogRead> {
    const rows: LoggedInvalidation[] = [];
    let cursor = after;
    let isComplete = false;
    while (!isComplete && rows.length < maxRows) {
      const limit = Math.min(PAGE_ROWS, maxRows - rows.length);
      const page = await selectInvalidationsAfter(this.#store.read, { position: cursor, limit });
      for (const row of page) rows.push({ ...row, cursor: row.position });
      cursor = page.at(-1)?.position ?? cursor;
      isComplete = page.length < limit;
    }
    // After the rows: what was swept while they were read would be missing from them.
    const sweptUpTo = await selectSweptUpTo(this.#store.read);
    return { state: await this.state(), rows, cursor, isComplete, sweptUpTo };
  }
}
