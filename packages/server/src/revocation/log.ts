import { onlyDone, type Store } from '../store/store.ts';
import {
  emitting,
  type Invalidation,
  isThere,
  type Landmark,
  selectInvalidationsAfter,
  selectNewest,
  selectPositionBefore,
  selectSweptUpTo,
  selectTransactionBefore,
  selectTransactionState,
  selectTransactionsAfter,
  type TransactionState,
} from './table.ts';

/** Where the log stands. */
export interface LogState {
  /** The store's epoch: it rises with each restore. */
  epoch: number;
  /** Every row with this cursor or a lower one can be read, or was swept. Never falls within an epoch. */
  head: number;
  /** The row by which the log is known again later; undefined while it is empty. */
  newest: Landmark | undefined;
  /**
   * What became of the row by which the asker knows the log. `swept`: it is gone, as may be, for so much was swept since. `missing`: this is
   * not the log in which it was seen, whatever its numbers are.
   */
  landmark: 'there' | 'swept' | 'missing';
  /**
   * Rows came from another database server, by a dump: they have numbers that this one has not given yet. What is revoked now gets lower
   * ones, and would be read by nobody.
   */
  isForeign: boolean;
}

/** A row with the cursor of what wrote it. */
export interface LoggedInvalidation extends Invalidation {
  cursor: number;
}

/** What a reader has been brought: every row up to a cursor, but not those of transactions that were open when it looked. */
export interface LogSeen {
  readonly upTo: number;
  readonly open: readonly number[];
}

/** The answer of a read. What is read after the rows, or with them, says whether they may be relied on. */
export interface LogRead {
  state: LogState;
  /** In the order of their cursors; those of one cursor were written together, and are never torn apart. */
  rows: LoggedInvalidation[];
  /** Where the next read goes on. */
  seen: LogSeen;
  /** Every row that was visible when the read began is in `rows`; else there were more than it might bring. */
  isComplete: boolean;
  /** The highest cursor of a row ever swept: from before it the log is not whole. */
  sweptUpTo: number;
}

/** Rows of one statement: some milliseconds of the event loop, which reading runs on. */
const PAGE_ROWS = 1_000;

/**
 * The log of invalidations as whoever keeps copies of verdicts reads it: by cursor, to the end. Readers must know that a row with a
 * lower cursor may become visible later.
 *
 * SQLite has one writer, so commits happen in the order of positions, and the position is the cursor.
 *
 * PostgreSQL has many, and the cursor is the number of the transaction. A read takes one snapshot, which says which transactions were
 * open; what they write is asked for by their numbers, next time, and everything else after the newest that was brought. So a row is
 * brought once, however long a transaction stays open. The reader never goes ahead of the newest row that it could read, although all
 * transactions before the oldest open one are over: the numbers of those that wrote nothing are in no log on a disk, and PostgreSQL
 * gives them again after a crash (docs/decisions/0019-the-log-is-read-by-transaction.md).
 */
export class InvalidationLog {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Whether another server may take the place of the one that is read, and nobody here is told. */
  get hasOtherServers(): boolean {
    return this.#store.engine === 'postgresql';
  }

  /**
   * Commits what says nothing. Acknowledged, it shows that this server was the primary, with its synchronous standby behind it, after the
   * call. Throws `StoreUnavailable`.
   */
  async confirm(): Promise<void> {
    onlyDone(await this.#store.commit(emitting()));
  }

  /** `landmark`: the newest row that the asker has ever seen; undefined: it knows none. */
  async state(landmark?: Landmark): Promise<LogState> {
    const { engine, read } = this.#store;
    if (engine !== 'sqlite') return stateOf(await selectTransactionState(read, landmark), landmark);
    const epoch = await this.#store.epoch();
    const newest = await selectNewest(read);
    const isKnown = landmark === undefined || (await isThere(read, landmark));
    // Last: what was swept while this looked was there, or is known to be swept.
    const sweptUpTo = await selectSweptUpTo(read);
    const found = { isThere: isKnown, sweptUpTo };
    return { epoch, head: newest?.cursor ?? 0, newest, landmark: fateOf(landmark, found), isForeign: false };
  }

  /** The lowest cursor after which the log holds at most about so many rows. */
  async reach(rows: number): Promise<number> {
    const { engine, read } = this.#store;
    return engine === 'sqlite' ? selectPositionBefore(read, rows) : selectTransactionBefore(read, rows);
  }

  /** Rows that were not brought yet, about `maxRows` at most. Everything is read after the call. `landmark`: as of `state`. */
  async read(after: LogSeen, maxRows: number, landmark?: Landmark): Promise<LogRead> {
    const bounds = { maxRows, landmark };
    return this.#store.engine === 'sqlite'
      ? this.#readByPosition(after.upTo, bounds)
      : this.#readByTransaction(after, bounds);
  }

  async #readByPosition(after: number, { maxRows, landmark }: Bounds): Promise<LogRead> {
    const rows: LoggedInvalidation[] = [];
    let upTo = after;
    let isComplete = false;
    while (!isComplete && rows.length < maxRows) {
      const limit = Math.min(PAGE_ROWS, maxRows - rows.length);
      const page = await selectInvalidationsAfter(this.#store.read, { position: upTo, limit });
      for (const row of page) rows.push({ ...row, cursor: row.position });
      upTo = page.at(-1)?.position ?? upTo;
      isComplete = page.length < limit;
    }
    // After the rows: what was swept while they were read would be missing from them.
    const sweptUpTo = await selectSweptUpTo(this.#store.read);
    return { state: await this.state(landmark), rows, seen: { upTo, open: [] }, isComplete, sweptUpTo };
  }

  async #readByTransaction(after: LogSeen, { maxRows, landmark }: Bounds): Promise<LogRead> {
    const rows: LoggedInvalidation[] = [];
    let seen = after;
    for (;;) {
      const limit = Math.min(PAGE_ROWS, maxRows - rows.length);
      const page = await selectTransactionsAfter(this.#store.read, { ...seen, limit, landmark });
      rows.push(...page.rows);
      const further = page.rows.filter(({ cursor }) => cursor > seen.upTo);
      const isComplete = further.length < limit;
      // To the end: past rows that were swept before anybody was here to read them, too.
      const upTo = isComplete ? Math.max(seen.upTo, page.state.newest) : (further.at(-1)?.cursor ?? seen.upTo);
      seen = { upTo, open: page.state.open.filter((transaction) => transaction <= upTo) };
      if (!isComplete && rows.length < maxRows) continue;
      // What was late in a later page comes before what is in an earlier one.
      rows.sort((left, right) => left.cursor - right.cursor || left.position - right.position);
      return { state: stateOf(page.state, landmark), rows, seen, isComplete, sweptUpTo: page.state.sweptUpTo };
    }
  }
}

interface Bounds {
  maxRows: number;
  landmark: Landmark | undefined;
}

function stateOf(found: TransactionState, landmark: Landmark | undefined): LogState {
  const { epoch, newest, newestRow, open, isForeign } = found;
  // One that opens later has a higher number than any row that can be read now, so this never falls.
  const head = open.reduce((lowest, transaction) => Math.min(lowest, transaction - 1), newest);
  return { epoch, head, newest: newestRow, landmark: fateOf(landmark, found), isForeign };
}

function fateOf(
  landmark: Landmark | undefined,
  found: Pick<TransactionState, 'isThere' | 'sweptUpTo'>,
): LogState['landmark'] {
  if (landmark === undefined || found.isThere) return 'there';
  return found.sweptUpTo >= landmark.cursor ? 'swept' : 'missing';
}
