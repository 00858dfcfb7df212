/**
 * A bounded number of connections, each handed to one holder at a time. Whoever waits for one waits for a bounded time, in a bounded
 * queue: a database that does not keep up is better told to callers at once than too late.
 */
import pg from 'pg';
import { readText } from '../../world/files.ts';
import { readPostgresAddress } from '../../world/postgres-address.ts';
import { StoreUnavailable } from '../errors.ts';
import { Busy } from './busy.ts';
import { type Connection, setUp } from './connection.ts';
import { connectingFailed } from './failures.ts';
import { COLUMN_TYPES } from './values.ts';

/** Works waiting for a connection, in each pool. A rotation takes some milliseconds, so that the last of these waits some seconds. */
export const MAX_WAITING = 4_000;

/** How long a work waits for a connection, a new one included. Past it, whoever asked has given up or will ask again. */
export const MAX_WAIT_MS = 5_000;

/** What one statement may take at the server: sweeps of a thousand rows take a hundredth of it. */
export const STATEMENT_TIMEOUT_MS = 5_000;

/** Waiting for somebody else's row. Below the above, so that the message says what it was. */
const LOCK_TIMEOUT_MS = 3_000;

/** The server ends a transaction whose node has fallen silent, so that the rows it holds are free again. */
const IDLE_IN_TRANSACTION_MS = 10_000;

/** A network that swallows everything is noticed by this much later, where the server's own timeouts cannot be heard. */
const UNHEARD_MS = 2_000;

/** The first probe of a silent line; a cut one is then noticed within minutes even where nothing is asked of it. */
const KEEP_ALIVE_MS = 10_000;

/** Connections that nothing needs are given back after so long. */
const IDLE_MS = 60_000;

/** Connections are renewed, so that what the server keeps for each (catalogues, plans) does not grow for ever, and nodes spread anew. */
const MAX_LIFETIME_SECONDS = 30 * 60;

export type ConnectionRole = 'writer' | 'reader';

const COMMON_SETTINGS: Readonly<Record<string, string>> = {
  lock_timeout: String(LOCK_TIMEOUT_MS),
  idle_in_transaction_session_timeout: String(IDLE_IN_TRANSACTION_MS),
  bytea_output: 'hex',
  // That a commit waits no longer for its standby is said in a warning (failures.ts), whatever the role's own setting leaves out.
  client_min_messages: 'warning',
};

const ROLE_SETTINGS: Readonly<Record<ConnectionRole, Readonly<Record<string, string>>>> = {
  // An act is one statement without BEGIN: it sees one moment, and is refused where that moment is over.
  writer: { default_transaction_isolation: 'repeatable read' },
  reader: { default_transaction_read_only: 'on' },
};

export interface DatabasePlace {
  /** See world/postgres-address.ts. */
  readonly url: string;
  /** A PEM file with the authority that the server's certificate is checked by. Default: those of the system. */
  readonly caFile?: string | undefined;
}

/** What the driver is given to reach a database. @throws TypeError for what is no URL of one */
export function clientConfig({ url, caFile }: DatabasePlace): pg.ClientConfig {
  const address = readPostgresAddress(url);
  if (address === undefined) throw new TypeError('Reading the URL of the database: it is none.');
  const { host, port, database, user, password, line } = address;
  const ca = caFile === undefined ? undefined : readText(caFile);
  return {
    ...{ host, port, database },
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    ssl: line === 'plain' ? false : ca === undefined ? {} : { ca },
    types: COLUMN_TYPES,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    application_name: 'countersign',
    connectionTimeoutMillis: MAX_WAIT_MS,
  };
}

export class Connections {
  readonly #pool: pg.Pool;
  readonly #known = new WeakMap<pg.ClientBase, Connection>();
  readonly #busy = new Busy();
  #ending: Promise<void> | undefined;

  /** `statementTimeoutMs`: default `STATEMENT_TIMEOUT_MS`. */
  constructor(given: { place: DatabasePlace; role: ConnectionRole; size: number; statementTimeoutMs?: number }) {
    const { place, role, size, statementTimeoutMs = STATEMENT_TIMEOUT_MS } = given;
    const settings = { statement_timeout: String(statementTimeoutMs), ...COMMON_SETTINGS, ...ROLE_SETTINGS[role] };
    this.#pool = new pg.Pool({
      ...clientConfig(place),
      max: size,
      query_timeout: statementTimeoutMs + UNHEARD_MS,
      idleTimeoutMillis: IDLE_MS,
      maxLifetimeSeconds: MAX_LIFETIME_SECONDS,
      onConnect: async (client) => void this.#known.set(client, await setUp(client, settings)),
    });
    // An idle connection that breaks is replaced when one is needed; without a listener it would end the process.
    this.#pool.on('error', () => {});
  }

  /** Lends a connection to `work`. One that was lost under it, or that `work` calls lost, is closed. */
  use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#busy.with(() => this.#use(work));
  }

  /** Lends no more; closes all when those lent were given back. */
  async close(): Promise<void> {
    await this.#busy.close();
    this.#ending ??= this.#pool.end();
    await this.#ending;
  }

  async #use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const { client, connection } = await this.#take();
    // Whoever awaits the statement hears of it; the event would end the process.
    const onError = (): void => {
      connection.isLost = true;
    };
    client.on('error', onError);
    try {
      return await work(connection);
    } finally {
      client.off('error', onError);
      client.release(connection.isLost);
    }
  }

  async #take(): Promise<{ client: pg.PoolClient; connection: Connection }> {
    if (this.#pool.waitingCount >= MAX_WAITING) {
      throw new StoreUnavailable('Using the store: too many are waiting for the database. Try again later.');
    }
    try {
      const client = await this.#pool.connect();
      const connection = this.#known.get(client);
      if (connection === undefined) throw new Error('Using the store: a connection was not set up.');
      return { client, connection };
    } catch (error) {
      throw connectingFailed(error);
    }
  }
}
