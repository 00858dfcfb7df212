import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';

/** Another program that runs beside this one, with the same streams. */
export interface RunningProgram {
  /** Its exit code; 128 and the signal's number where a signal ended it, as shells say it. Rejects where it cannot be started. */
  ended: Promise<number>;
  /** Asks it to stop, which it does in its own way. A second request ends it. */
  askToStop(): void;
}

/**
 * Runs a program with our own standard streams. Should this process die without a word, the program hears of it by its channel,
 * which closes then (`disconnect`).
 */
export function runProgram(command: string, words: readonly string[]): RunningProgram {
  const child = spawn(command, words, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  let isAsked = false;
  return {
    ended: endOf(child),
    askToStop() {
      child.kill(isAsked ? 'SIGKILL' : 'SIGTERM');
      isAsked = true;
    },
  };
}

function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}
