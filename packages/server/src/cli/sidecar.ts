/**
 * `countersign sidecar`: starts the package `@countersign/sidecar` as a program of its own, with the words that follow. It reads
 * the protocol with the verifier's code and never with the authority's, so nothing of it is imported here.
 */
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { CommandRefused } from './refusals.ts';
import type { Terminal } from './terminal.ts';

export function sidecarCommand(program: Command, terminal: Terminal, ended: (exitCode: number) => void): void {
  program
    .command('sidecar')
    .description('run the verifier as a process beside a reverse proxy')
    .argument('[words...]')
    .usage('--issuer <url> --audience <id> --client-id <id> [options]')
    .helpOption(false) // its options, --help among them, are its own
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (words: string[]) => ended(await runSidecar(terminal, words)));
}

/** Its exit code is ours, and a request to stop us asks it. */
async function runSidecar(terminal: Terminal, words: readonly string[]): Promise<number> {
  const running = terminal.runProgram(mainOf(), words);
  terminal.onStop(() => running.askToStop());
  return running.ended;
}

function mainOf(): string {
  try {
    return fileURLToPath(import.meta.resolve('@countersign/sidecar/main'));
  } catch {
    throw new CommandRefused(
      'sidecar_missing',
      'The package @countersign/sidecar is not installed here. Install it beside @countersign/server, in the same release.',
    );
  }
}
