/** Works: transactions of several statements, serializable, made again where somebody else came first. */
import type { Random } from '../../world/random.ts';
import type { Stopwatch } from '../../world/stopwatch.ts';
import { afterMs } from '../../world/turn.ts';
import type { Transaction } from '../store.ts';
import type { ActStatements } from './act-statement.ts';
import { type Attempt, attempts } from './attempts.ts';
import { Busy } from './busy.ts';
import type { BackendIdentity, Connection } from './connection.ts';
import type { Connections } from './connections.ts';
import { ConnectionLost, Overtaken } from './failures.ts';
import { type Footprint, leaveFootprint } from './footprints.ts';
import { type Recording, runHarmlessly } from './recording.ts';
import type { Resolving } from './resolving.ts';
import { type Aftermath, PostgresTransaction } from './transaction.ts';

/**
 * How long one attempt of a work may hold its connection. It awaits only its statements, each some milliseconds; one that waits for
 * others' rows may take as long as a statement may.
 */
export const MAX_WORK_MS = 10_000;

type Work<T> = (tx: Transaction) => Promise<T>;

export class Works {
  readonly #connections: Connections;
  readonly #recording: Recording;
  readonly #resolving: Resolving;
  readonly #random: Random;
  readonly #stopwatch: Stopwatch;
  readonly #statements: ActStatements;
  readonly #maxWorkMs: number;
  readonly #busy = new Busy();

  constructor(given: {
    connections: Connections;
    recording: Recording;
    resolving: Resolving;
    random: Random;
    stopwatch: Stopwatch;
    statements: ActStatements;
    maxWorkMs?: number;
  }) {
    this.#connections = given.connections;
    this.#recording = given.recording;
    this.#resolving = given.resolving;
    this.#random = given.random;
    this.#stopwatch = given.stopwatch;
    this.#statements = given.statements;
    this.#maxWorkMs = given.maxWorkMs ?? MAX_WORK_MS;
  }

  write<T>(work: Work<T>): Promise<T> {
    const world = { random: this.#random, stopwatch: this.#stopwatch };
    return this.#busy.with(() => attempts(world, () => this.#attempt(work)));
  }

  /** Takes no more; fulfils when those taken are answered. */
  close(): Promise<void> {
    return this.#busy.close();
  }

  async #attempt<T>(work: Work<T>): Promise<Attempt<T>> {
    const end = await this.#connections.use((connection) => this.#within(connection, work));
    if (end.kind === 'again' || end.kind === 'ended') return end;
    // The connection broke under COMMIT. It was given back: finding out needs one.
    if (!(await this.#resolving.isCommitted(end.backend, end.footprint))) {
      end.takeBack();
      return { kind: 'again', because: end.because };
    }
    return { kind: 'ended', value: await this.#settle(end.aftermath, end.value) };
  }

  async #within<T>(connection: Connection, work: Work<T>): Promise<Attempt<T> | Doubtful<T>> {
    try {
      await connection.control('BEGIN ISOLATION LEVEL SERIALIZABLE');
    } catch (error) {
      // It broke while it was idle, and this is where that shows: after a restart of the database, or of a firewall.
      if (error instanceof ConnectionLost) return { kind: 'again', because: error };
      throw error;
    }
    const transaction = new PostgresTransaction(connection, this.#statements);
    const done = await this.#run(connection, transaction, work);
    if (done.kind === 'again') return done;
    const { aftermath, value } = done;
    let footprint: Footprint | undefined;
    let takeBack = (): void => {};
    try {
      if (transaction.mayHaveWritten) footprint = await leaveFootprint(connection, this.#random);
      takeBack = await this.#recording.before(aftermath.entries);
      await commit(connection);
    } catch (error) {
      const because = error instanceof Error ? error : new Error('Writing: the commit failed.');
      if (because instanceof ConnectionLost) {
        // Without one nothing was written: there is nothing to lose, nor to find.
        if (footprint === undefined) {
          takeBack();
          return { kind: 'again', because };
        }
        return { kind: 'doubtful', backend: connection.identity, footprint, because, takeBack, aftermath, value };
      }
      takeBack();
      // Of what was refused before COMMIT the transaction is open still.
      await rollBack(connection);
      if (because instanceof Overtaken) return { kind: 'again', because };
      throw error;
    }
    return { kind: 'ended', value: await this.#settle(aftermath, value) };
  }

  /** Runs the work. Whatever it did is taken back where it throws. */
  async #run<T>(
    connection: Connection,
    transaction: PostgresTransaction,
    work: Work<T>,
  ): Promise<{ kind: 'done'; value: T; aftermath: Aftermath } | { kind: 'again'; because: Error }> {
    try {
      const value = await this.#withinLimit(connection, work(transaction));
      const aftermath = await transaction.end();
      if (transaction.failure === undefined) return { kind: 'done', value, aftermath };
    } catch (error) {
      await transaction.end();
      if (transaction.failure === undefined) {
        await rollBack(connection);
        throw error;
      }
    }
    const because = transaction.failure;
    await rollBack(connection);
    if (because instanceof Overtaken && because.needsNewConnection) connection.isLost = true;
    return { kind: 'again', because };
  }

  async #withinLimit<T>(connection: Connection, working: Promise<T>): Promise<T> {
    let cancel = (): void => {};
    const limit = new Promise<never>((_, reject) => {
      cancel = afterMs(this.#maxWorkMs, () => {
        // Its statement may be under way still; the server takes the transaction back when it finds the connection closed.
        connection.isLost = true;
        reject(
          new Error('Writing: a work did not settle in time and was taken back. It may await only its transaction.'),
        );
      });
    });
    try {
      return await Promise.race([working, limit]);
    } finally {
      cancel();
    }
  }

  /** What is left to do once the commit is in force. */
  async #settle<T>(aftermath: Aftermath, value: T): Promise<T> {
    await this.#recording.after(aftermath.entries);
    for (const work of aftermath.afterCommit) runHarmlessly(work);
    return value;
  }
}

/** COMMIT was sent and its answer did not come. */
interface Doubtful<T> {
  readonly kind: 'doubtful';
  readonly backend: BackendIdentity;
  readonly footprint: Footprint;
  readonly because: Error;
  readonly takeBack: () => void;
  readonly aftermath: Aftermath;
  readonly value: T;
}

/** A transaction in which a statement failed ends as ROLLBACK, whatever is asked for. */
async function commit(connection: Connection): Promise<void> {
  const { command } = await connection.control('COMMIT');
  if (command !== 'COMMIT') {
    throw new Error('Writing: a statement of a work failed, and the work went on. Let what a statement throws end it.');
  }
}

/** A connection that cannot even do this is closed, and its transaction taken back with it. */
async function rollBack(connection: Connection): Promise<void> {
  try {
    if (!connection.isLost) await connection.control('ROLLBACK');
  } catch {
    connection.isLost = true;
  }
}
