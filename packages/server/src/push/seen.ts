/**
 * What a reader of the log has been brought. Where many write at once, what can be read has gaps: of two transactions that are under
 * way the younger may commit first. So it is not one number but the newest transaction of which a row was brought, and those before it
 * that were open then. With one writer nothing is ever open, and it is one number.
 */
export interface Seen {
  /** Every row that can be read with this cursor or a lower one, */
  readonly upTo: number;
  /** but not those of these transactions, each at or below it. Few: one for each connection that writes, at most. */
  readonly open: readonly number[];
}

export function seenUpTo(cursor: number): Seen {
  return { upTo: cursor, open: [] };
}

/** Whether rows of this cursor were brought. */
export function isSeen({ upTo, open }: Seen, cursor: number): boolean {
  return cursor <= upTo && !open.includes(cursor);
}

/** The highest cursor up to which nothing is left out: what a stream is told, and may come back with to any node. */
export function cursorOf({ upTo, open }: Seen): number {
  return open.reduce((lowest, transaction) => Math.min(lowest, transaction - 1), upTo);
}

/**
 * Whether a row may have been swept that no read brought: it came after what was seen and went before the next read, which knows up to where
 * rows were swept. A node whose clock is ahead sweeps rows that are seconds old; and one that could not read for long comes late.
 */
export function mayLack(before: Seen, read: { seen: Seen; sweptUpTo: number }): boolean {
  const mayBeSwept = (cursor: number) => cursor <= read.sweptUpTo && isSeen(read.seen, cursor);
  return read.sweptUpTo > before.upTo || before.open.some(mayBeSwept);
}

/** What was brought by either of two reads. */
export function seenByEither(one: Seen, other: Seen): Seen {
  const upTo = Math.max(one.upTo, other.upTo);
  const open = [...one.open, ...other.open].filter((cursor) => !isSeen(one, cursor) && !isSeen(other, cursor));
  return { upTo, open: [...new Set(open)] };
}
