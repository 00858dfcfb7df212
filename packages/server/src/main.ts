#!/usr/bin/env node
/** The process: where words, environment, streams and signals come from and where the exit code goes. The only file that touches it. */
import process from 'node:process';
import { run } from './cli/cli.ts';

/** Whatever a dependency creates without saying a mode is for its owner only. */
process.umask(0o077);

// `countersign … | head` closes the pipe early. Nobody reads any more, so there is nothing left to say.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: Error & { code?: string }) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
    throw error;
  });
}

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
    process.on('SIGTERM', listener);
    process.on('SIGINT', listener);
  },
  onCrash(listener) {
    process.on('uncaughtException', listener); // rejections that nobody handles arrive here, too
  },
  exitNow: (code) => process.exit(code),
});
