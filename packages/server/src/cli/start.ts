/**
 * `countersign start`: the server, from its settings to its exit code.
 *
 *     settings → data folder held → master key → store → authority → certificate → listeners → jobs → ready
 *     stop: not ready any more, jobs given back → listeners close, requests under way are finished → store closes → folder given back → 0
 *
 * Whatever fails on the way up is undone in reverse order, and says what to do.
 */
import { X509Certificate } from 'node:crypto';
import { resolve } from 'node:path';
import type { Settings } from '../config/config.ts';
import { ONLY_NODE } from '../leases/leases.ts';
import { DevelopmentMailbox } from '../mail/mail.ts';
import { composeServer, type Server } from '../server.ts';
import { ClockOffset, selectDatabaseNowMs } from '../standing/standing.ts';
import { systemClock } from '../world/clock.ts';
import { localCertificate } from '../world/development-certificates.ts';
import { ensurePrivateFolder, readText } from '../world/files.ts';
import { type Listener, listenHttps, listenPlaintext } from '../world/listener.ts';
import type { Log } from '../world/log.ts';
import { pinoLog } from '../world/log-pino.ts';
import { smtpTransport } from '../world/mail-smtp.ts';
import type { MailTransport } from '../world/mail-transport.ts';
import { systemRandom } from '../world/random.ts';
import { banner } from './banner.ts';
import { holdDataFolder } from './data-folder.ts';
import { rememberIdentity } from './identity.ts';
import { memoryIn } from './memory.ts';
import { authorityOver, masterKeyOf, type OpenStore, openStore, settingsOf } from './opening.ts';
import { CommandRefused, failureOf } from './refusals.ts';
import type { Terminal } from './terminal.ts';
import { wakeUpsOf } from './waking.ts';

/** Steps to undo, last first. */
type Undo = (() => unknown)[];

/** Runs the server until it is asked to stop; then 0. A second request to stop ends the process at once with 1. */
export async function start(terminal: Terminal, version: string): Promise<number> {
  const settings = settingsOf(terminal);
  const log = logOf(terminal, settings);
  const stopped = stopRequest(terminal);
  terminal.onCrash((error) => {
    log.error('crashed', crashFields(error));
    terminal.exitNow(1);
  });
  const undo: Undo = [];
  try {
    const server = await bringUp({ terminal, version, settings, log, undo });
    await stopped;
    log.info('stopping', { withinSeconds: settings.shutdownSeconds });
    server.stopAccepting();
  } finally {
    for (const step of undo.reverse()) await step();
  }
  log.info('stopped');
  return 0;
}

async function bringUp(given: {
  terminal: Terminal;
  version: string;
  settings: Settings;
  log: Log;
  undo: Undo;
}): Promise<Server> {
  const { terminal, version, settings, log, undo } = given;
  const { dataFolder, issuer } = settings;
  for (const warning of settings.warnings) log.warn(warning);
  ensurePrivateFolder(dataFolder);
  undo.push(holdDataFolder({ dataFolder, processId: terminal.processId }));
  const masterKey = masterKeyOf(settings);
  const store = await openStore(settings);
  const isNew = store.applied[0]?.number === 1;
  undo.push(() => store.close());
  const mails = mailsOf(settings);
  undo.push(() => mails.close());
  const wakeUps = wakeUpsOf({ settings, store, log });
  undo.push(() => wakeUps.close());
  const authority = await authorityOver({
    ...{ settings, store, masterKey, log, wakeUps, mailTransport: mails.transport },
    // Beside others each node draws a name: one that it had before may still be at work.
    ...(store.engine === 'sqlite' && { node: ONLY_NODE, adoptsSettings: true }),
    ...(store.engine === 'postgresql' && { clockOffset: clockOffsetFrom(store, log) }),
    memory: memoryIn(dataFolder),
    onJobError: (error) => log.error('job failed', crashFields(error)),
  });
  rememberIdentity(settings);
  const server = composeServer(authority, mails.mailbox);
  const tls = await certificateOf(settings, log);
  undo.push(() => server.stopJobs());
  await listenOn({ settings, server, tls, undo });
  server.startJobs();
  const readyInMs = terminal.uptimeMs();
  if (settings.mode === 'development') {
    const { caCertificateFile } = tls;
    const hasMailbox = mails.mailbox !== undefined;
    const started = { version, issuer, readyInMs, dataFolder: resolve(dataFolder), isNew, hasMailbox };
    terminal.stdout.write(
      banner({
        ...started,
        caCertificateFile: caCertificateFile === undefined ? undefined : resolve(caCertificateFile),
      }),
    );
  }
  log.info('ready', { version, issuer, readyInMs: Math.round(readyInMs), schemaChanges: store.applied.length });
  return server;
}

function clockOffsetFrom({ read }: Pick<OpenStore, 'read'>, log: Log): ClockOffset {
  return new ClockOffset({ databaseNow: () => selectDatabaseNowMs(read), clock: systemClock, log });
}

/** In production standard output is the log. In development it is for the person who started this, and the log goes beside it. */
function logOf(terminal: Terminal, settings: Settings): Log {
  const stream = settings.mode === 'production' ? terminal.stdout : terminal.stderr;
  return pinoLog({ stream, level: settings.logLevel });
}

function stopRequest(terminal: Terminal): Promise<void> {
  return new Promise((resolve) => {
    let requests = 0;
    terminal.onStop(() => {
      requests += 1;
      if (requests === 1) resolve();
      else terminal.exitNow(1);
    });
  });
}

interface Certificate {
  certificate: string;
  key: string;
  caCertificateFile: string | undefined;
}

async function certificateOf(settings: Settings, log: Log): Promise<Certificate> {
  const { tls, dataFolder } = settings;
  if (tls.kind === 'local') return localCertificate({ dataFolder, clock: systemClock, random: systemRandom });
  const [certificate, key] = [readText(tls.certificateFile), readText(tls.keyFile)];
  // Without either Node would listen all the same, and fail every handshake.
  if (certificate && key) {
    warnOfCertificate(certificate, settings, log);
    return { certificate, key, caCertificateFile: undefined };
  }
  throw new CommandRefused(
    'bad_certificate',
    `Reading the certificate: ${tls.certificateFile} or ${tls.keyFile} is missing or empty. Both must be PEM files.`,
  );
}

/** A proxy may show another certificate to the world, so none of this stops the start. What cannot be read at all stops the listener. */
function warnOfCertificate(pem: string, { issuer, tls }: Settings, log: Log): void {
  if (tls.kind === 'local' || !pem.includes('-----BEGIN CERTIFICATE-----')) return;
  const certificate = new X509Certificate(pem);
  const { hostname } = new URL(issuer);
  const names = hostname.startsWith('[') ? certificate.checkIP(hostname.slice(1, -1)) : certificate.checkHost(hostname);
  if (names === undefined) {
    log.warn(
      `The certificate (${tls.certificateFile}) does not name ${hostname}, the host of the issuer. Browsers and clients refuse it.`,
    );
  }
  if (certificate.validToDate.getTime() <= systemClock.now()) {
    log.warn(
      `The certificate (${tls.certificateFile}) has expired. Browsers and clients refuse it. Renew it, and start again.`,
    );
  }
}

function mailsOf(settings: Settings): {
  transport: MailTransport;
  mailbox: DevelopmentMailbox | undefined;
  close: () => void;
} {
  const { mail, mailFrom: from, issuer } = settings;
  if (mail.kind === 'mailbox') {
    const mailbox = new DevelopmentMailbox({ clock: systemClock });
    return { transport: mailbox, mailbox, close: () => {} };
  }
  const caCertificate = mail.caFile === undefined ? undefined : readText(mail.caFile);
  const transport = smtpTransport({ url: mail.url, caCertificate, from, hostname: new URL(issuer).hostname });
  return { transport, mailbox: undefined, close: () => transport.close() };
}

async function listenOn(given: { settings: Settings; server: Server; tls: Certificate; undo: Undo }): Promise<void> {
  const { settings, server, tls, undo } = given;
  const { host, port, plaintextPort } = settings;
  const listeners: Listener[] = [];
  // Both at once: each may take all of the time that a stop has.
  undo.push(() => Promise.all(listeners.map((listener) => listener.close(settings.shutdownSeconds * 1_000))));
  const { refusalHeaders, handler, plaintextHandler } = server;
  try {
    listeners.push(await listenHttps({ host, port, handler, refusalHeaders, tls }));
  } catch (error) {
    throw listenRefusal({ error, port, name: 'port', settings });
  }
  if (plaintextPort === 0) return;
  try {
    listeners.push(await listenPlaintext({ host, port: plaintextPort, handler: plaintextHandler, refusalHeaders }));
  } catch (error) {
    throw listenRefusal({ error, port: plaintextPort, name: 'plaintextPort', settings });
  }
}

/** Why a listener could not be had, in words. */
function listenRefusal(refused: {
  error: unknown;
  port: number;
  name: 'port' | 'plaintextPort';
  settings: Pick<Settings, 'host' | 'tls'>;
}): unknown {
  const { error, port, name, settings } = refused;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const variable = name === 'port' ? 'COUNTERSIGN_PORT' : 'COUNTERSIGN_PLAINTEXT_PORT';
  if (code === 'EADDRINUSE') {
    return new CommandRefused(
      'port_taken',
      `Listening on ${settings.host} port ${port}: another program has it. Stop that one, or set ${variable} (${name}) to ` +
        `another port${name === 'plaintextPort' ? ', or to 0 for no plaintext listener' : ''}.`,
    );
  }
  if (code.startsWith('ERR_OSSL') || code.startsWith('ERR_TLS') || code.startsWith('ERR_CRYPTO')) {
    const files =
      settings.tls.kind === 'files' ? `${settings.tls.certificateFile} and ${settings.tls.keyFile}` : 'made here';
    return new CommandRefused(
      'bad_certificate',
      `Listening on port ${port}: the certificate and key (${files}) cannot be used together (${code}). Both must be PEM, and the ` +
        'key must be that of the first certificate in the file, without a passphrase.',
    );
  }
  return error;
}

/** Which error, and where in the code: never its message, which may repeat what it was given. */
function crashFields(error: unknown): Record<string, string> {
  if (!(error instanceof Error)) return { error: typeof error };
  const { code } = failureOf(error);
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return { error: error.name, code, at: frames.map((line) => line.trim()).join(' | ') };
}
