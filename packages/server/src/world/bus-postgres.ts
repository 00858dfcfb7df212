import { Client, type ClientConfig } from 'pg';
import { type Bus, BusUnavailable } from './bus.ts';
import { afterMs } from './turn.ts';

/** Of one database: PostgreSQL keeps the channels of its databases apart. */
const CHANNEL = 'countersign_wake_up';
/** A server that has not answered by then is asked again, later. */
const CONNECT_TIMEOUT_MS = 5_000;
/** A notification is a commit without a write: one that takes so long finds nobody. */
const ANSWER_TIMEOUT_MS = 5_000;
const FAREWELL_MS = 1_000;
/** Who only listens learns of a dead peer by this alone. */
const KEEP_ALIVE_AFTER_MS = 10_000;

/**
 * LISTEN and NOTIFY on a connection of their own, which every node keeps. Not in the transactions that write: PostgreSQL makes all
 * commits that notify wait for one lock, from their notice to their end. `connection`: to the server itself; a pooler that hands out
 * connections by transaction forgets who listens.
 */
export function postgresBus(connection: ClientConfig): Bus {
  return {
    async connect({ heard, lost }) {
      const client = new Client({
        ...connection,
        connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
        query_timeout: ANSWER_TIMEOUT_MS,
        keepAlive: true,
        keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
        application_name: 'countersign wake-ups',
      });
      let state: 'opening' | 'open' | 'over' = 'opening';
      let ownProcessId: number | undefined;
      const end = () => {
        if (state === 'open') lost();
        state = 'over';
        client.end().catch(() => {}); // it is over in any case
      };
      client.on('error', end);
      client.on('end', end);
      client.on('notification', ({ processId }) => {
        if (state !== 'over' && processId !== ownProcessId) heard();
      });
      try {
        await client.connect();
        // Nobody waits for what a notification would leave on the disk.
        await client.query('SET synchronous_commit = off');
        const { rows } = await client.query<{ process_id: number }>('SELECT pg_backend_pid() AS process_id');
        ownProcessId = rows[0]?.process_id;
        await client.query(`LISTEN ${CHANNEL}`);
      } catch (error) {
        end();
        throw new BusUnavailable('Listening for other nodes at PostgreSQL', error);
      }
      state = 'open';
      return {
        async speak() {
          try {
            await client.query(`NOTIFY ${CHANNEL}`);
          } catch (error) {
            end();
            throw new BusUnavailable('Waking other nodes by PostgreSQL', error);
          }
        },
        async close() {
          if (state === 'over') return;
          state = 'over';
          // A peer that is gone does not answer the farewell.
          await Promise.race([
            client.end().catch(() => {}),
            new Promise<void>((resolve) => afterMs(FAREWELL_MS, resolve)),
          ]);
        },
      };
    },
  };
}
