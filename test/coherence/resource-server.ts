/** Resource servers in processes of their own, which can be stopped, and whose clocks can be set. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Verifier, VerifierOptions } from '@countersign/verifier';

const PROGRAM = fileURLToPath(new URL('./resource-server-process.ts', import.meta.url));

/** Compiled sources of one process serve the next. */
const COMPILE_CACHE = fileURLToPath(new URL('../../node_modules/.cache/countersign-commands', import.meta.url));

/** `accepted`, or the code of why not, and when: milliseconds of a clock that all processes of the machine share. */
export interface Seen {
  outcome: string;
  atMs: number;
}

/** A run of verifications with one outcome. */
export interface Sighting {
  outcome: string;
  fromMs: number;
  untilMs: number;
}

export interface Calls {
  ready(): Promise<void>;
  status(): Promise<ReturnType<Verifier['status']>>;
  verify(token: string): Promise<Seen>;
  /** Verifies each, in the order given. */
  verifyAll(tokens: readonly string[]): Promise<Seen[]>;
  /** Verifies again and again for so long. */
  watch(token: string, forMs: number): Promise<Sighting[]>;
}

export interface Asked {
  id: number;
  name: keyof Calls;
  given: readonly unknown[];
}

type Answered = { id: number; value: unknown } | { id: number; error: string };

export class ResourceServer {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #asked = 0;

  constructor(given: {
    options: VerifierOptions;
    caFile: string;
    environment?: Record<string, string>;
    /** What its process loads before its program. */
    preload?: readonly string[];
  }) {
    this.#process = fork(PROGRAM, [JSON.stringify(given.options)], {
      execArgv: ['--conditions=countersign-source', ...(given.preload ?? []).map((path) => `--import=${path}`)],
      env: {
        PATH: process.env.PATH,
        NODE_EXTRA_CA_CERTS: given.caFile,
        NODE_COMPILE_CACHE: COMPILE_CACHE,
        ...given.environment,
      },
    });
    this.#process.on('message', (message) => {
      const answered = message as Answered; // the only sender is resource-server-process.ts
      const waiting = this.#waiting.get(answered.id);
      this.#waiting.delete(answered.id);
      if ('error' in answered) waiting?.reject(new Error(answered.error));
      else waiting?.resolve(answered.value);
    });
    this.#process.on('exit', (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`The resource server ended with ${code}.`));
      this.#waiting.clear();
    });
  }

  ask<Name extends keyof Calls>(name: Name, ...given: Parameters<Calls[Name]>): ReturnType<Calls[Name]> {
    const waiting = Promise.withResolvers<unknown>();
    const asked: Asked = { id: this.#asked++, name, given };
    this.#waiting.set(asked.id, waiting);
    this.#process.send(asked);
    return waiting.promise as ReturnType<Calls[Name]>; // what the call of that name answers
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.kill(signal);
  }

  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL'); // a stopped one hears nothing else
    await ended;
  }
}

/** The clock of `Seen`, here. */
export function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** The last moment at which it was accepted, and the first from which it never was again. */
export function lastAccepted(sightings: readonly Sighting[]): number {
  return sightings.findLast(({ outcome }) => outcome === 'accepted')?.untilMs ?? Number.NEGATIVE_INFINITY;
}
