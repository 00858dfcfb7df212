/** Acts: one prepared statement, one round trip, committed by itself. */
import type { Random } from '../../world/random.ts';
import type { Stopwatch } from '../../world/stopwatch.ts';
import type { Act, ActOutcome } from '../store.ts';
import type { ActStatement, ActStatements } from './act-statement.ts';
import { type Attempt, attempts } from './attempts.ts';
import { Busy } from './busy.ts';
import type { BackendIdentity } from './connection.ts';
import type { Connections } from './connections.ts';
import { ActRefused, ConnectionLost, Overtaken } from './failures.ts';
import { type Recording, runHarmlessly } from './recording.ts';
import { type Resolving, unknownEnd } from './resolving.ts';

/** It was sent, and its answer did not come. */
interface Doubtful {
  readonly kind: 'doubtful';
  readonly backend: BackendIdentity;
  readonly because: Error;
}

export class Acts {
  readonly #connections: Connections;
  readonly #recording: Recording;
  readonly #resolving: Resolving;
  readonly #random: Random;
  readonly #stopwatch: Stopwatch;
  readonly #statements: ActStatements;
  readonly #busy = new Busy();

  constructor(given: {
    connections: Connections;
    recording: Recording;
    resolving: Resolving;
    random: Random;
    stopwatch: Stopwatch;
    statements: ActStatements;
  }) {
    this.#connections = given.connections;
    this.#recording = given.recording;
    this.#resolving = given.resolving;
    this.#random = given.random;
    this.#stopwatch = given.stopwatch;
    this.#statements = given.statements;
  }

  commit(act: Act): Promise<ActOutcome> {
    return this.#busy.with(() => this.#commit(act));
  }

  /** Takes no more; fulfils when those taken are answered. */
  close(): Promise<void> {
    return this.#busy.close();
  }

  async #commit(act: Act): Promise<ActOutcome> {
    const statement = this.#statements.of(act);
    const takeBack = await this.#recording.before(act.journal ?? []);
    const outcome: ActOutcome = statement ? await this.#send(act, statement) : { kind: 'done' };
    if (outcome.kind === 'refused') {
      takeBack();
      return outcome;
    }
    await this.#recording.after(act.journal ?? []);
    for (const work of act.afterCommit ?? []) runHarmlessly(work);
    return outcome;
  }

  #send(act: Act, statement: ActStatement): Promise<ActOutcome> {
    const world = { random: this.#random, stopwatch: this.#stopwatch };
    return attempts<ActOutcome>(world, async () => {
      const end = await this.#attempt(statement);
      if (end.kind !== 'doubtful') return end;
      // The connection was given back: finding out needs one.
      if (act.footprint === undefined) {
        void this.#resolving.end(end.backend);
        throw unknownEnd({ cause: end.because });
      }
      const { footprint } = act;
      if (await this.#resolving.isCommitted(end.backend, footprint)) {
        return { kind: 'ended', value: { kind: 'done' } };
      }
      return { kind: 'again', because: end.because };
    });
  }

  #attempt({ text, values, conditions }: ActStatement): Promise<Attempt<ActOutcome> | Doubtful> {
    return this.#connections.use(async (connection) => {
      try {
        await connection.change(text, values);
        return { kind: 'ended', value: { kind: 'done' } };
      } catch (error) {
        if (error instanceof ActRefused) {
          const why = conditions[error.step]?.must?.why ?? '';
          return { kind: 'ended', value: { kind: 'refused', why } };
        }
        if (error instanceof Overtaken) {
          if (error.needsNewConnection) connection.isLost = true;
          return { kind: 'again', because: error };
        }
        if (!(error instanceof ConnectionLost)) throw error;
        if (!error.wasSent) return { kind: 'again', because: error };
        return { kind: 'doubtful', backend: connection.identity, because: error };
      }
    });
  }
}
