import { StoreUnavailable } from '../errors.ts';

/** Counts what is under way, so that closing can wait for it and refuse the rest. */
export class Busy {
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  async with<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new StoreUnavailable('Using the store: it is closed.');
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running);
  }
}
