import { createHash, randomBytes } from 'node:crypto';
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
  openSqliteStore,
  pinoLog,
  systemRandom,
  systemStopwatch,
  systemTimers,
} from '@countersign/server';
import { Browser } from './browser.ts';
import { SteeredClock } from './clock.ts';

type Registration = Parameters<Authority['clients']['add']>[0];
type Client = Awaited<ReturnType<Authority['clients']['add']>>['client'];

export interface TestServerOptions {
  settings?: Partial<AuthorityGiven['settings']>;
  /** A path in the issuer, as behind a proxy that serves several things; `/auth` for example. */
  issuerPath?: string;
  /** Limits are wide by default, so that a test that is not about them does not meet them. */
  limits?: AuthorityGiven['limits'] | 'real';
  /** Sends mails for real; by default they are caught in `mails`. */
  mailTransport?: MailTransport;
  masterKey?: Uint8Array;
  /** Opens the data folder of an earlier server again, and keeps it. */
  dataFolder?: string;
  /** Whether jobs run by themselves (default) or only by `server.runJobs()`. */
  jobs?: boolean;
}

export interface TokenSet {
  access_token: string;
  token_type: string;
  expires_in: number;
  scope: string;
  refresh_token?: string;
  id_token?: string;
}

/** A running authority and everything a test may hold of it. */
export interface TestServer {
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
  browser(userAgent?: string): Browser;
  /** Waits for the newest mail to an address that came after `after` mails. */
  mailTo(address: string, after?: number): Promise<OutgoingMail>;
  /** A browser that is logged in, by following the link of a mail. */
  logIn(email: string, browser?: Browser): Promise<Browser>;
  addClient(registration?: Partial<Registration>): Promise<{ client: Client; secret: string }>;
  /** A resource server's credentials for the default audience. */
  addResourceServer(audience?: string): Promise<{ client: Client; secret: string }>;
  /** Runs the code flow with PKCE, agreeing to everything, up to the code. */
  obtainCode(flow: CodeFlow): Promise<{ code: string; verifier: string; redirectUri: string; location: URL }>;
  obtainTokens(flow: CodeFlow & { secret: string | undefined }): Promise<TokenSet>;
  /** `POST` of a form, with the client's credentials in it where given. */
  post(path: string, form: Record<string, string>, init?: RequestInit): Promise<Response>;
  /** Alarms so far, oldest first. */
  alarms(): Promise<{ type: string; keyId?: string | undefined; detail?: Record<string, unknown> }[]>;
  runJobs(): Promise<void>;
  close(): Promise<void>;
}

export interface CodeFlow {
  browser: Browser;
  client: Client;
  scope?: string;
  parameters?: Record<string, string>;
}

export const DEFAULT_AUDIENCE = 'https://api.example';
const REDIRECT_URI = 'https://app.example/callback';
const WIDE = { points: 1_000_000 };
const WIDE_LIMITS = {
  loginPerAddress: WIDE,
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
  const store = openSqliteStore({ dataFolder, clock, journal: { kind: 'collected', entries: journal } });

  // The issuer holds the port, so the sockets come first and the handlers after.
  let handle: (request: Request, peer: { address: string | undefined }) => Promise<Response>;
  let handlePlaintext: typeof handle;
  const refusalHeaders: Record<string, string> = {};
  const listen = { host: 'localhost', port: 0 };
  const https = await listenHttps({
    ...listen,
    ...{ tls, refusalHeaders },
    handler: (request, peer) => handle(request, peer),
  });
  const plaintext = await listenPlaintext({ ...listen, handler: (request, peer) => handlePlaintext(request, peer) });
  const issuer = options.settings?.issuer ?? `https://localhost:${https.port}${options.issuerPath ?? ''}`;
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
    ...(options.limits === 'real' ? {} : { limits: { ...WIDE_LIMITS, ...options.limits } }),
  });
  const server = composeServer(authority, undefined);
  Object.assign(refusalHeaders, server.refusalHeaders);
  handle = server.handler;
  handlePlaintext = server.plaintextHandler;
  if (options.jobs !== false) server.startJobs();

  const test: TestServer = {
    ...{ issuer, clock, authority, dataFolder, masterKey, caCertificate, mails, logLines, journal },
    tlsOrigin: `https://localhost:${https.port}`,
    routes: server.routes,
    plaintextOrigin: `http://localhost:${plaintext.port}`,
    browser: (userAgent) => new Browser(new URL(issuer).origin, userAgent),
    async mailTo(address, after = 0) {
      for (let tries = 0; tries < 400; tries++) {
        await authority.mail.sendDue();
        const mail = mails.slice(after).findLast(({ to }) => to === address);
        if (mail) return mail;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new Error(`No mail to ${address} arrived`);
    },
    async logIn(email, browser = test.browser()) {
      const after = mails.length;
      const sent = await browser.submit(await browser.get('/login'), { email });
      if (sent.status !== 200)
        throw new Error(`Starting the login answered ${sent.status}: ${sent.text.slice(0, 300)}`);
      const link = linkIn(await test.mailTo(email, after));
      const finished = await browser.submit(await browser.get(link), {});
      if (!browser.cookies.has('__Host-session')) throw new Error(`Not logged in: ${finished.text.slice(0, 500)}`);
      return browser;
    },
    async addClient(registration = {}) {
      const added = await authority.clients.add({
        name: 'Test application',
        isConfidential: true,
        redirectUris: [REDIRECT_URI],
        scopes: ['openid', 'email', 'offline_access', 'accounts:read'],
        audience: DEFAULT_AUDIENCE,
        ...registration,
      });
      return { client: added.client, secret: added.secret ?? '' };
    },
    async addResourceServer(audience = DEFAULT_AUDIENCE) {
      return test.addClient({
        name: 'Resource server',
        redirectUris: [],
        grantTypes: [],
        scopes: [],
        resourceServerFor: [audience],
      });
    },
    async obtainCode({ browser, client, scope, parameters }) {
      const verifier = randomBytes(32).toString('base64url');
      const redirectUri = client.redirectUris[0] ?? REDIRECT_URI;
      const query = new URLSearchParams({
        response_type: 'code',
        client_id: client.id,
        redirect_uri: redirectUri,
        state: randomBytes(16).toString('base64url'),
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
        ...(scope !== undefined && { scope }),
        ...parameters,
      });
      let page = await browser.get(`/oauth2/authorize?${query}`);
      if (page.status === 200) page = await browser.submit(page, { decision: 'allow' }, { action: '/consent' });
      const location = new URL(page.headers.get('location') ?? 'about:blank');
      const code = location.searchParams.get('code');
      if (!code) throw new Error(`No code: ${page.status} ${location.href} ${page.text.slice(0, 500)}`);
      return { code, verifier, redirectUri, location };
    },
    async obtainTokens(flow) {
      const { code, verifier, redirectUri } = await test.obtainCode(flow);
      const response = await test.post('/oauth2/token', {
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: redirectUri,
        client_id: flow.client.id,
        ...(flow.secret !== undefined && { client_secret: flow.secret }),
      });
      const body = await response.text();
      if (response.status !== 200) throw new Error(`No tokens: ${response.status} ${body}`);
      return JSON.parse(body) as TokenSet;
    },
    post: (path, form, init = {}) =>
      fetch(new URL(path, issuer), { method: 'POST', body: new URLSearchParams(form), ...init }),
    alarms: async () => (await authority.events.alarms({ limit: 1_000 })).reverse(),
    async runJobs() {
      await authority.mail.sendDue();
      await authority.alarms.step(1_000);
      await authority.tokens.sweep(1_000);
      await authority.grants.sweep(1_000);
    },
    async close() {
      server.stopAccepting();
      await Promise.all([https.close(2_000), plaintext.close(2_000)]);
      await store.close();
      if (options.dataFolder === undefined) rmSync(dataFolder, { recursive: true, force: true });
    },
  };
  return test;
}

/** The login link in a mail. */
export function linkIn(mail: OutgoingMail): string {
  const link = /https:\/\/\S+\/login\/link\?token=\S+/.exec(mail.text)?.[0];
  if (!link) throw new Error(`No link in the mail "${mail.subject}"`);
  return link;
}

/** The six characters in a mail, as the page wants them. */
export function codeIn(mail: OutgoingMail): string {
  const code = /code there: ([A-Z0-9]{3}-[A-Z0-9]{3})$/m.exec(mail.text)?.[1];
  if (!code) throw new Error(`No code in the mail "${mail.subject}"`);
  return code;
}

/** Lets this process trust the test's own CA beside the public ones. */
function trust(caCertificate: string): void {
  setDefaultCACertificates([...getCACertificates('default'), caCertificate]);
}
