import type { Environment } from '../config/config.ts';
import type { RunningProgram } from '../world/program.ts';

/** What a command is given of its process. main.ts makes the real one, a test its own. */
export interface Terminal {
  /** Words after the command's name. */
  words: readonly string[];
  environment: Environment;
  stdout: Output;
  stderr: Output;
  /** Standard input to its end, or a little more than `maxCharacters` of it. */
  readInput(maxCharacters: number): Promise<string>;
  processId: number;
  /** Milliseconds since the process began. */
  uptimeMs(): number;
  /** Calls the listener at each request to stop (SIGTERM, SIGINT). */
  onStop(listener: () => void): void;
  /** Calls the listener with an error that nothing caught. */
  onCrash(listener: (error: unknown) => void): void;
  exitNow(code: number): void;
  /** Runs another module of Node's, as this process itself is run. */
  runProgram(path: string, words: readonly string[]): RunningProgram;
}

export interface Output {
  write(text: string): unknown;
  /** A person looks at it: a line may be written over. */
  readonly isTTY?: boolean;
}
