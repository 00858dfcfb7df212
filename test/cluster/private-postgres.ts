/**
 * A PostgreSQL of a test's own: its programs as the machine has them, its own folder, port and socket, durable as in production (fsync on).
 * It can be stopped as an operator, a failing machine or a restore stops one.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chownSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { freePorts } from '../scenarios/command-line.ts';
import { OWNER, POSTGRES_PROGRAMS } from '../scenarios/postgres-cluster.ts';

export { WITHOUT_CLUSTER as WITHOUT_POSTGRES } from '../scenarios/postgres-cluster.ts';

/** Crash recovery of a database of some megabytes takes a second; a machine that does much else may take many. */
const READY_WITHIN_MS = 60_000;
/** The name under which everybody connects. */
const SERVICE_USER = 'postgres';

/** `fast`: clients are ended, everything is written. `immediate`: as if its power were cut; the next start recovers. */
export type StopMode = 'fast' | 'immediate';

const STOP_SIGNALS = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const satisfies Record<StopMode, NodeJS.Signals>;

const runFile = promisify(execFile);

export class PrivatePostgres {
  readonly port: number;
  readonly #root: string;
  readonly #programs: string;
  #server: ChildProcess | undefined;
  #backups = 0;
  /** A test that ends early takes it along. */
  readonly #onExit = () => void this.#server?.kill('SIGQUIT');

  private constructor(given: { port: number; root: string; programs: string }) {
    this.port = given.port;
    this.#root = given.root;
    this.#programs = given.programs;
    process.on('exit', this.#onExit);
  }

  /**
   * A new cluster of databases, running. `settings`: lines of postgresql.conf, beside those that it needs. `tls`: it offers TLS with this
   * certificate and key, as PEM texts.
   */
  static async make(given: { settings?: readonly string[]; tls?: { certificate: string; key: string } } = {}) {
    const { settings = [], tls } = given;
    if (POSTGRES_PROGRAMS === undefined) throw new Error('The programs of PostgreSQL are missing');
    const root = mkdtempSync(join(tmpdir(), 'countersign-postgres-'));
    const [port = 0] = await freePorts(1);
    const made = new PrivatePostgres({ port, root, programs: POSTGRES_PROGRAMS });
    if (OWNER) chownSync(root, OWNER.uid, OWNER.gid);
    await made.#run('initdb', [
      '--pgdata',
      made.#data,
      '--username',
      SERVICE_USER,
      '--auth',
      'trust',
      '--encoding',
      'UTF8',
    ]);
    made.#configure([...settings, ...(tls ? ['ssl = on'] : [])]);
    if (tls) {
      made.#write('server.crt', tls.certificate);
      made.#write('server.key', tls.key);
    }
    await made.start();
    return made;
  }

  /** A standby of this one, running: it follows by itself, under the name that PostgreSQL gives those without one (`walreceiver`). */
  async standby(): Promise<PrivatePostgres> {
    const root = mkdtempSync(join(tmpdir(), 'countersign-standby-'));
    const [port = 0] = await freePorts(1);
    const made = new PrivatePostgres({ port, root, programs: this.#programs });
    if (OWNER) chownSync(root, OWNER.uid, OWNER.gid);
    await made.#run('pg_basebackup', [...this.#asSource, '--pgdata', made.#data, '--write-recovery-conf']);
    // What stands later in the file holds.
    made.#configure();
    await made.start();
    return made;
  }

  /** `port`: another than its own where something stands in between. */
  urlOf(database: string, port = this.port): string {
    return `postgresql://${SERVICE_USER}@localhost:${port}/${database}`;
  }

  async createDatabase(name: string): Promise<void> {
    await this.query('postgres', `CREATE DATABASE ${name}`);
  }

  /** One statement on a connection of its own: for looking at what nodes left behind, past everything that stands in their way. */
  async query<Row extends object>(database: string, text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const client = new Client({ connectionString: this.urlOf(database) });
    client.on('error', () => {}); // told by the query
    await client.connect();
    try {
      return (await client.query<Row>(text, [...values])).rows;
    } finally {
      await client.end();
    }
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const server = spawn(join(this.#programs, 'postgres'), ['-D', this.#data], {
      ...OWNER,
      cwd: this.#root,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#server = server;
    let said = '';
    server.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000);
    });
    for (const giveUpAtMs = performance.now() + READY_WITHIN_MS; ; ) {
      if (await this.#answers()) return;
      if (server.exitCode !== null || performance.now() > giveUpAtMs)
        throw new Error(`PostgreSQL did not start: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async stop(mode: StopMode): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server || server.exitCode !== null) return;
    const ended = once(server, 'exit');
    server.kill(STOP_SIGNALS[mode]);
    await ended;
  }

  async restart(mode: StopMode): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  /** Takes a base backup while it runs, and gives the folder. */
  async backUp(): Promise<string> {
    this.#backups += 1;
    const folder = join(this.#root, `backup-${this.#backups}`);
    await this.#run('pg_basebackup', [...this.#asSource, '--pgdata', folder]);
    return folder;
  }

  /** Puts a base backup in the place of the databases that are there, which are lost. It must be stopped, and is so afterwards. */
  restore(backup: string): void {
    if (this.#server) throw new Error('PostgreSQL runs');
    rmSync(this.#data, { recursive: true });
    mkdirSync(this.#data, { mode: 0o700 });
    cpSync(backup, this.#data, { recursive: true, preserveTimestamps: true });
    if (OWNER) execFileSync('chown', ['-R', `${OWNER.uid}:${OWNER.gid}`, this.#data]);
  }

  async drop(): Promise<void> {
    process.off('exit', this.#onExit);
    await this.stop('immediate');
    rmSync(this.#root, { recursive: true, force: true });
  }

  get #data(): string {
    return join(this.#root, 'data');
  }

  /** A file that its server alone may read, where it looks for it. */
  #write(name: string, text: string): void {
    const file = join(this.#data, name);
    writeFileSync(file, text, { mode: 0o600 });
    if (OWNER) chownSync(file, OWNER.uid, OWNER.gid);
  }

  /** How pg_basebackup reaches it, and takes a backup that stands by itself. */
  get #asSource(): string[] {
    const from = ['--host', 'localhost', '--port', String(this.port), '--username', SERVICE_USER];
    return [...from, '--checkpoint', 'fast', '--wal-method', 'stream'];
  }

  #configure(settings: readonly string[] = []): void {
    appendFileSync(
      join(this.#data, 'postgresql.conf'),
      [
        `port = ${this.port}`,
        "listen_addresses = 'localhost'",
        `unix_socket_directories = '${this.#root}'`,
        'max_connections = 100',
        'shared_buffers = 32MB',
        "log_min_messages = 'fatal'",
        ...settings,
        '',
      ].join('\n'),
    );
  }

  async #answers(): Promise<boolean> {
    try {
      await this.query('postgres', 'SELECT 1');
      return true;
    } catch {
      return false;
    }
  }

  async #run(program: string, words: readonly string[]): Promise<void> {
    // The time zone and the language of whoever runs the tests decide nothing.
    const env = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', TZ: 'UTC' };
    await runFile(join(this.#programs, program), [...words], { ...OWNER, cwd: this.#root, env });
  }
}
