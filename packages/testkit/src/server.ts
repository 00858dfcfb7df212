import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import {
  type Authority,
  type AuthorityGiven,
  composeAuthority,
  composeServer,
  type JournalEntry,
  listenHttps,
  listenPlaintext,
  localCertificate,
  type MailTransport,
  type OutgoingMail,
  pinoLog,
  type Server,
  systemRandom,
  systemStopwatch,
  systemTimers,
} from '@countersign/server';
import { SteeredClock } from './clock.ts';
import { engineOf } from './engine.ts';
import { type Flows, flowsOf } from './flows.ts';
import { openTestStore } from './store.ts';

/** What may differ from the usual. */
export interface TestServerOptions {
  settings?: Partial<AuthorityGiven['settings']>;
  /** A path in the issuer, as behind a proxy that serves several things; `/auth` for example. */
  issuerPath?: string;
  /** Limits are wide by default, so that a test that is not about them does not meet them. */
  limits?: AuthorityGiven['limits'] | 'real';
  /** Sends mails for real; by default they are caught in `mails`. */
  mailTransport?: MailTransport;
  masterKey?: Uint8Array;
  /** Opens the data folder of an earlier server again, with its database, and keeps both. */
  dataFolder?: string;
  /**
   * A PostgreSQL server to stand on, by its URL: the test server makes a database of its own there and drops it when it closes. By
   * default it stands on a database file (or on what `COUNTERSIGN_TEST_ENGINE` says).
   */
  databaseServerUrl?: string;
  /** Whether jobs run by themselves (default) or only by `server.runJobs()`. */
  jobs?: boolean;
}

/** A running authority and everything a test may hold of it. */
export interface TestServer extends Flows {
  issuer: string;
  /** Where it listens for TLS, whatever the issuer says. */
  tlsOrigin: string;
  plaintextOrigin: string;
  /** Every method and path that has an answer of its own. */
  routes: readonly { method: string; path: string }[];
  clock: SteeredClock;
  authority: Authority;
  dataFolder: string;
  masterKey: Uint8Array;
  caCertificate: string;
  /** Mails sent so far, oldest first (unless `mailTransport` was given). */
  mails: OutgoingMail[];
  /** Every log line so far, as JSON text. */
  logLines: string[];
  /** Entries of the revocation journal. */
  journal: JournalEntry[];
  /** Alarms so far, oldest first. */
  alarms(): Promise<{ type: string; keyId?: string | undefined; detail?: Record<string, unknown> }[]>;
  runJobs(): Promise<void>;
  close(): Promise<void>;
}

const WIDE = { points: 1_000_000 };
const WIDE_LIMITS = {
  loginPerAddress: WIDE,
  loginPerKnownBrowser: WIDE,
  loginPerNetwork: WIDE,
  clientSecretPerNetwork: WIDE,
  reportPerKey: WIDE,
  authorizePerNetwork: WIDE,
};

/** Starts an authority on free ports of loopback. Close it, or its files stay in the temporary folder. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const clock = new SteeredClock();
  const random = systemRandom;
  const logLines: string[] = [];
  const journal: JournalEntry[] = [];
  const mails: OutgoingMail[] = [];
  const log = pinoLog({ stream: { write: (line) => void logLines.push(line) }, level: 'info' });
  const timers = systemTimers({ onError: (error) => log.error('job failed', { cause: String(error) }) });
  const dataFolder = options.dataFolder ?? mkdtempSync(join(tmpdir(), 'countersign-test-'));
  const tls = await localCertificate({ dataFolder, clock, random });
  const caCertificate = readFileSync(tls.caCertificateFile, 'utf8');
  trust(caCertificate);
  const masterKey = options.masterKey ?? randomBytes(32);
  const engine = engineOf(options.databaseServerUrl);
  const { store, remove } = await openTestStore({ engine, dataFolder, clock, journal });

  const listeners = await openListeners(tls);
  const issuer = options.settings?.issuer ?? `${listeners.tlsOrigin}${options.issuerPath ?? ''}`;
  const caught: MailTransport = { send: async (mail) => void mails.push(mail) };
  const authority = await composeAuthority({
    world: {
      ...{ clock, random, log, timers, stopwatch: systemStopwatch },
      mailTransport: options.mailTransport ?? caught,
    },
    settings: {
      issuer,
      accessAlgorithm: 'ES256',
      mailsPerMinute: 100_000,
      organizationName: 'Countersign',
      signUp: true,
      hstsPreload: false,
      trustedProxies: [],
      ...options.settings,
    },
    store,
    masterKey,
    // Over the folder of an earlier one it has other ports, and with them another issuer.
    adoptsSettings: true,
    ...(options.limits === 'real' ? {} : { limits: { ...WIDE_LIMITS, ...options.limits } }),
  });
  const server = composeServer(authority, undefined);
  listeners.serve(server);
  if (options.jobs !== false) server.startJobs();

  return {
    ...{ issuer, clock, authority, dataFolder, masterKey, caCertificate, mails, logLines, journal },
    tlsOrigin: listeners.tlsOrigin,
    routes: server.routes,
    plaintextOrigin: listeners.plaintextOrigin,
    ...flowsOf({ issuer, authority, mails }),
    alarms: async () => (await authority.events.alarms({ limit: 1_000 })).reverse(),
    async runJobs() {
      await authority.mail.sendDue();
      await authority.alarms.step(1_000);
      await authority.tokens.sweep(1_000);
      await authority.grants.sweep(1_000);
    },
    async close() {
      server.stopAccepting();
      await listeners.close();
      await server.stopJobs();
      await store.close();
      if (options.dataFolder !== undefined) return;
      await remove();
      rmSync(dataFolder, { recursive: true, force: true });
    },
  };
}

/** How long a request under way may still take when the server closes. */
const CLOSE_WITHIN_MS = 2_000;

/** The issuer holds the port, so the sockets come first and what they serve after. */
async function openListeners(tls: { certificate: string; key: string }) {
  let serving: Server | undefined;
  const refusalHeaders: Record<string, string> = {};
  const listen = { host: 'localhost', port: 0 };
  const unready = () => new Response(null, { status: 503 });
  const https = await listenHttps({
    ...{ ...listen, tls, refusalHeaders },
    handler: (request, peer) => serving?.handler(request, peer) ?? unready(),
  });
  const plaintext = await listenPlaintext({
    ...listen,
    handler: (request, peer) => serving?.plaintextHandler(request, peer) ?? unready(),
  });
  return {
    tlsOrigin: `https://localhost:${https.port}`,
    plaintextOrigin: `http://localhost:${plaintext.port}`,
    serve(server: Server) {
      Object.assign(refusalHeaders, server.refusalHeaders);
      serving = server;
    },
    close: () => Promise.all([https.close(CLOSE_WITHIN_MS), plaintext.close(CLOSE_WITHIN_MS)]),
  };
}

/** Lets this process trust the test's own CA beside the public ones. */
function trust(caCertificate: string): void {
  setDefaultCACertificates([...getCACertificates('default'), caCertificate]);
}
