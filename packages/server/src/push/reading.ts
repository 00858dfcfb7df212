/** What the core of the push is told of the log of invalidations. */
import type { Handles } from '@countersign/protocol';
import type { Seen } from './seen.ts';

/** A row by which the log is known again: no copy of it has another by that name. */
export interface Landmark {
  readonly cursor: number;
  readonly position: number;
  readonly atMs: number;
  readonly subjectId: string;
}

/** Where the log stands. */
export interface LogState {
  epoch: number;
  /** Cursor of whoever needs nothing of the past: every row up to it can be read. Never falls within an epoch. */
  head: number;
  /** The newest row; undefined while there is none. */
  newest: Landmark | undefined;
  /**
   * What became of the landmark that was asked about. `swept`: it is gone, as may be, for so much was swept. `missing`: this is another copy
   * of the log, whatever its numbers are.
   */
  landmark: 'there' | 'swept' | 'missing';
  /** It was brought from another database server, and what is written now has lower numbers: a read would not find it. */
  isForeign: boolean;
}

export interface LogRow {
  /** Names the row; says nothing of order. */
  position: number;
  /** Of the transaction that wrote it, which may have written others. */
  cursor: number;
  /** When it was written, Unix milliseconds. */
  atMs: number;
  /** `superseded`: a token that its successor replaced, and nothing worse. */
  kind: keyof Handles | 'superseded';
  subjectId: string;
  /** Whose resource servers are concerned; undefined: all. */
  audience?: string | undefined;
  /** When the token ends by itself, where that is known. */
  expiresAtMs?: number | undefined;
}

/** The answer of a read. */
export interface LogRead {
  /** Read after the last row: an epoch that changed meanwhile makes the rows worth nothing. */
  state: LogState;
  /** In the order in which they are to be said, which is that of their cursors. About `MAX_ROWS` at most, and never a part of a transaction. */
  rows: readonly LogRow[];
  /** What was brought by now: what the read began after, and `rows`. The next one goes on there. */
  seen: Seen;
  /** Everything that was visible when the read began is in `rows`. */
  isComplete: boolean;
  /** The highest cursor of a row ever swept, read after the rows: from before it the log is not whole. */
  sweptUpTo: number;
}
