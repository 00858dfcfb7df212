/**
 * Group commit: writes that arrive within one turn of the event loop share one transaction and one sync of the disk, each in a
 * savepoint of its own.
 *
 *   write() → waiting → BEGIN IMMEDIATE → (SAVEPOINT, work, RELEASE or ROLLBACK TO) … → journal → COMMIT → after-commits →
 *   all are answered
 *
 * A work that throws takes only itself back. Whatever fails for the batch as a whole (BEGIN, a savepoint, the journal, COMMIT)
 * refuses all of it, also the works that had thrown: they may have decided on rows that are now gone.
 * docs/decisions/0002 says why this runs on the event loop's own thread.
 */
import { afterMs, nextTurn } from '../world/turn.ts';
import { doStepByStep } from './acts.ts';
import { StoreUnavailable } from './errors.ts';
import type { SqliteHandle } from './handle.ts';
import type { Journal } from './journal.ts';
import type { Act, ActOutcome, JournalEntry, SqlValue, Transaction } from './store.ts';

/**
 * Works in one commit. Far past the size where sharing a sync gains anything; it bounds how long the event loop is held (a
 * rotation takes about 50 µs) and how many requests one failed commit refuses.
 */
export const MAX_BATCH = 256;

/** Works waiting for their turn. More means that the disk does not keep up; refusing at once beats answering too late. */
export const MAX_WAITING = 10_000;

/**
 * How long one work may hold the writer. A work that awaits only its transaction is done within its turn and never sees this;
 * one that awaits anything else would hold up every other write.
 */
export const MAX_WORK_MS = 1000;

export type Work<T> = (tx: Transaction) => Promise<T>;

interface Waiting {
  readonly work: Work<unknown>;
  readonly fulfil: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** What one batch leaves behind when it commits. */
interface Aftermath {
  readonly entries: JournalEntry[];
  readonly afterCommit: (() => void)[];
}

type Outcome = { kind: 'done'; value: unknown } | { kind: 'threw'; error: unknown };

export class GroupCommit {
  readonly #writer: SqliteHandle;
  readonly #journal: Journal;
  readonly #maxWorkMs: number;
  readonly #waiting: Waiting[] = [];
  /** Set when the disk refused a write; whoever sees that it takes them again sets it back. */
  isRefused = false;
  #scheduled = false;
  #closed = false;
  #whenIdle: (() => void)[] = [];
  #commits = 0;
  #writes = 0;

  constructor({ writer, journal, maxWorkMs }: { writer: SqliteHandle; journal: Journal; maxWorkMs: number }) {
    this.#writer = writer;
    this.#journal = journal;
    this.#maxWorkMs = maxWorkMs;
  }

  /** Commits made and works in them, since the store was opened. */
  get counts(): { commits: number; writes: number } {
    return { commits: this.#commits, writes: this.#writes };
  }

  write<T>(work: Work<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new StoreUnavailable('Writing: the store is closed.'));
    if (this.#waiting.length >= MAX_WAITING) {
      return Promise.reject(
        new StoreUnavailable('Writing: too many writes are waiting for the disk. Try again later.'),
      );
    }
    const written = new Promise<unknown>((fulfil, reject) => {
      this.#waiting.push({ work, fulfil, reject });
      this.#schedule();
    });
    // The promise is fulfilled with what `work` returned, a T, and with nothing else.
    return written as Promise<T>;
  }

  commit(act: Act): Promise<ActOutcome> {
    return this.write((tx) => tx.do(act));
  }

  /** Takes no more writes; resolves when those already taken are answered. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#scheduled) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    nextTurn(() => void this.#flush());
  }

  async #flush(): Promise<void> {
    const batch = this.#waiting.splice(0, MAX_BATCH);
    const answers = await this.#commitTogether(batch);
    this.#scheduled = false;
    if (this.#waiting.length > 0) this.#schedule();
    for (const answer of answers) answer();
    if (!this.#scheduled) for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Never rejects: what it returns answers each work of the batch, which grows by what arrives meanwhile. */
  async #commitTogether(batch: Waiting[]): Promise<(() => void)[]> {
    const aftermath: Aftermath = { entries: [], afterCommit: [] };
    const outcomes: (() => void)[] = [];
    try {
      this.#control('BEGIN IMMEDIATE');
      for (let index = 0; index < batch.length; index += 1) {
        const waiting = batch[index];
        if (waiting === undefined) break;
        const outcome = await this.#runWork(waiting.work, aftermath);
        outcomes.push(() => (outcome.kind === 'done' ? waiting.fulfil(outcome.value) : waiting.reject(outcome.error)));
        batch.push(...this.#waiting.splice(0, MAX_BATCH - batch.length));
      }
      this.#commit(aftermath.entries);
    } catch (cause) {
      this.isRefused = true;
      this.#rollBack();
      const message = 'Writing: the commit was refused by the database or its disk, and nothing of it is in force.';
      return batch.map((waiting) => () => waiting.reject(new StoreUnavailable(message, { cause })));
    }
    this.#commits += 1;
    this.#writes += batch.length;
    for (const work of aftermath.afterCommit) runHarmlessly(work);
    return outcomes;
  }

  #commit(entries: readonly JournalEntry[]): void {
    const takeBack = this.#journal.append(entries);
    try {
      this.#control('COMMIT');
    } catch (error) {
      // Only while the transaction still stands is it sure that it did not become durable, and that nobody else appends.
      if (this.#writer.database.isTransaction) takeBack();
      throw error;
    }
  }

  #rollBack(): void {
    try {
      if (this.#writer.database.isTransaction) this.#control('ROLLBACK');
    } catch {
      // The next BEGIN fails on the transaction that still stands and refuses its batch: never a write outside of one.
    }
  }

  /** Throws only what concerns the whole batch. */
  async #runWork(work: Work<unknown>, aftermath: Aftermath): Promise<Outcome> {
    this.#control('SAVEPOINT work');
    const transaction = new WorkTransaction(this.#writer);
    let outcome: Outcome;
    try {
      outcome = { kind: 'done', value: await this.#withinLimit(work(transaction)) };
    } catch (error) {
      if (error instanceof StoreUnavailable) this.isRefused = true;
      outcome = { kind: 'threw', error };
    }
    const own = transaction.end();
    // Both throw when the savepoint is gone: a full disk rolled everything back by itself, or the work said COMMIT.
    if (outcome.kind === 'threw') this.#control('ROLLBACK TO work');
    this.#control('RELEASE work');
    if (outcome.kind === 'done') {
      aftermath.entries.push(...own.entries);
      aftermath.afterCommit.push(...own.afterCommit);
    }
    return outcome;
  }

  async #withinLimit(working: Promise<unknown>): Promise<unknown> {
    let cancel = (): void => {};
    const limit = new Promise<never>((_, reject) => {
      cancel = afterMs(this.#maxWorkMs, () =>
        reject(
          new Error('Writing: a work did not settle in time and was taken back. It may await only its transaction.'),
        ),
      );
    });
    try {
      return await Promise.race([working, limit]);
    } finally {
      cancel();
    }
  }

  #control(text: string): void {
    this.#writer.run(text, []);
  }
}

function runHarmlessly(work: () => void): void {
  try {
    work();
  } catch {
    // The commit is durable and must be answered as such.
  }
}

/** What one work sees of the batch. Ends with the work: a use after that would land in somebody else's savepoint. */
class WorkTransaction implements Transaction {
  readonly #writer: SqliteHandle;
  readonly #aftermath: Aftermath = { entries: [], afterCommit: [] };
  #ended = false;

  constructor(writer: SqliteHandle) {
    this.#writer = writer;
  }

  async all<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row[]> {
    // The caller's claim about the constant text beside it, as in every `table.ts`.
    return this.#use().all(text, values) as Row[];
  }

  async get<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row | undefined> {
    // As above.
    return this.#use().get(text, values) as Row | undefined;
  }

  async run(text: string, ...values: SqlValue[]): Promise<number> {
    return this.#use().run(text, values);
  }

  journal(entry: JournalEntry): void {
    this.#use();
    this.#aftermath.entries.push(entry);
  }

  afterCommit(work: () => void): void {
    this.#use();
    this.#aftermath.afterCommit.push(work);
  }

  async do(act: Act): Promise<ActOutcome> {
    this.#use().run('SAVEPOINT act', []);
    try {
      const outcome = await doStepByStep(this, act.steps);
      if (outcome.kind === 'refused') this.#use().run('ROLLBACK TO act', []);
      this.#use().run('RELEASE act', []);
      if (outcome.kind === 'refused') return outcome;
    } catch (error) {
      // Whoever catches it must not find half of the act done. Where the batch is lost, so is the act.
      if (this.#writer.database.isTransaction) {
        this.#writer.run('ROLLBACK TO act', []);
        this.#writer.run('RELEASE act', []);
      }
      throw error;
    }
    this.#aftermath.entries.push(...(act.journal ?? []));
    this.#aftermath.afterCommit.push(...(act.afterCommit ?? []));
    return { kind: 'done' };
  }

  end(): Aftermath {
    this.#ended = true;
    return this.#aftermath;
  }

  #use(): SqliteHandle {
    if (this.#ended)
      throw new Error('Using a transaction: it ended with the work it was given to. Await everything in it.');
    // Without its transaction a statement would commit by itself, unseen by the batch.
    if (!this.#writer.database.isTransaction)
      throw new Error('Using a transaction: the batch it belongs to has failed.');
    return this.#writer;
  }
}
