/** A PostgreSQL server of a test's own, which it may stop, back up and put back: the one that other tests use is left alone. */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { freePorts } from './command-line.ts';

const PLACES = ['15', '16', '17', '18'].map((release) => `/usr/lib/postgresql/${release}/bin`);

/** Where PostgreSQL's programs stand on this machine; undefined: nowhere known. CI insists on them (scripts/test.ts). */
export const POSTGRES_PROGRAMS = PLACES.find((place) => existsSync(join(place, 'initdb')));

/** For `test({ skip })`: false, or the reason. */
export const WITHOUT_CLUSTER = POSTGRES_PROGRAMS === undefined ? 'the programs of PostgreSQL are not installed' : false;

/** The server refuses to run as root; then it runs as the user that the system's package made. */
export const OWNER = process.getuid?.() === 0 ? idsOf('postgres') : undefined;

const ENDED_WITHIN_SECONDS = 60;

export class Cluster {
  readonly root: string;
  readonly dataFolder: string;
  readonly port: number;

  private constructor(root: string, port: number) {
    this.root = root;
    this.dataFolder = join(root, 'main');
    this.port = port;
  }

  /** Made, with these lines in its postgresql.conf, and started. */
  static async make(configuration: (root: string) => string): Promise<Cluster> {
    const root = mkdtempSync(join(tmpdir(), 'countersign-cluster-'));
    chmodSync(root, 0o755); // as another user than this one the server has to pass through
    const [port = 0] = await freePorts(1);
    const cluster = new Cluster(root, port);
    if (OWNER) chownSync(root, OWNER.uid, OWNER.gid);
    try {
      cluster.run('initdb', ['-D', cluster.dataFolder, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync']);
      cluster.configure(configuration(root));
      cluster.start();
    } catch (error) {
      cluster.remove();
      throw error;
    }
    return cluster;
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  /** A folder that its server may write. */
  folder(name: string): string {
    const path = join(this.root, name);
    mkdirSync(path);
    if (OWNER) chownSync(path, OWNER.uid, OWNER.gid);
    return path;
  }

  configure(lines: string): void {
    appendFileSync(join(this.dataFolder, 'postgresql.conf'), `\n${lines}\n`);
  }

  start(): void {
    const options = `-p ${this.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=40`;
    const log = join(this.root, 'log');
    const wait = ['-w', '-t', String(ENDED_WITHIN_SECONDS)];
    this.run('pg_ctl', ['start', '-D', this.dataFolder, '-l', log, '-o', options, ...wait]);
  }

  stop(mode: 'fast' | 'immediate' = 'fast'): void {
    this.run('pg_ctl', ['stop', '-D', this.dataFolder, '-m', mode, '-w', '-t', String(ENDED_WITHIN_SECONDS)]);
  }

  /** Runs a program of PostgreSQL's, or of the system, as the server's user. Throws what it said where it fails. */
  run(program: string, words: readonly string[]): string {
    const own = join(POSTGRES_PROGRAMS ?? '', program);
    const ran: SpawnSyncReturns<string> = spawnSync(existsSync(own) ? own : program, words, {
      ...{ cwd: this.root, encoding: 'utf8', ...OWNER },
      // Not held open by the server that it leaves behind.
      stdio: program === 'pg_ctl' ? 'ignore' : 'pipe',
      env: { PATH: process.env.PATH, PGHOST: '127.0.0.1', PGPORT: String(this.port), PGUSER: 'postgres', LC_ALL: 'C' },
    });
    if (ran.status !== 0) throw new Error(`${program} ended with ${ran.status ?? ran.error?.message}: ${ran.stderr}`);
    return ran.stdout;
  }

  /** Runs lines of a page as a shell does, with this server's folders in the place of the page's. */
  shell(lines: string, changes: Readonly<Record<string, string>>): void {
    this.run('sh', ['-ec', adapted(lines, changes)]);
  }

  remove(): void {
    try {
      this.stop('immediate');
    } catch {
      // It did not run.
    }
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Puts this machine's folders in the place of those that the page names. Each must be there. */
export function adapted(text: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((changed, [from, to]) => {
    if (!changed.includes(from)) throw new Error(`The page has no "${from}" here`);
    return changed.replaceAll(from, to);
  }, text);
}

function idsOf(user: string): { uid: number; gid: number } | undefined {
  const [uid, gid] = ['-u', '-g'].map((which) => spawnSync('id', [which, user], { encoding: 'utf8' }).stdout.trim());
  return uid && gid ? { uid: Number(uid), gid: Number(gid) } : undefined;
}
