/**
 * A model of the authority's store, as far as verdicts and the log of invalidations go. A transaction takes its number when it
 * opens, its row a position when it is inserted, and both become visible when it commits, in any order: as on PostgreSQL.
 *
 * The store knows what it holds; what is true is in the tokens themselves (`Truth`), whatever copy of the store is in place.
 */
import type { Handles, Verdict } from '@countersign/protocol';
import type { LogRead, LogRow, LogState } from '../../packages/server/src/push/rounds.ts';

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
}

/** What a copy of the store holds. */
interface Contents {
  epoch: number;
  nextTransaction: number;
  nextPosition: number;
  rows: Row[];
  sweptUpTo: number;
  issued: Map<string, Truth>;
  dead: Map<string, Exclude<Verdict, 'live'>>;
}

/** `transaction`: from the oldest open one, as must be. `sequence`: by position, right only where commits come in that order. */
export type Reading = 'transaction' | 'sequence';

interface Open {
  transaction: number;
  position: number | undefined;
}

export class Store {
  readonly #reading: Reading;
  #contents: Contents = {
    epoch: 1,
    nextTransaction: 1,
    nextPosition: 1,
    rows: [],
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
    const open = { transaction: this.#contents.nextTransaction++, position: undefined };
    this.#open.add(open);
    return open;
  }

  insert(open: Open): void {
    open.position = this.#contents.nextPosition++;
  }

  /** Tokens that died with it; undefined: a restore came in between, and the transaction is gone. */
  commit(open: Open, row: Omit<Row, 'position' | 'cursor'>, nowMs: number): Truth[] | undefined {
    if (!this.#open.delete(open) || open.position === undefined) return undefined;
    const { rows, issued, dead } = this.#contents;
    const cursor = this.#reading === 'sequence' ? open.position : open.transaction;
    const committed = { ...row, position: open.position, cursor };
    rows.push(committed);
    const killed = [...issued.values()].filter((token) => kills(committed, token) && !dead.has(token.jti));
    for (const token of killed) {
      dead.set(token.jti, row.kind === 'superseded' ? 'superseded' : 'revoked');
      token.deadAtMs = Math.min(token.deadAtMs, nowMs);
    }
    return killed;
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
    const newest = Math.max(0, ...contents.rows.map(({ position }) => position));
    const isSwept = (row: Row) => row.atMs < beforeMs && row.position < newest;
    for (const row of contents.rows) {
      if (isSwept(row)) contents.sweptUpTo = Math.max(contents.sweptUpTo, row.cursor);
    }
    contents.rows = contents.rows.filter((row) => !isSwept(row));
  }

  // Copies

  copy(): Contents {
    const { rows, issued, dead, ...rest } = this.#contents;
    // Numbers of transactions that were open are given again: what they would have written is not in the copy.
    const nextTransaction = this.#oldestOpen();
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

  state(): LogState {
    const { epoch, rows } = this.#contents;
    const head = this.#reading === 'sequence' ? highest(rows, this.#contents.sweptUpTo) : this.#oldestOpen() - 1;
    return { epoch, head };
  }

  /** `atMost`: a page shorter than what there is. */
  read(after: number, atMost: number): LogRead {
    const { rows, sweptUpTo } = this.#contents;
    const visible = rows.filter(({ cursor }) => cursor > after);
    visible.sort((left, right) => left.cursor - right.cursor || left.position - right.position);
    const page = visible.slice(0, atMost);
    const isComplete = page.length === visible.length;
    const { head } = this.state();
    const cursor = isComplete ? head : Math.min(page.at(-1)?.cursor ?? after, head);
    return { state: this.state(), rows: page, cursor: Math.max(cursor, after), isComplete, sweptUpTo };
  }

  verdict(jti: string, nowMs: number): Verdict {
    const { issued, dead } = this.#contents;
    const token = issued.get(jti);
    if (!token) return 'unknown';
    const verdict = dead.get(jti);
    if (verdict) return verdict;
    return token.expiresAtMs <= nowMs ? 'expired' : 'live';
  }

  #oldestOpen(): number {
    let oldest = this.#contents.nextTransaction;
    for (const { transaction } of this.#open) oldest = Math.min(oldest, transaction);
    return oldest;
  }
}

function highest(rows: readonly Row[], sweptUpTo: number): number {
  return Math.max(sweptUpTo, ...rows.map(({ position }) => position));
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
