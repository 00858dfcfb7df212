#!/usr/bin/env node
/** The process: where words, environment, streams and signals come from and where the exit code goes. The only file that touches it. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { SidecarLog } from './log.ts';
import { HELP, readCall, type SidecarSettings } from './options.ts';
import { SidecarRefused } from './refusal.ts';
import { startSidecar } from './sidecar.ts';

/** A socket is its owner's until its mode is set. */
process.umask(0o077);

const FAILED = 1;
const MISUSED = 2;

/** One JSON object a line, as the authority writes its own. */
const log: SidecarLog = {
  info: (message, fields) => write('info', message, fields),
  warn: (message, fields) => write('warn', message, fields),
};

function write(level: string, message: string, fields: Record<string, string | number> = {}): void {
  process.stdout.write(`${JSON.stringify({ level, time: new Date().toISOString(), ...fields, message })}\n`);
}

process.exitCode = await run();

async function run(): Promise<number> {
  try {
    const called = readCall(process.argv.slice(2), process.env);
    switch (called.kind) {
      case 'help':
        process.stdout.write(HELP);
        return 0;
      case 'version':
        process.stdout.write(`${ownVersion()}\n`);
        return 0;
      case 'run':
        await serve(called.settings);
        return 0;
    }
  } catch (error) {
    if (!(error instanceof SidecarRefused)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error.code === 'usage' ? MISUSED : FAILED;
  }
}

/** Runs until it is asked to stop. A second request ends the process at once. */
async function serve(settings: SidecarSettings): Promise<void> {
  const stopped = stopRequest();
  if (settings.caCertificates.length > 0) {
    setDefaultCACertificates([...getCACertificates('default'), ...settings.caCertificates]);
  }
  const sidecar = await startSidecar(settings, log);
  await stopped;
  log.info('stopping');
  await sidecar.stop();
  log.info('stopped');
}

/**
 * Started by `countersign sidecar`, this process hears of one request in several ways: the terminal or the supervisor may tell both,
 * and that one passes it on. Then repeats count for nothing, and whoever is in a hurry tells that one. When it is gone, nobody else
 * would stop this one.
 */
function stopRequest(): Promise<void> {
  const isCompanion = process.connected;
  return new Promise((resolve) => {
    let isAsked = false;
    const ask = () => {
      if (isAsked && !isCompanion) process.exit(FAILED);
      isAsked = true;
      resolve();
    };
    process.on('SIGTERM', ask);
    process.on('SIGINT', ask);
    process.once('disconnect', ask);
    process.channel?.unref(); // to hear of it is no reason to stay
  });
}

/** From the package's own manifest, which stands at the same place seen from the sources and from what is published. */
function ownVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version?: unknown;
  };
  return String(manifest.version ?? 'unknown');
}
