/**
 * One connection: its settings, its prepared statements, and who it is at the server. A statement runs alone on it: whoever holds it
 * awaits each.
 *
 * Life: opened → set up (`prepareConnection`) → used by one holder at a time → closed when it failed, when it is old, or with the store.
 */
import type pg from 'pg';
import { StoreUnavailable } from '../errors.ts';
import { numberedPlaceholders } from '../placeholders.ts';
import type { SqlValue } from '../store.ts';
import { Change } from './change.ts';
import { Closing } from './closing.ts';
import { ConnectionLost, isWaitGivenUp, translated, Unreplicated } from './failures.ts';

/**
 * Statements kept prepared on one connection. Texts are constants of the code and acts made of them, some hundreds in all; the bound
 * keeps acts of many sizes from filling the server's memory (a prepared plan holds some 20 kB there).
 */
export const MAX_STATEMENTS = 256;

/** Oldest release whose behaviour this relies on (xid8, WITH TIES, and what CI runs). */
const OLDEST_SERVER = 150_000;

/** Which backend of which start a connection is at: process numbers are used again. */
export interface BackendIdentity {
  readonly processId: number;
  readonly startedAt: string;
}

interface Prepared {
  readonly name: string;
  /** How many values it takes. */
  readonly parameters: number;
}

export interface Answer {
  readonly rows: unknown[];
  /** Rows that were changed, or found. */
  readonly count: number;
  /** First word of what was done, e.g. COMMIT. */
  readonly command: string;
}

export class Connection {
  readonly identity: BackendIdentity;
  readonly #client: pg.ClientBase;
  /** What is prepared, by text, in order of last use, oldest first. */
  readonly #statements = new Map<string, Prepared>();
  /** Names are never given twice, so that one that the server forgot is not taken for one that it knows. */
  #names = 0;
  /** Nothing more may be sent on it. */
  isLost = false;
  /** The server has said that it waits no longer for a standby: whatever it answers next as done is durable here alone. */
  #isWaitGivenUp = false;

  constructor(client: pg.ClientBase, identity: BackendIdentity) {
    this.#client = client;
    this.identity = identity;
    client.on('notice', (notice) => {
      if (isWaitGivenUp(notice)) this.#isWaitGivenUp = true;
    });
  }

  /** Runs a prepared statement. Throws what `translated` makes of a failure. */
  async run(text: string, values: readonly SqlValue[]): Promise<Answer> {
    const { name } = await this.#prepared(text, values);
    return this.#send({ name, text, values: [...values] });
  }

  /** The same for a statement whose rows nobody reads. */
  async change(text: string, values: readonly SqlValue[]): Promise<void> {
    const { name } = await this.#prepared(text, values);
    await this.#submitted((answered) => new Change({ name, text, values }, answered));
  }

  async #prepared(text: string, values: readonly SqlValue[]): Promise<Prepared> {
    const prepared = this.#statements.get(text) ?? (await this.#newStatement(text));
    // The server would refuse it, too, but as a broken conversation, like a lost connection.
    if (values.length !== prepared.parameters) {
      throw new TypeError(
        `Running a statement: it takes ${prepared.parameters} values and was given ${values.length}.`,
      );
    }
    // Before it is sent: the server keeps what it has parsed, however the statement ends. Forgotten here, it would be prepared under
    // another name each time it fails, and never be freed.
    this.#statements.delete(text);
    this.#statements.set(text, prepared);
    return prepared;
  }

  /** Runs what controls a transaction, unprepared and without values. */
  control(text: string): Promise<Answer> {
    return this.#send({ text });
  }

  /** The server gets to know it with its first use. */
  async #newStatement(text: string): Promise<Prepared> {
    const [oldest] = this.#statements.size < MAX_STATEMENTS ? [] : this.#statements;
    if (oldest !== undefined) {
      this.#statements.delete(oldest[0]);
      await this.#submitted((answered) => new Closing(oldest[1].name, answered));
    }
    this.#names += 1;
    return { name: `countersign_${this.#names}`, parameters: numberedPlaceholders(text).count };
  }

  #submitted(make: (answered: (error: Error | null) => void) => pg.Submittable): Promise<void> {
    return this.#answered(
      () =>
        new Promise<void>((resolve, reject) => {
          this.#client.query(make((error) => (error ? reject(error) : resolve())));
        }),
    );
  }

  async #send(query: pg.QueryConfig): Promise<Answer> {
    const { rows, rowCount, command } = await this.#answered(() => this.#client.query<object>(query));
    return { rows, count: rowCount ?? 0, command };
  }

  async #answered<T>(send: () => Promise<T>): Promise<T> {
    if (this.isLost) throw new ConnectionLost('closed', { wasSent: false });
    try {
      const answer = await send();
      if (this.#isWaitGivenUp) throw new Unreplicated();
      return answer;
    } catch (error) {
      const failure = translated(error);
      if (failure instanceof ConnectionLost) this.isLost = true;
      throw failure;
    }
  }
}

/** Looks whom a new connection reached. @throws StoreUnavailable where that is no primary of a release that we know */
export async function setUp(client: pg.ClientBase, settings: Readonly<Record<string, string>>): Promise<Connection> {
  // Names and values are constants of this code. One message; what the last of its statements found is what matters.
  const sets = Object.entries(settings).map(([name, value]) => `SET SESSION ${name} = '${value}'`);
  const answers: unknown = await client.query([...sets, WHO_IS_THERE].join('; '));
  const last: unknown = Array.isArray(answers) ? answers.at(-1) : answers;
  const [found] = (last as pg.QueryResult<Found>).rows; // by the columns of the constant text
  if (found === undefined || Number(found.version) < OLDEST_SERVER) {
    throw new StoreUnavailable('Connecting to the database: it is older than PostgreSQL 15. Upgrade it.');
  }
  if (found.standby === 1) {
    throw new StoreUnavailable(
      'Connecting to the database: it is a standby, whose reads lag behind. Point databaseUrl at the primary.',
    );
  }
  return new Connection(client, { processId: found.pid, startedAt: found.started });
}

interface Found {
  version: string;
  standby: number;
  pid: number;
  started: string;
}

// A write is acknowledged when it is durable, whatever the server's default is: synchronous_commit = off would lose acknowledged
// writes in a crash. Every other value, with synchronous standbys above all, is the operator's.
const WHO_IS_THERE = `SELECT current_setting('server_version_num') AS version, pg_is_in_recovery() AS standby, pg_backend_pid() AS pid,
  (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS started,
  set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
    ELSE current_setting('synchronous_commit') END, false)`;
