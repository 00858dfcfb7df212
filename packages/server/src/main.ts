#!/usr/bin/env node
/** The process: where words, environment, streams and signals come from and where the exit code goes. The only file that touches it. */
import process from 'node:process';
import { run } from './cli/cli.ts';
import { runProgram } from './world/program.ts';
import { systemTimers } from './world/timers.ts';

/** Whatever a dependency creates without saying a mode is for its owner only. */
process.umask(0o077);

// `countersign … | head` closes the pipe early. Nobody reads any more, so there is nothing left to say. A server ends, too, for its
// alarms would reach nobody; but that is a failure, after which a supervisor is to start it again.
const EXIT_UNHEARD = process.argv[2] === 'start' ? 1 : 0;
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: Error & { code?: string }) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? EXIT_UNHEARD);
    throw error;
  });
}

/** A server whose npm was ended follows it within this. */
const LAUNCHER_CHECK_MS = 250;
const timers = systemTimers({
  onError(error) {
    throw error;
  },
});

async function readInput(maxCharacters: number): Promise<string> {
  let text = '';
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.length > maxCharacters) break;
  }
  return text;
}

process.exitCode = await run({
  words: process.argv.slice(2),
  environment: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  readInput,
  processId: process.pid,
  uptimeMs: () => process.uptime() * 1_000,
  onStop(listener) {
    let isAsked = false;
    const ask = () => {
      isAsked = true;
      listener();
    };
    process.on('SIGTERM', ask);
    process.on('SIGINT', ask);
    if (process.env.npm_lifecycle_event === undefined) return;
    // npm runs this through a shell, and where that is dash it dies of npm's SIGTERM and passes nothing on. A Ctrl+C reaches both;
    // then the shell may well go first, which is no second request.
    const launcher = process.ppid;
    const watch = timers.every(LAUNCHER_CHECK_MS, () => {
      if (process.ppid === launcher) return;
      watch.stop();
      if (!isAsked) ask();
    });
  },
  onCrash(listener) {
    process.on('uncaughtException', listener); // rejections that nobody handles arrive here, too
  },
  exitNow: (code) => process.exit(code),
  runProgram: (path, words) => runProgram(process.execPath, [...process.execArgv, path, ...words]),
});
