/**
 * What a job writes through while its node holds its lease: every write and every act asks in its own commit whether the lease is
 * still this one. A step that was suspended, cut off or slow cannot write over its successor, however late it wakes.
 */
import {
  type Act,
  type ActOutcome,
  type JournalEntry,
  joinedActs,
  type SqlValue,
  type Step,
  type Store,
  type Transaction,
  type Writes,
} from '../store/store.ts';
import { guarding } from './table.ts';

/** The lease is not this node's any more. Ends the job's step; nothing of the write is in force. */
export class LeaseLost extends Error {
  constructor(name: string) {
    super(`Writing for the job ${name}: another node has its lease, and nothing of this write is in force.`);
    this.name = 'LeaseLost';
  }
}

const WHY = 'lease_lost';

export class Held implements Writes {
  readonly name: string;
  /** The fencing number: rises whenever the holder changes. */
  readonly number: number;
  readonly #store: Store;
  readonly #guard: Step;
  readonly #isInDate: () => boolean;
  #isOver = false;

  constructor(given: { name: string; number: number; node: string; store: Store; isInDate: () => boolean }) {
    this.name = given.name;
    this.number = given.number;
    this.#store = given.store;
    this.#guard = guarding({ ...given, why: WHY });
    this.#isInDate = given.isInDate;
  }

  /**
   * Whether this node may act for the job, as far as it can know without asking the store: to be asked before each effect that no
   * commit can take back, such as a mail. Writes need not ask; the store does.
   */
  isHeld(): boolean {
    return !this.#isOver && this.#isInDate();
  }

  /** The lease was given back or lost. */
  end(): void {
    this.#isOver = true;
  }

  /**
   * As the store's. The lease is asked last, and only of a work that changed something: most steps find nothing to do, and the lease's
   * row is written by asking. @throws LeaseLost
   */
  async write<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const { text, values } = this.#guard;
    return this.#store.write(async (tx) => {
      const watched = new WatchedTransaction(tx);
      const value = await work(watched);
      if (watched.hasChanged && (await tx.run(text, ...values)) !== 1) throw new LeaseLost(this.name);
      return value;
    });
  }

  /** As the store's. @throws LeaseLost */
  async commit(act: Act): Promise<ActOutcome> {
    const outcome = await this.#store.commit(joinedActs({ steps: [this.#guard] }, act));
    if (outcome.kind === 'refused' && outcome.why === WHY) throw new LeaseLost(this.name);
    return outcome;
  }
}

/** Notices whether anything was changed. */
class WatchedTransaction implements Transaction {
  readonly #tx: Transaction;
  hasChanged = false;

  constructor(tx: Transaction) {
    this.#tx = tx;
  }

  async all<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row[]> {
    const rows = await this.#tx.all<Row>(text, ...values);
    if (rows.length > 0 && !text.startsWith('SELECT')) this.hasChanged = true;
    return rows;
  }

  async get<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row | undefined> {
    const row = await this.#tx.get<Row>(text, ...values);
    if (row !== undefined && !text.startsWith('SELECT')) this.hasChanged = true;
    return row;
  }

  async run(text: string, ...values: SqlValue[]): Promise<number> {
    const changed = await this.#tx.run(text, ...values);
    if (changed > 0) this.hasChanged = true;
    return changed;
  }

  journal(entry: JournalEntry): void {
    this.hasChanged = true;
    this.#tx.journal(entry);
  }

  afterCommit(work: () => void): void {
    this.#tx.afterCommit(work);
  }

  async do(act: Act): Promise<ActOutcome> {
    const outcome = await this.#tx.do(act);
    if (outcome.kind === 'done') this.hasChanged = true;
    return outcome;
  }
}
