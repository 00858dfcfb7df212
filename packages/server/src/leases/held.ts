/**
 * What a job writes through while its node holds its lease: every write and every act asks in its own commit whether the lease is
 * still this one. A step that was suspended, cut off or slow cannot write over its successor, however late it wakes.
 */
import {
  type Act,
  type ActOutcome,
  joinedActs,
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

  /** As the store's. @throws LeaseLost */
  async write<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const { text, values } = this.#guard;
    return this.#store.write(async (tx) => {
      if ((await tx.run(text, ...values)) !== 1) throw new LeaseLost(this.name);
      return work(tx);
    });
  }

  /** As the store's. @throws LeaseLost */
  async commit(act: Act): Promise<ActOutcome> {
    const outcome = await this.#store.commit(joinedActs({ steps: [this.#guard] }, act));
    if (outcome.kind === 'refused' && outcome.why === WHY) throw new LeaseLost(this.name);
    return outcome;
  }
}
