/**
 * A PostgreSQL of the bench's own, in a folder that is removed at the end: every setting that is not given is the default of its
 * release, autovacuum and durable commits among them, whatever an installed server was set to. Needs the programs of PostgreSQL 15 or later (initdb,
 * postgres, pgbench): found beside `pg_config`, or in the folder that POSTGRES_BIN names.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

const SUPERUSER = 'postgres';
/** Starting takes a second; a machine under load, ten. */
const START_MS = 60_000;

/** For processes that PostgreSQL refuses to be: it does not run as root. */
interface Identity {
  readonly uid?: number;
  readonly gid?: number;
}

export class BenchPostgres {
  readonly port: number;
  readonly version: string;
  readonly #folder: string;
  readonly #process: ChildProcess;
  /** Also where the bench breaks or is interrupted: some gigabytes would stay. */
  readonly #abandon = () => {
    this.#process.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  };
  #databases = 0;

  static async start(settings: Readonly<Record<string, string>> = {}): Promise<BenchPostgres> {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-postgres-'));
    const identity = identityFor(folder);
    const data = join(folder, 'data');
    try {
      const initdb = [program('initdb'), '--pgdata', data, '--username', SUPERUSER, '--auth', 'trust'];
      run([...initdb, '--encoding', 'UTF8', '--locale', 'C.UTF-8'], identity);
      const port = await freePort();
      const own = { listen_addresses: '127.0.0.1', unix_socket_directories: folder, ...settings };
      const words = Object.entries(own).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
      const child = spawn(program('postgres'), ['-D', data, '-p', String(port), ...words], {
        ...identity,
        cwd: folder,
        stdio: 'ignore',
      });
      const postgres = new BenchPostgres({ folder, port, process: child });
      await postgres.#ready();
      return postgres;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(given: { folder: string; port: number; process: ChildProcess }) {
    this.#folder = given.folder;
    this.port = given.port;
    this.#process = given.process;
    this.version = run([program('postgres'), '--version'], {}).trim();
    process.once('exit', this.#abandon);
  }

  /** Of the database that every server has. */
  get url(): string {
    return this.#url(SUPERUSER);
  }

  /** An empty database; returns its URL. It goes with the folder. */
  async createDatabase(): Promise<string> {
    const name = `bench_${++this.#databases}`;
    await withClient(this.url, (client) => client.query(`CREATE DATABASE ${name}`));
    return this.#url(name);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'exit');
      this.#process.kill('SIGINT'); // fast shutdown: sessions are ended, nothing is lost
      await ended;
    }
    process.off('exit', this.#abandon);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #url(database: string): string {
    return `postgres://${SUPERUSER}@127.0.0.1:${this.port}/${database}`;
  }

  async #ready(): Promise<void> {
    for (const untilMs = performance.now() + START_MS; ; await sleep(100)) {
      if (this.#process.exitCode !== null) throw new Error(`postgres ended with ${this.#process.exitCode} at once.`);
      try {
        return await withClient(this.url, async () => {});
      } catch (error) {
        if (performance.now() > untilMs) throw error;
      }
    }
  }
}

/** Work over a connection of its own, for what no store does: filling, looking at sizes. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The path of one of PostgreSQL's programs, of the release that `pg_config` belongs to. */
export function program(name: string): string {
  const folder = process.env.POSTGRES_BIN ?? run(['pg_config', '--bindir'], {}).trim();
  const path = join(folder, name);
  if (!existsSync(path))
    throw new Error(`The bench needs ${name}. Set POSTGRES_BIN to the folder of PostgreSQL's programs.`);
  return path;
}

export function run([file, ...argv]: readonly string[], options: Identity & { env?: NodeJS.ProcessEnv }): string {
  if (file === undefined) throw new Error('Nothing to run.');
  return execFileSync(file, argv, { ...options, cwd: tmpdir(), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Whoever is root gives the folder to the user `postgres`, as a packaged server does. */
function identityFor(folder: string): Identity {
  if (process.getuid?.() !== 0) return {};
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((line) => line.startsWith(`${SUPERUSER}:`));
  const [, , uid, gid] = entry?.split(':').map(Number) ?? [];
  if (uid === undefined || gid === undefined) {
    throw new Error('PostgreSQL does not run as root, and there is no user postgres. Run the bench as somebody else.');
  }
  chownSync(folder, uid, gid);
  return { uid, gid };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('A listening TCP server has a port.');
  return address.port;
}
