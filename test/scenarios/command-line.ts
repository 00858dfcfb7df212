/** The command `countersign` in processes of its own, and what a person and an application do with the server it starts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { dropScratchDatabase, makeScratchDatabase } from '@countersign/server';
import { Browser, type TokenSet } from '@countersign/testkit';

const MAIN = fileURLToPath(new URL('../../packages/server/src/main.ts', import.meta.url));
/** Compiled sources of one command serve the next: a third of what a short command takes. */
const COMPILE_CACHE = fileURLToPath(new URL('../../node_modules/.cache/countersign-commands', import.meta.url));
/** A second on a machine of its own; several servers that start side by side on a busy one take many. */
const READY_WITHIN_MS = 45_000;
/** Whether this run of the tests is on PostgreSQL, as scripts/test.ts asks for it. */
export const ON_POSTGRES = process.env.COUNTERSIGN_TEST_ENGINE === 'postgres';
const DATABASES = {
  url: process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres',
  run: process.env.COUNTERSIGN_TEST_RUN ?? 'alone',
};
export const REDIRECT_URI = 'https://app.example/callback';

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunningServer {
  process: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** The exit code. */
  ended: Promise<number>;
  stop(signal?: NodeJS.Signals): Promise<number>;
}

export interface Registered {
  client_id: string;
  client_secret: string;
}

/** One data folder, its ports and its settings. */
export class Installation {
  readonly root = mkdtempSync(join(tmpdir(), 'countersign-command-'));
  readonly dataFolder = join(this.root, 'data');
  readonly port: number;
  readonly plaintextPort: number;
  readonly issuer: string;
  /** Settings of every command and server of it. */
  environment: Record<string, string> = {};
  #databaseUrl: string | undefined;
  readonly #running = new Set<ChildProcess>();
  /** Links that were followed or handed out: the next mail is one that is not among them. */
  readonly #seenLinks = new Set<string>();

  constructor(ports: { port: number; plaintextPort: number }) {
    this.port = ports.port;
    this.plaintextPort = ports.plaintextPort;
    this.issuer = `https://localhost:${this.port}`;
  }

  static async make(): Promise<Installation> {
    const [port = 0, plaintextPort = 0] = await freePorts(2);
    return new Installation({ port, plaintextPort });
  }

  /** Over the engine that the run asks for: a database file, or an empty database of PostgreSQL, with what a node of it is given. */
  static async onEngineOfRun(): Promise<Installation> {
    const made = await Installation.make();
    if (!ON_POSTGRES) return made;
    made.#databaseUrl = await makeScratchDatabase(DATABASES, { isEmpty: true });
    made.environment = {
      COUNTERSIGN_DATABASE_URL: made.#databaseUrl,
      COUNTERSIGN_MASTER_KEY: randomBytes(32).toString('base64'),
      COUNTERSIGN_JOURNAL_FOLDER: join(made.root, 'journals'),
    };
    return made;
  }

  /** Another machine that is reached by the same name: its own folder, the same ports. */
  elsewhere(): Installation {
    return new Installation({ port: this.port, plaintextPort: this.plaintextPort });
  }

  /** Ends what still runs, and takes the files away, and a database of its own. */
  async remove(): Promise<void> {
    for (const child of this.#running) child.kill('SIGKILL');
    rmSync(this.root, { recursive: true, force: true });
    if (this.#databaseUrl !== undefined) await dropScratchDatabase(DATABASES, this.#databaseUrl);
  }

  /** Runs a command to its end. */
  async run(
    words: readonly string[],
    more: { input?: string; environment?: Record<string, string>; endWithinMs?: number } = {},
  ): Promise<Ran> {
    const child = this.#spawn(words, more.environment);
    child.process.stdin?.end(more.input ?? '');
    // A server that should have refused to start would run for ever.
    const limit = more.endWithinMs && setTimeout(() => child.process.kill('SIGKILL'), more.endWithinMs);
    const code = await child.ended;
    if (limit) clearTimeout(limit);
    return { code, stdout: child.stdout(), stderr: child.stderr() };
  }

  /** Runs a command with --json and gives its document. Throws when it fails. */
  async json(words: readonly string[], input?: string): Promise<Record<string, unknown>> {
    const { code, stdout, stderr } = await this.run([...words, '--json'], input === undefined ? {} : { input });
    if (code !== 0) throw new Error(`countersign ${words.join(' ')} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as Record<string, unknown>; // the tests assert what they read of it
  }

  /** Starts the server, by the words of `launcher` if there are any, and waits until it says that it is ready. */
  async start(environment?: Record<string, string>, launcher?: readonly string[]): Promise<RunningServer> {
    const server = this.#spawn(['start'], environment, launcher);
    const giveUpAtMs = Date.now() + READY_WITHIN_MS;
    const isOver = server.ended.then(() => true);
    while (!/ready in |readyInMs/.test(server.stdout())) {
      const over = await Promise.race([isOver, pause(20).then(() => false)]);
      if (over || Date.now() > giveUpAtMs)
        throw new Error(`The server did not start: ${server.stdout()}${server.stderr()}`);
    }
    trust(readFileSync(join(this.dataFolder, 'tls', 'ca.pem'), 'utf8'));
    return server;
  }

  async addClient(words: readonly string[] = []): Promise<Registered> {
    const scope = ['--scope', 'openid email offline_access'];
    const added = await this.json([
      'client',
      'add',
      '--name',
      'App',
      '--redirect-uri',
      REDIRECT_URI,
      ...scope,
      ...words,
    ]);
    return { client_id: String(added.client_id), client_secret: String(added.client_secret) };
  }

  async addResourceServer(): Promise<Registered> {
    const added = await this.json(['client', 'add', '--name', 'API', '--resource-server', this.issuer]);
    return { client_id: String(added.client_id), client_secret: String(added.client_secret) };
  }

  /** Logs in by the link of the mail that arrives in the development mailbox. */
  async logIn(email: string): Promise<Browser> {
    const browser = new Browser(this.issuer);
    await browser.submit(await browser.get('/login'), { email });
    const link = await this.#linkFor(email);
    await browser.submit(await browser.get(link), {});
    if (!browser.cookies.has('__Host-session')) throw new Error('Not logged in');
    return browser;
  }

  /** A link that was mailed and not used. */
  async openLink(email: string): Promise<{ browser: Browser; link: string }> {
    const browser = new Browser(this.issuer);
    await browser.submit(await browser.get('/login'), { email });
    return { browser, link: await this.#linkFor(email) };
  }

  async obtainCode(browser: Browser, client: Registered): Promise<Record<string, string>> {
    const verifier = randomBytes(32).toString('base64url');
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: client.client_id,
      redirect_uri: REDIRECT_URI,
      scope: 'openid email offline_access',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    });
    let page = await browser.get(`/oauth2/authorize?${query}`);
    if (page.status === 200) page = await browser.submit(page, { decision: 'allow' }, { action: '/consent' });
    const code = new URL(page.headers.get('location') ?? 'about:blank').searchParams.get('code');
    if (!code) throw new Error(`No code: ${page.status} ${page.text.slice(0, 300)}`);
    return { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: REDIRECT_URI };
  }

  async obtainTokens(browser: Browser, client: Registered): Promise<TokenSet> {
    const answer = await this.post('/oauth2/token', { ...(await this.obtainCode(browser, client)), ...client });
    if (answer.status !== 200) throw new Error(`No tokens: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body as unknown as TokenSet; // RFC 6749 §5.1, asserted where it is read
  }

  refresh(client: Registered, token: string | undefined) {
    return this.post('/oauth2/token', { grant_type: 'refresh_token', refresh_token: token ?? '', ...client });
  }

  async isActive(resourceServer: Registered, token: string): Promise<boolean> {
    return (await this.post('/oauth2/introspect', { token, ...resourceServer })).body.active === true;
  }

  async post(path: string, form: Record<string, string>): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(`${this.issuer}${path}`, { method: 'POST', body: new URLSearchParams(form) });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }; // asserted where it is read
  }

  async #linkFor(email: string): Promise<string> {
    for (let tries = 0; tries < 200; tries++) {
      const list = await (await fetch(`${this.issuer}/dev/mailbox`)).text();
      for (const item of list.match(/<li>[\s\S]*?<\/li>/g) ?? []) {
        const path = item.includes(`to ${email},`) && /href="([^"]*\/dev\/mailbox\/[^"]+)"/.exec(item)?.[1];
        if (!path) continue;
        const mail = await (await fetch(new URL(path, this.issuer))).text();
        const link = /https:\/\/[^\s"<]+\/login\/link\?token=[^\s"<]+/.exec(mail)?.[0];
        if (!link || this.#seenLinks.has(link)) continue;
        this.#seenLinks.add(link);
        return link;
      }
      await pause(25);
    }
    throw new Error(`No mail to ${email} arrived`);
  }

  #spawn(
    words: readonly string[],
    environment: Record<string, string> = {},
    launcher: readonly string[] = [],
  ): RunningServer {
    const [program, ...programArguments] = [...launcher, process.execPath, MAIN, ...words] as [string, ...string[]]; // Node at least
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('COUNTERSIGN_'));
    const child = spawn(program, programArguments, {
      cwd: this.root,
      env: {
        ...Object.fromEntries(inherited),
        NODE_OPTIONS: '--conditions=countersign-source',
        NODE_COMPILE_CACHE: COMPILE_CACHE,
        COUNTERSIGN_DATA_FOLDER: this.dataFolder,
        COUNTERSIGN_PORT: String(this.port),
        COUNTERSIGN_PLAINTEXT_PORT: String(this.plaintextPort),
        ...this.environment,
        ...environment,
      },
    });
    this.#running.add(child);
    const written = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      written.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      written.stderr += text;
    });
    const ended = new Promise<number>((resolve) => {
      child.on('close', (code, signal) => {
        this.#running.delete(child);
        resolve(code ?? (signal === null ? -1 : 128));
      });
    });
    return {
      process: child,
      stdout: () => written.stdout,
      stderr: () => written.stderr,
      ended,
      stop(signal = 'SIGTERM') {
        child.kill(signal);
        return ended;
      },
    };
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Below the ports that systems hand out to connections (from 32,768 on Linux, 49,152 elsewhere): a server that is stopped and started
 * again finds its port free, however many connections were made meanwhile.
 */
const LOWEST_PORT = 20_000;
const HIGHEST_PORT = 32_000;

/** Ports of loopback that nobody has now. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    ports.add(port);
  }
  return [...ports];
}

function trust(caCertificate: string): void {
  setDefaultCACertificates([...getCACertificates('default'), caCertificate]);
}
