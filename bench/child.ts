/**
 * Processes of the benches: each server and the load generator has one of its own, so that none shares an event loop with what
 * it is measured against. They are asked over the channel that `fork` gives, never over the network.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LoadOrder, LoadResult } from './load-process.ts';
import type { Fleet, Learnt, Refused } from './revocation-process.ts';

export interface ServerFacts {
  readonly tokenEndpoint: string;
  /** PEM of what vouches for the server's certificate. */
  readonly caCertificate: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

export interface Usage {
  /** User and system time of the process since its start. */
  readonly cpuMs: number;
  /** Resident memory after a collection, where the process was started so that it can force one. */
  readonly residentBytes: number;
  readonly peakResidentBytes: number;
}

/** What can be asked; each process answers some of it. */
export interface Calls {
  facts(): ServerFacts;
  /** Makes grants and gives the refresh token of each. */
  refreshTokens(count: number): string[];
  /** Registers a resource server for the tokens that the benchmark's client obtains. */
  resourceServer(): { readonly audience: string; readonly clientId: string; readonly clientSecret: string };
  usage(): Usage;
  load(order: LoadOrder): LoadResult;
  openVerifiers(fleet: Fleet): void;
  learn(token: string): Learnt;
  /** Begins to verify a token again and again, in each verifier until that one refuses it. */
  watch(token: string): void;
  refusals(): Refused[];
}

type Handlers = { [Name in keyof Calls]?: (...given: Parameters<Calls[Name]>) => unknown };

interface Asked {
  readonly id: number;
  readonly name: keyof Calls;
  readonly given: readonly unknown[];
}

type Answered = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

export class Child {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { fulfil: (value: unknown) => void; reject: (error: Error) => void }>();
  #nextId = 0;

  /** `logFile` takes the standard output: a server logs to a file here, as it does behind a supervisor. */
  constructor(given: { file: string; argv?: readonly string[]; logFile?: string; nodeOptions?: readonly string[] }) {
    const output = given.logFile === undefined ? 'ignore' : openSync(given.logFile, 'a', 0o600);
    this.#process = fork(fileURLToPath(new URL(given.file, import.meta.url)), [...(given.argv ?? [])], {
      execArgv: ['--conditions=countersign-source', ...(given.nodeOptions ?? [])],
      env: { ...process.env, NODE_ENV: 'production' },
      stdio: ['ignore', output, 'inherit', 'ipc'],
    });
    if (typeof output === 'number') closeSync(output);
    // The only sender is `answerCalls` below.
    this.#process.on('message', (message) => this.#settle(message as Answered));
    this.#process.on('exit', (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${given.file} ended with ${code}.`));
      this.#waiting.clear();
    });
  }

  call<Name extends keyof Calls>(name: Name, ...given: Parameters<Calls[Name]>): Promise<ReturnType<Calls[Name]>> {
    const answer = new Promise<unknown>((fulfil, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, { fulfil, reject });
      const asked: Asked = { id, name, given };
      this.#process.send(asked);
    });
    return answer as Promise<ReturnType<Calls[Name]>>; // what the handler of that name answered
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#process.once('exit', () => resolve()));
    this.#process.disconnect();
    await ended;
  }

  #settle(answered: Answered): void {
    const waiting = this.#waiting.get(answered.id);
    this.#waiting.delete(answered.id);
    if ('error' in answered) waiting?.reject(new Error(answered.error));
    else waiting?.fulfil(answered.value);
  }
}

/** The other side: answers calls until whoever started this process goes away, then ends it. */
export function answerCalls(handlers: Handlers, whenLeft: () => Promise<void> = async () => {}): void {
  process.on('message', async (message) => {
    const { id, name, given } = message as Asked; // the only sender is `Child` above
    try {
      const handler = handlers[name] as ((...given: unknown[]) => unknown) | undefined; // as `call` typed them
      if (!handler) throw new Error(`This process does not answer ${name}.`);
      process.send?.({ id, value: await handler(...given) });
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  });
  process.on('disconnect', async () => {
    await whenLeft();
    process.exit();
  });
}

/** What this process has used so far; collects garbage first where it may. */
export function usage(): Usage {
  globalThis.gc?.();
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  return {
    cpuMs: (userCPUTime + systemCPUTime) / 1_000,
    residentBytes: process.memoryUsage.rss(),
    peakResidentBytes: maxRSS * 1_024,
  };
}
