/** What one attempt of a work sees: its transaction on its connection. Ends with the work. */
import type { Act, ActOutcome, JournalEntry, Sql, SqlValue, Transaction } from '../store.ts';
import type { ActStatements } from './act-statement.ts';
import type { Answer, Connection } from './connection.ts';
import { ActRefused, ConnectionLost, Overtaken } from './failures.ts';

/** What an attempt leaves behind if it commits. */
export interface Aftermath {
  readonly entries: JournalEntry[];
  readonly afterCommit: (() => void)[];
}

export class PostgresTransaction implements Transaction {
  readonly #connection: Connection;
  readonly #statements: ActStatements;
  readonly #aftermath: Aftermath = { entries: [], afterCommit: [] };
  /** A work may start several statements at once; a connection carries one at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #ended = false;
  /** Something was sent that may have changed rows: then its end must be known for sure. */
  mayHaveWritten = false;
  /**
   * Somebody else committed first, or the connection broke before COMMIT: nothing of this attempt is or will be in force, whatever the
   * work makes of the error, and it may be made again.
   */
  failure: Overtaken | ConnectionLost | undefined;

  constructor(connection: Connection, statements: ActStatements) {
    this.#connection = connection;
    this.#statements = statements;
  }

  async all<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row[]> {
    // The caller's claim about the constant text beside it, as in every `table.ts`.
    return (await this.#run(text, values)).rows as Row[];
  }

  async get<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row | undefined> {
    // As above.
    return (await this.#run(text, values)).rows[0] as Row | undefined;
  }

  async run(text: string, ...values: SqlValue[]): Promise<number> {
    return (await this.#run(text, values)).count;
  }

  journal(entry: JournalEntry): void {
    this.#mustNotHaveEnded();
    this.#aftermath.entries.push(entry);
  }

  afterCommit(work: () => void): void {
    this.#mustNotHaveEnded();
    this.#aftermath.afterCommit.push(work);
  }

  async do(act: Act): Promise<ActOutcome> {
    const statement = this.#statements.of(act);
    if (statement !== undefined) {
      const { text, values, conditions } = statement;
      this.mayHaveWritten = true;
      const refused = await this.#queue(async () => {
        await this.#connection.control('SAVEPOINT act');
        try {
          await this.#connection.change(text, values);
        } catch (error) {
          if (error instanceof ConnectionLost) throw error;
          await this.#connection.control('ROLLBACK TO act; RELEASE act');
          if (error instanceof ActRefused) return conditions[error.step]?.must?.why;
          throw error;
        }
        await this.#connection.control('RELEASE act');
        return undefined;
      });
      if (refused !== undefined) return { kind: 'refused', why: refused };
    }
    this.#aftermath.entries.push(...(act.journal ?? []));
    this.#aftermath.afterCommit.push(...(act.afterCommit ?? []));
    return { kind: 'done' };
  }

  /** No statement is taken any more; fulfils when those that were are answered. What they failed with was the work's to see. */
  async end(): Promise<Aftermath> {
    this.#ended = true;
    await this.#last.catch(() => {});
    return this.#aftermath;
  }

  #run(text: string, values: readonly SqlValue[]): Promise<Answer> {
    if (!text.startsWith('SELECT')) this.mayHaveWritten = true;
    return this.#queue(() => this.#connection.run(text, values));
  }

  async #queue<T>(statement: () => Promise<T>): Promise<T> {
    this.#mustNotHaveEnded();
    const running = this.#last.catch(() => {}).then(statement);
    this.#last = running;
    try {
      return await running;
    } catch (error) {
      if (error instanceof Overtaken || error instanceof ConnectionLost) this.failure ??= error;
      throw error;
    }
  }

  #mustNotHaveEnded(): void {
    if (this.#ended)
      throw new Error('Using a transaction: it ended with the work it was given to. Await everything in it.');
  }
}

/** Reads, each on whichever connection is free. */
export class PooledSql implements Sql {
  readonly #run: (text: string, values: readonly SqlValue[]) => Promise<Answer>;

  constructor(run: (text: string, values: readonly SqlValue[]) => Promise<Answer>) {
    this.#run = run;
  }

  async all<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row[]> {
    // The caller's claim about the constant text beside it, as in every `table.ts`.
    return (await this.#run(text, values)).rows as Row[];
  }

  async get<Row extends object>(text: string, ...values: SqlValue[]): Promise<Row | undefined> {
    // As above.
    return (await this.#run(text, values)).rows[0] as Row | undefined;
  }
}
