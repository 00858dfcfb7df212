/**
 * Several nodes over one PostgreSQL of their own, behind a front that carries the issuer's address; a mail server; and resource servers
 * in processes of their own. Small bounds, so that a story lasts seconds.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Clock, localCertificate, systemRandom } from '@countersign/server';
import { Browser } from '@countersign/testkit';
import type { VerifierOptions } from '@countersign/verifier';
import { run } from '../../packages/server/src/cli/cli.ts';
import { FakeTerminal } from '../../packages/server/src/cli/testing/terminal.ts';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { ResourceServer } from '../coherence/resource-server.ts';
import { Installation, REDIRECT_URI, type Registered } from '../scenarios/command-line.ts';
import { openSmtpBox, readMail, type SmtpBox } from '../scenarios/smtp-box.ts';
import { ask } from './asking.ts';
import { Front } from './front.ts';
import { ClusterNode } from './node.ts';
import { PrivatePostgres } from './private-postgres.ts';

/** The shortest bound a verifier can be given. */
export const BOUND_MS = 3_000;
/** What a story allows beside the bound for a machine that does much else. */
export const MARGIN_MS = 2_000;

const ANOTHER_WAY = fileURLToPath(new URL('./another-way.ts', import.meta.url));
const DATABASE = 'countersign';
const NODES = 3;

/** How far and for how long what was replaced is still honoured: as long as can be set, longer than a fault lasts here. */
const OVERLAP = ['--overlap', '30s', '--grace', '30s'];

export interface Applications {
  /** A refresh ends its grant's older access tokens, after the overlap. */
  superseding: Registered;
  /** A refresh ends nothing. */
  keeping: Registered;
  /** Obtains tokens for itself. */
  machine: Registered;
  api: Registered;
}

export interface ClusterOptions {
  /** Settings of all nodes, e.g. another way of waking each other; and of single ones, by their place. */
  settings?: (ports: { bus: number; place: number }) => Record<string, string>;
  /** Where what carries wake-ups listens, if that is no part of PostgreSQL. */
  busPort?: number;
}

export class Cluster {
  readonly postgres: PrivatePostgres;
  readonly front: Front;
  readonly box: SmtpBox;
  /** For people, who come through the front. */
  readonly here: Installation;
  readonly #root: string;
  readonly #commandEnvironment: Record<string, string>;
  readonly #resourceServers: ResourceServer[] = [];
  #applications: Applications | undefined;

  private constructor(given: {
    postgres: PrivatePostgres;
    front: Front;
    box: SmtpBox;
    here: Installation;
    root: string;
    commandEnvironment: Record<string, string>;
  }) {
    this.postgres = given.postgres;
    this.front = given.front;
    this.box = given.box;
    this.here = given.here;
    this.#root = given.root;
    this.#commandEnvironment = given.commandEnvironment;
  }

  /** All nodes run, and applications are registered. */
  static async open({ settings = () => ({}), busPort = 0 }: ClusterOptions = {}): Promise<Cluster> {
    const root = mkdtempSync(join(tmpdir(), 'countersign-cluster-'));
    const clock: Clock = { now: () => Date.now() };
    const [postgres, box] = await Promise.all([PrivatePostgres.make(), openSmtpBox({ startTls: true, clock })]);
    await postgres.createDatabase(DATABASE);
    await localCertificate({ dataFolder: root, clock, random: systemRandom });
    const smtpCaFile = join(root, 'smtp-ca.pem');
    writeFileSync(smtpCaFile, box.caCertificate);
    const masterKey = randomBytes(32).toString('base64');
    const common = (ports: { database: number; mail: number }) => ({
      COUNTERSIGN_DATABASE_URL: postgres.urlOf(DATABASE, ports.database),
      COUNTERSIGN_MASTER_KEY: masterKey,
      COUNTERSIGN_SMTP_URL: `smtp://localhost:${ports.mail}`,
      COUNTERSIGN_SMTP_CA_FILE: smtpCaFile,
    });
    const front = await Front.open((port) =>
      Promise.all(
        Array.from({ length: NODES }, (_, place) =>
          ClusterNode.make({
            ...{ name: `node ${place + 1}`, issuer: `https://localhost:${port}`, tlsFolder: join(root, 'tls') },
            ...{ databasePort: postgres.port, busPort, mailPort: box.port },
            environmentOf: ({ bus, ...ports }) => ({ ...common(ports), ...settings({ bus, place }) }),
          }),
        ),
      ),
    );
    const here = new Installation({ port: front.proxy.port, plaintextPort: 0 });
    const commandEnvironment = {
      ...{ COUNTERSIGN_DATA_FOLDER: join(root, 'operator'), COUNTERSIGN_ISSUER: here.issuer },
      ...common({ database: postgres.port, mail: box.port }),
    };
    const cluster = new Cluster({ postgres, front, box, here, root, commandEnvironment });
    try {
      await Promise.all(cluster.nodes.map((node) => node.start()));
      await eventually('the front has found them', () => front.ready.size === NODES);
      cluster.#applications = await cluster.#register();
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  get nodes(): readonly ClusterNode[] {
    return this.front.nodes;
  }

  node(place: number): ClusterNode {
    const node = this.nodes[place];
    if (!node) throw new Error(`There is no node ${place}`);
    return node;
  }

  get issuer(): string {
    return this.here.issuer;
  }

  get applications(): Applications {
    if (!this.#applications) throw new Error('Nothing is registered yet');
    return this.#applications;
  }

  /** Rows of the nodes' database, past whatever stands between it and them. */
  query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.postgres.query<Row>(DATABASE, text, values);
  }

  /** Logs in by the link of the mail that arrives. */
  async logIn(email: string): Promise<Browser> {
    const browser = new Browser(this.issuer);
    const seen = this.box.received.length;
    await browser.submit(await browser.get('/login'), { email });
    let link: string | undefined;
    await eventually('the mail arrives', () => {
      const mail = this.box.received
        .slice(seen)
        .map(readMail)
        .find(({ head }) => head.includes(email));
      link = /https:\/\/[^\s"<]+\/login\/link\?token=[^\s"<]+/.exec(mail?.text ?? '')?.[0];
      return link !== undefined;
    });
    await browser.submit(await browser.get(link ?? ''), {});
    if (!browser.cookies.has('__Host-session')) throw new Error('Not logged in');
    return browser;
  }

  /** A resource server that is ready, by way of the front or of something else. */
  async resourceServer(
    more: Partial<VerifierOptions> = {},
    way: { port: number } = this.front.proxy,
  ): Promise<ResourceServer> {
    const { client_id: clientId, client_secret: clientSecret } = this.applications.api;
    const { issuer } = this;
    const made = new ResourceServer({
      options: { issuer, audience: issuer, credentials: { clientId, clientSecret }, maxStalenessMs: BOUND_MS, ...more },
      caFile: join(this.#root, 'tls', 'ca.pem'),
      environment: { COUNTERSIGN_WAY: `${this.front.proxy.port} ${way.port}` },
      preload: [ANOTHER_WAY],
    });
    this.#resourceServers.push(made);
    await made.ask('ready');
    return made;
  }

  /** A token of the machine's, from a node or the front. */
  async issue(at: { origin: string } = { origin: this.issuer }): Promise<string> {
    const form = { grant_type: 'client_credentials', ...this.applications.machine };
    const answer = await ask(at, { path: '/oauth2/token', form });
    if (answer.kind === 'lost' || answer.status !== 200) throw new Error(`No token: ${JSON.stringify(answer)}`);
    return String(answer.body.access_token);
  }

  /** Takes a token of the machine's back. Resolves when that was acknowledged. */
  async revoke(token: string, at: { origin: string } = { origin: this.issuer }): Promise<void> {
    const answer = await ask(at, { path: '/oauth2/revoke', form: { token, ...this.applications.machine } });
    if (answer.kind === 'lost' || answer.status !== 200) throw new Error(`Not revoked: ${JSON.stringify(answer)}`);
  }

  /** What no story may cause: a node that ended without being told to. */
  get crashes(): readonly string[] {
    return this.nodes.flatMap(({ crashes }) => crashes);
  }

  async close(): Promise<void> {
    await Promise.all(this.#resourceServers.map((each) => each.end()));
    await this.front.close();
    await Promise.all(this.nodes.map((node) => node.remove()));
    await Promise.all([this.postgres.drop(), this.box.remove()]);
    this.here.remove();
    rmSync(this.#root, { recursive: true });
  }

  /** A command as the operator runs it, within this process: one of its own costs a second of a processor. */
  async command(words: readonly string[]): Promise<Record<string, unknown>> {
    const terminal = new FakeTerminal();
    const code = await run(terminal.for([...words, '--json'], this.#commandEnvironment));
    if (code !== 0) throw new Error(`countersign ${words.join(' ')} ended with ${code}: ${terminal.stderr}`);
    return JSON.parse(terminal.stdout) as Record<string, unknown>; // asserted where it is read
  }

  async #register(): Promise<Applications> {
    const add = async (...words: string[]) => {
      const added = await this.command(['client', 'add', ...words]);
      return { client_id: String(added.client_id), client_secret: String(added.client_secret) };
    };
    const web = ['--name', 'App', '--redirect-uri', REDIRECT_URI, '--scope', 'openid email offline_access', ...OVERLAP];
    return {
      superseding: await add(...web),
      keeping: await add(...web, '--single-active', 'off'),
      machine: await add('--name', 'Machine', '--grant-type', 'client_credentials', '--scope', 'accounts:read'),
      api: await add('--name', 'API', '--resource-server', this.issuer),
    };
  }
}
