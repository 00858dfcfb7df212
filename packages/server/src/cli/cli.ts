/**
 * The command line: words in, an exit code out.
 *
 * Owns how commands are called and what they print. Leaves what they do to the domains and to admin/, and the process to
 * main.ts. Commands work on the data folder, beside a running server or without one.
 *
 * Exit codes: 0 done; 1 refused or failed, and the message says what to do; 2 called wrongly. Every command takes `--json`: one
 * JSON document on standard output, or `{"error": {code, message}}` on standard error.
 */
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { readText } from '../world/files.ts';
import { alarmCommands } from './alarms.ts';
import { clientCommands } from './clients.ts';
import { grantCommands } from './grants.ts';
import { jobCommands } from './jobs.ts';
import { keyCommands } from './keys.ts';
import { movingCommands } from './moving.ts';
import { printable } from './output.ts';
import { type Failure, failureOf } from './refusals.ts';
import { sidecarCommand } from './sidecar.ts';
import { start } from './start.ts';
import { storeCommands } from './stores.ts';
import type { Terminal } from './terminal.ts';
import { tokenCommands } from './tokens.ts';
import { userCommands } from './users.ts';

const COMMANDS = [
  clientCommands,
  userCommands,
  grantCommands,
  tokenCommands,
  keyCommands,
  alarmCommands,
  jobCommands,
  storeCommands,
  movingCommands,
];

const DONE = 0;
const FAILED = 1;
const MISUSED = 2;

/** Runs the command that the words name and returns the exit code. Never rejects. */
export async function run(terminal: Terminal): Promise<number> {
  let exitCode = DONE;
  const program = commandLine(terminal, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(terminal.words, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      tellFailure(terminal, failureOf(error));
      return FAILED;
    }
    if (error.exitCode === 0) return DONE; // help or version
    // A person has read it already, with how the command is called.
    if (isForPrograms(terminal)) tellFailure(terminal, { code: 'usage', message: error.message });
    return MISUSED;
  }
}

/** Every command with its options, over a terminal. `ended` hears the exit code of a server that stopped. */
export function commandLine(terminal: Terminal, ended: (exitCode: number) => void): Command {
  const version = ownVersion();
  const program = new Command('countersign')
    .description('The authority: OAuth 2, OpenID Connect and login by mail, with tokens that survive a leaked key.')
    .version(version)
    .exitOverride()
    .enablePositionalOptions()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => {
        if (!isForPrograms(terminal)) terminal.stderr.write(text);
      },
    })
    .showHelpAfterError('Run with --help to see how it is called.')
    .addHelpText(
      'after',
      '\nSettings come from the environment (COUNTERSIGN_…) and the file that COUNTERSIGN_CONFIG names.',
    );
  program
    .command('start')
    .description('run the server until it is asked to stop')
    .action(async () => ended(await start(terminal, version)));
  sidecarCommand(program, terminal, ended);
  for (const add of COMMANDS) add(program, terminal);
  return program;
}

function isForPrograms(terminal: Terminal): boolean {
  return terminal.words.includes('--json');
}

function tellFailure(terminal: Terminal, failure: Failure): void {
  const text = isForPrograms(terminal) ? JSON.stringify({ error: failure }) : failure.message;
  terminal.stderr.write(`${printable(text)}\n`);
}

/** From the package's own manifest, which stands at the same place seen from the sources and from what is published. */
function ownVersion(): string {
  const manifest = JSON.parse(readText(fileURLToPath(new URL('../../package.json', import.meta.url))) ?? '{}') as {
    version?: unknown;
  }; // checked below
  return String(manifest.version ?? 'unknown');
}
