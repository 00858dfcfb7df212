/**
 * Gives a prepared statement back. Unlike DEALLOCATE, it is no error where the server never parsed it, nor within a transaction that
 * failed.
 */
import type pg from 'pg';

export class Closing implements pg.Submittable {
  /** `pg` wraps it, to stop the clock of its timeout. */
  callback: (error: Error | null) => void;
  readonly #name: string;

  /** `answered` hears of the end once, or of a timeout. */
  constructor(name: string, answered: (error: Error | null) => void) {
    this.#name = name;
    this.callback = answered;
  }

  submit(connection: pg.Connection): void {
    connection.stream.cork();
    connection.close({ type: 'S', name: this.#name }, true);
    connection.sync();
    connection.stream.uncork();
  }

  handleError(error: Error): void {
    this.callback(error);
  }

  handleReadyForQuery(): void {
    this.callback(null);
  }
}
