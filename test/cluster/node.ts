/**
 * One node: `countersign start` in a process and a data folder of its own. Whatever it speaks with, it reaches through a proxy that can
 * misbehave: PostgreSQL, the bus that carries wake-ups, the mail server, and everybody who asks it.
 */
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { TcpProxy } from '../coherence/tcp-proxy.ts';
import { freePorts, Installation, type RunningServer } from '../scenarios/command-line.ts';

/** A node that answers its probe later than this is none that a balancer would send anybody to. */
const PROBE_WITHIN_MS = 1_000;

export interface NodeGiven {
  name: string;
  issuer: string;
  /** The certificate and its CA, the same for all nodes. */
  tlsFolder: string;
  databasePort: number;
  busPort: number;
  mailPort: number;
  /** Settings and whatever else its process is to find there. */
  environmentOf: (ports: { database: number; bus: number; mail: number }) => Record<string, string>;
}

export class ClusterNode {
  readonly name: string;
  /** Between it and PostgreSQL. */
  readonly database: TcpProxy;
  /** Between it and what carries wake-ups, where that is no part of PostgreSQL. */
  readonly bus: TcpProxy;
  /** Between it and the mail server. */
  readonly mail: TcpProxy;
  /** Between it and everybody who asks it. */
  readonly way: TcpProxy;
  readonly #here: Installation;
  #server: RunningServer | undefined;
  /** Ends that nobody asked for. */
  readonly #crashes: string[] = [];

  private constructor(given: {
    name: string;
    here: Installation;
    proxies: { database: TcpProxy; bus: TcpProxy; mail: TcpProxy; way: TcpProxy };
  }) {
    this.name = given.name;
    this.#here = given.here;
    this.database = given.proxies.database;
    this.bus = given.proxies.bus;
    this.mail = given.proxies.mail;
    this.way = given.proxies.way;
  }

  static async make({
    name,
    issuer,
    tlsFolder,
    databasePort,
    busPort,
    mailPort,
    environmentOf,
  }: NodeGiven): Promise<ClusterNode> {
    const [[port = 0], database, bus, mail] = await Promise.all([
      freePorts(1),
      TcpProxy.listen(() => databasePort),
      TcpProxy.listen(() => busPort),
      TcpProxy.listen(() => mailPort),
    ]);
    const environment = environmentOf({ database: database.port, bus: bus.port, mail: mail.port });
    const here = new Installation({ port, plaintextPort: 0 });
    here.environment = { COUNTERSIGN_ISSUER: issuer, ...environment };
    mkdirSync(here.dataFolder, { mode: 0o700 });
    cpSync(tlsFolder, join(here.dataFolder, 'tls'), { recursive: true });
    const way = await TcpProxy.listen(() => port);
    return new ClusterNode({ name, here, proxies: { database, bus, mail, way } });
  }

  /** Where it is asked directly, past the front. */
  get origin(): string {
    return `https://localhost:${this.way.port}`;
  }

  get isRunning(): boolean {
    return this.#server !== undefined;
  }

  /** Ends that nobody asked for, with what was said before. */
  get crashes(): readonly string[] {
    return this.#crashes;
  }

  /** What its log holds since it was started last. */
  get log(): string {
    return this.#server?.stderr() ?? '';
  }

  /** Resolves when it is ready. */
  async start(): Promise<void> {
    const server = await this.#here.start();
    this.#server = server;
    void server.ended.then((code) => {
      if (this.#server === server)
        this.#crashes.push(`${this.name} ended with ${code}: ${server.stderr().slice(-2_000)}`);
    });
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | undefined> {
    const server = this.#server;
    this.#server = undefined;
    return server?.stop(signal);
  }

  /** As a virtual machine that is not scheduled, or a process in a debugger. */
  pause(): void {
    this.#server?.process.kill('SIGSTOP');
  }

  resume(): void {
    this.#server?.process.kill('SIGCONT');
  }

  /** What its readiness probe says, as a balancer hears it. */
  async isReady(): Promise<boolean> {
    try {
      const answer = await fetch(`${this.origin}/readyz`, { signal: AbortSignal.timeout(PROBE_WITHIN_MS) });
      await answer.body?.cancel();
      return answer.status === 200;
    } catch {
      return false;
    }
  }

  /** Runs a command of the command line as this node's operator would. */
  async run(words: readonly string[]): ReturnType<Installation['run']> {
    return this.#here.run(words);
  }

  async remove(): Promise<void> {
    await this.end('SIGKILL');
    await Promise.all([this.database, this.bus, this.mail, this.way].map((proxy) => proxy.close()));
    this.#here.remove();
  }
}
