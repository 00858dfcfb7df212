/**
 * A model of the authority's store, as far as verdicts and the log of invalidations go. A transaction takes its number when it
 * opens, its rows positions when they are inserted, and all become visible when it commits, in any order: as on PostgreSQL. So is what a
 * crash does: open transactions are gone, and so are the numbers of those of which nothing was committed; they are given again.
 *
 * The store knows what it holds; what is true is in the tokens themselves (`Truth`), whatever copy of the store is in place.
 */
import type { Handles, Verdict } from '@countersign/protocol';
import type { Landmark, LogRead, LogRow, LogState } from '../../packages/server/src/push/rounds.ts';
import { cursorOf, isSeen, type Seen } from '../../packages/server/src/push/seen.ts';

export interface Truth {
  jti: string;
  /** What a request carries. Its SHA-256 is the key under which verifiers remember it. */
  text: string;
  key: string;
  audience: string;
  subjects: Record<keyof Handles, string>;
  issuedAtMs: number;
  expiresAtMs: number;
  /** Commit of whatever killed it first. */
  deadAtMs: number;
}

export interface Row extends LogRow {
  /** Of users, clients and keys: tokens issued up to here are dead; undefined: the row kills nothing, it makes look again. */
  deadUpToMs: number | undefined;
  /** The number of the commit that it came with, in the one true course of things. */
  commit: number;
}

export type NewRow = Omit<Row, 'position' | 'cursor' | 'commit'>;

/** What a copy of the store holds. */
interface Contents {
  epoch: number;
  nextTransaction: number;
  nextPosition: number;
  rows: Row[];
  /** How many commits of the one true course of things it has. What is written to an older copy is none of them. */
  commits: number;
  sweptUpTo: number;
  issued: Map<string, Truth>;
  dead: Map<string, Exclude<Verdict, 'live'>>;
}

/**
 * How nodes read the log. `transaction`: as PostgreSQL is read, by what was seen up to the newest row. `sequence`: by position, as SQLite
 * is, right only where commits come in that order. The others are wrong. `horizon`: ahead of the newest row, as far as no transaction is
 * open. `torn`: pages end between two rows of a transaction.
 */
export type Reading = 'transaction' | 'sequence' | 'horizon' | 'torn';

interface Open {
  transaction: number;
  /** Of its rows, once they are inserted. */
  positions: readonly number[];
}

export class Store {
  readonly #reading: Reading;
  #contents: Contents = {
    epoch: 1,
    nextTransaction: 1,
    nextPosition: 1,
    rows: [],
    commits: 0,
    sweptUpTo: 0,
    issued: new Map(),
    dead: new Map(),
  };
  #open = new Set<Open>();
  #highestEpoch = 1;

  constructor(reading: Reading) {
    this.#reading = reading;
  }

  // What the authority writes

  issue(token: Truth): void {
    this.#contents.issued.set(token.jti, token);
  }

  begin(): Open {
    const open = { transaction: this.#contents.nextTransaction++, positions: [] };
    this.#open.add(open);
    return open;
  }

  insert(open: Open, rows: number): void {
    open.positions = Array.from({ length: rows }, () => this.#contents.nextPosition++);
  }

  /** Tokens that died with it; undefined: a restore or a crash came in between, and the transaction is gone. */
  commit(open: Open, rows: readonly NewRow[], nowMs: number): Truth[] | undefined {
    if (!this.#open.delete(open)) return undefined;
    const { issued, dead } = this.#contents;
    this.#contents.commits++;
    const killed: Truth[] = [];
    for (const [index, row] of rows.entries()) {
      const position = open.positions[index] ?? 0;
      const cursor = this.#reading === 'sequence' ? position : open.transaction;
      const committed = { ...row, position, cursor, commit: this.#contents.commits };
      this.#contents.rows.push(committed);
      for (const token of issued.values()) {
        if (!kills(committed, token) || dead.has(token.jti)) continue;
        dead.set(token.jti, row.kind === 'superseded' ? 'superseded' : 'revoked');
        token.deadAtMs = Math.min(token.deadAtMs, nowMs);
        killed.push(token);
      }
    }
    return killed;
  }

  /** A commit that is lost with the older copy in which it is made. */
  commitAstray(row: NewRow): void {
    const open = this.begin();
    this.insert(open, 1);
    this.#contents.commits--; // it is counted next, and is no more than was there
    this.commit(open, [row], 0);
  }

  rollBack(open: Open): void {
    this.#open.delete(open);
  }

  /** The database ends and is there again, with all that was committed. */
  crash(): void {
    this.#open = new Set();
    if (this.#reading !== 'sequence') this.#contents.nextTransaction = this.#newestOnDisk() + 1;
  }

  /** Forgets tokens that are long over. */
  prune(beforeMs: number): void {
    for (const [jti, { expiresAtMs }] of this.#contents.issued) {
      if (expiresAtMs < beforeMs) this.#contents.issued.delete(jti);
    }
  }

  /** Sweeps rows written before that, but never the newest. */
  sweep(beforeMs: number): void {
    const contents = this.#contents;
    const newest = this.#newestRow();
    const isSwept = (row: Row) => row.atMs < beforeMs && row !== newest;
    for (const row of contents.rows) {
      if (isSwept(row)) contents.sweptUpTo = Math.max(contents.sweptUpTo, row.cursor);
    }
    contents.rows = contents.rows.filter((row) => !isSwept(row));
  }

  // Copies

  copy(): Contents {
    const { rows, issued, dead, ...rest } = this.#contents;
    // Numbers beyond the newest row are given again; one below it never is, though its transaction was open and is not in the copy.
    const nextTransaction = this.#newestOnDisk() + 1;
    return { ...rest, nextTransaction, rows: [...rows], issued: new Map(issued), dead: new Map(dead) };
  }

  /** Puts a copy in place, as it is. Transactions under way are gone. Gives back what was there. */
  swap(contents: Contents): Contents {
    const before = this.#contents;
    this.#contents = contents;
    this.#open = new Set();
    return before;
  }

  /** The operator says that what is in place is meant: the epoch rises, every token recorded before is dead. */
  restorePoint(): void {
    const contents = this.#contents;
    contents.epoch = ++this.#highestEpoch;
    for (const jti of contents.issued.keys()) if (!contents.dead.has(jti)) contents.dead.set(jti, 'revoked');
  }

  // What nodes read: each as of one moment

  get epoch(): number {
    return this.#contents.epoch;
  }

  /** How many commits this copy has, and with which of them its newest row came. */
  get course(): { commits: number; newest: number } {
    return { commits: this.#contents.commits, newest: this.#newestRow()?.commit ?? 0 };
  }

  state(landmark: Landmark | undefined): LogState {
    const { epoch, rows, sweptUpTo } = this.#contents;
    const head = cursorOf(this.#seen(this.#newest()));
    const isThere = landmark === undefined || rows.some((row) => isSame(row, landmark));
    const fate = isThere ? 'there' : sweptUpTo >= landmark.cursor ? 'swept' : 'missing';
    return { epoch, head, newest: this.#newestRow(), landmark: fate, isForeign: false };
  }

  /** The lowest cursor after which so many rows stand. */
  reach(rows: number): number {
    const cursors = this.#contents.rows.map(({ cursor }) => cursor).sort((left, right) => right - left);
    return cursors[rows] ?? 0;
  }

  /** `atMost`: a page shorter than what there is, of whole transactions. */
  read(after: Seen, atMost: number, landmark: Landmark | undefined): LogRead {
    const { rows, sweptUpTo } = this.#contents;
    const visible = rows.filter(({ cursor }) => !isSeen(after, cursor));
    visible.sort((left, right) => left.cursor - right.cursor || left.position - right.position);
    const further = visible.filter(({ cursor }) => cursor > after.upTo);
    const last = further[atMost - 1]?.cursor ?? after.upTo;
    const isComplete = atMost > further.length || last === further.at(-1)?.cursor;
    const page = isComplete
      ? visible
      : visible.filter((row) => row.cursor <= last && (this.#reading !== 'torn' || further.indexOf(row) < atMost));
    const seen = this.#seen(isComplete ? Math.max(after.upTo, this.#newest()) : last);
    return { state: this.state(landmark), rows: page, seen, isComplete, sweptUpTo };
  }

  verdict(jti: string, nowMs: number): Verdict {
    const { issued, dead } = this.#contents;
    const token = issued.get(jti);
    if (!token) return 'unknown';
    const verdict = dead.get(jti);
    if (verdict) return verdict;
    return token.expiresAtMs <= nowMs ? 'expired' : 'live';
  }

  /** Where a read to the end comes to: the newest row that can be read or was swept, for that has been on the disk. */
  #newest(): number {
    return this.#reading === 'horizon' ? this.#contents.nextTransaction - 1 : this.#newestOnDisk();
  }

  #newestRow(): Row | undefined {
    return this.#contents.rows.reduce<Row | undefined>(
      (newest, row) => (newest === undefined || isAfter(row, newest) ? row : newest),
      undefined,
    );
  }

  #newestOnDisk(): number {
    const { rows, sweptUpTo } = this.#contents;
    return rows.reduce((newest, { cursor }) => Math.max(newest, cursor), sweptUpTo);
  }

  #seen(upTo: number): Seen {
    if (this.#reading === 'sequence') return { upTo, open: [] };
    const open = [...this.#open].map(({ transaction }) => transaction);
    return { upTo, open: open.filter((transaction) => transaction <= upTo) };
  }
}

function isAfter(row: Row, other: Row): boolean {
  return row.cursor > other.cursor || (row.cursor === other.cursor && row.position > other.position);
}

function isSame(row: Row, { cursor, position, atMs, subjectId }: Landmark): boolean {
  return row.cursor === cursor && row.position === position && row.atMs === atMs && row.subjectId === subjectId;
}

/** Whether a row names a token, in the way a verifier understands it. */
export function names(row: Pick<LogRow, 'kind' | 'subjectId'>, token: Truth): boolean {
  return token.subjects[row.kind === 'superseded' ? 'token' : row.kind] === row.subjectId;
}

function kills(row: Row, token: Truth): boolean {
  if (!names(row, token)) return false;
  if (row.kind === 'token' || row.kind === 'superseded' || row.kind === 'grant') return true;
  return row.deadUpToMs !== undefined && token.issuedAtMs <= row.deadUpToMs;
}
