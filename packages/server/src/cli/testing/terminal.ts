import type { Terminal } from '../terminal.ts';

/** A terminal without a process: what was written stands in `stdout` and `stderr`, signals and crashes come from the test. */
export class FakeTerminal {
  stdout = '';
  stderr = '';
  readonly exits: number[] = [];
  /** Words of each program that was started; it runs until it is asked to stop, and ends with `programEnds`. */
  readonly programs: (readonly string[])[] = [];
  programEnds = 0;
  readonly #stops: (() => void)[] = [];
  readonly #crashes: ((error: unknown) => void)[] = [];

  /** The terminal of one command. */
  for(words: readonly string[], environment: Record<string, string> = {}, input = ''): Terminal {
    return {
      ...{ words, environment, processId: 4711 },
      stdout: {
        write: (text) => {
          this.stdout += text;
        },
      },
      stderr: {
        write: (text) => {
          this.stderr += text;
        },
      },
      readInput: async () => input,
      uptimeMs: () => 123.4,
      onStop: (listener) => void this.#stops.push(listener),
      onCrash: (listener) => void this.#crashes.push(listener),
      exitNow: (code) => void this.exits.push(code),
      runProgram: (path, given) => {
        this.programs.push([path, ...given]);
        const { promise: ended, resolve } = Promise.withResolvers<number>();
        return { ended, askToStop: () => resolve(this.programEnds) };
      },
    };
  }

  stop(): void {
    for (const listener of this.#stops) listener();
  }

  crash(error: unknown): void {
    for (const listener of this.#crashes) listener(error);
  }
}
