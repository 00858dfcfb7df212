/**
 * What became of a commit whose answer was lost with its connection (docs/decisions/0017).
 *
 *     the backend is told to end, and is waited for → what it left is asked for → committed | not committed
 *
 * Only then is the answer final: a backend that still runs could commit after it was asked. Everything is bounded; what cannot be
 * found out in time is said to be unknown, never guessed.
 */
import type { Stopwatch } from '../../world/stopwatch.ts';
import { afterMs } from '../../world/turn.ts';
import { StoreUnavailable } from '../errors.ts';
import type { BackendIdentity, Connection } from './connection.ts';
import type { Connections } from './connections.ts';
import type { Footprint } from './footprints.ts';

/** A server that restarts is back within this, or its requests are given up. Whoever waits holds a request open. */
export const RESOLVE_WITHIN_MS = 15_000;

/** Between two looks. */
const LOOK_EVERY_MS = 50;

export class Resolving {
  readonly #connections: Connections;
  readonly #stopwatch: Stopwatch;

  constructor({ connections, stopwatch }: { connections: Connections; stopwatch: Stopwatch }) {
    this.#connections = connections;
    this.#stopwatch = stopwatch;
  }

  /** Whether the commit that was sent to `backend` is in force. @throws StoreUnavailable where that cannot be found out in time */
  async isCommitted(backend: BackendIdentity, footprint: Footprint): Promise<boolean> {
    const untilMs = this.#stopwatch.monotonicMs() + RESOLVE_WITHIN_MS;
    let cause: unknown;
    while (this.#stopwatch.monotonicMs() < untilMs) {
      try {
        const found = await this.#connections.use((connection) => look(connection, backend, footprint));
        if (found !== undefined) return found;
      } catch (error) {
        // Most likely the server is away still. It is asked again until the time is over.
        cause = error;
      }
      await new Promise<void>((resolve) => void afterMs(LOOK_EVERY_MS, resolve));
    }
    throw unknownEnd({ cause });
  }
}

/** Whoever sees this must look before doing the same again. */
export function unknownEnd(options?: { cause: unknown }): StoreUnavailable {
  return new StoreUnavailable(
    'Writing: the connection was lost while the commit was under way, and it is unknown whether it is in force.',
    options,
  );
}

/** Undefined: not decided yet. */
async function look(
  connection: Connection,
  backend: BackendIdentity,
  { text, values }: Footprint,
): Promise<boolean | undefined> {
  const still = await connection.run(
    `SELECT pg_terminate_backend(pid) AS told FROM pg_stat_activity
     WHERE pid = $1 AND backend_start = $2::timestamptz AND pid <> pg_backend_pid()`,
    [backend.processId, backend.startedAt],
  );
  if (still.rows.length > 0) return undefined;
  return (await connection.run(text, values)).rows.length > 0;
}
