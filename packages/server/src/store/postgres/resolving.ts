/**
 * What became of a commit whose answer was lost with its connection (docs/decisions/0017).
 *
 *     the backend is told to end, and is waited for → what it left is asked for → committed: a later commit is acknowledged | not committed
 *
 * Only then is the answer final: a backend that still runs could commit after it was asked, and one that was ended while it waited for a
 * synchronous standby has committed where it ran and nowhere else. Everything is bounded; what cannot be found out in time is said to be
 * unknown, never guessed.
 */
import type { Stopwatch } from '../../world/stopwatch.ts';
import { afterMs } from '../../world/turn.ts';
import { StoreUnavailable } from '../errors.ts';
import type { BackendIdentity, Connection } from './connection.ts';
import type { Connections } from './connections.ts';
import { Unreplicated } from './failures.ts';
import type { Footprint } from './footprints.ts';

/** A server that restarts is back within this, or its requests are given up. Whoever waits holds a request open. */
export const RESOLVE_WITHIN_MS = 15_000;

/** A standby that is there acknowledges within milliseconds. One that is away keeps whoever waits for it for ever. */
export const ACKNOWLEDGED_WITHIN_MS = 3_000;

/** Between two looks. */
const LOOK_EVERY_MS = 50;

export class Resolving {
  readonly #connections: Connections;
  readonly #stopwatch: Stopwatch;

  constructor({ connections, stopwatch }: { connections: Connections; stopwatch: Stopwatch }) {
    this.#connections = connections;
    this.#stopwatch = stopwatch;
  }

  /**
   * Whether the commit that was sent to `backend` is in force, and as durable as the operator wants it.
   * @throws StoreUnavailable where that cannot be found out in time, or a synchronous standby does not acknowledge it
   */
  async isCommitted(backend: BackendIdentity, footprint: Footprint): Promise<boolean> {
    const untilMs = this.#stopwatch.monotonicMs() + RESOLVE_WITHIN_MS;
    let cause: unknown;
    while (this.#stopwatch.monotonicMs() < untilMs) {
      try {
        const found = await this.#connections.use((connection) => look(connection, backend, footprint));
        if (found === true) await this.#requireAcknowledged();
        if (found !== undefined) return found;
      } catch (error) {
        if (error instanceof Unreplicated) throw unacknowledged({ cause: error });
        // Most likely the server is away still. It is asked again until the time is over.
        cause = error;
      }
      await new Promise<void>((resolve) => void afterMs(LOOK_EVERY_MS, resolve));
    }
    throw unknownEnd({ cause });
  }

  /**
   * What is in force here was not acknowledged by anybody yet. The log is written and sent in order, so the acknowledgement of a later
   * commit covers it: one is made, of a record that means nothing.
   * @throws Unreplicated
   */
  async #requireAcknowledged(): Promise<void> {
    let waiting: BackendIdentity | undefined;
    try {
      await this.#connections.use((connection) => {
        waiting = connection.identity;
        const committing = connection.run("SELECT pg_logical_emit_message(true, 'countersign', '')::text AS at", []);
        return acknowledgedInTime(connection, committing);
      });
    } catch (error) {
      if (waiting) await this.end(waiting);
      throw error;
    }
  }

  /**
   * Tells a backend to end that nobody listens to any more: one that waits for a standby would wait on, and hold rows and one of the server's
   * connections. Never rejects.
   */
  async end(backend: BackendIdentity): Promise<void> {
    try {
      await this.#connections.use((connection) => isEnding(connection, backend));
    } catch {
      // Then it ends when its standby comes back, or with its server.
    }
  }
}

async function acknowledgedInTime(connection: Connection, committing: Promise<unknown>): Promise<void> {
  let cancel = (): void => {};
  const limit = new Promise<never>((_, reject) => {
    cancel = afterMs(ACKNOWLEDGED_WITHIN_MS, () => {
      connection.isLost = true;
      reject(new Unreplicated());
    });
  });
  try {
    await Promise.race([committing, limit]);
  } finally {
    cancel();
  }
}

/** Whoever sees this must look before doing the same again. */
export function unknownEnd(options?: { cause: unknown }): StoreUnavailable {
  return new StoreUnavailable(
    'Writing: the connection was lost while the commit was under way, and it is unknown whether it is in force.',
    options,
  );
}

function unacknowledged(options: { cause: unknown }): StoreUnavailable {
  return new StoreUnavailable(
    'Writing: the commit is in force at the primary, and no synchronous standby acknowledged it in time; it is unknown whether it would ' +
      'outlive a failover. Look at the standby.',
    options,
  );
}

/** Tells a backend to end. False: there is none. */
async function isEnding(connection: Connection, backend: BackendIdentity): Promise<boolean> {
  const still = await connection.run(
    `SELECT pg_terminate_backend(pid) AS told FROM pg_stat_activity
     WHERE pid = $1 AND backend_start = $2::timestamptz AND pid <> pg_backend_pid()`,
    [backend.processId, backend.startedAt],
  );
  return still.rows.length > 0;
}

/** Undefined: not decided yet. */
async function look(
  connection: Connection,
  backend: BackendIdentity,
  { text, values }: Footprint,
): Promise<boolean | undefined> {
  if (await isEnding(connection, backend)) return undefined;
  return (await connection.run(text, values)).rows.length > 0;
}
