/**
 * One authority as `npm start` runs it, a proxy in front of it under whose address everybody knows it, and resource servers in
 * processes of their own behind that. Small bounds, so that a story lasts seconds.
 */
import { join } from 'node:path';
import type { VerifierOptions } from '@countersign/verifier';
import { Installation, type Registered, type RunningServer } from '../scenarios/command-line.ts';
import { opened } from '../scenarios/oauth-calls.ts';
import { ResourceServer } from './resource-server.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** The shortest bound there is. */
export const BOUND_MS = 3_000;
/** What a story allows beside the bound for a machine that does much else. */
export const MARGIN_MS = 2_000;

export class Stage {
  readonly here: Installation;
  readonly proxy: TcpProxy;
  server: RunningServer | undefined;
  readonly #ports: Installation;
  readonly #resourceServers: ResourceServer[] = [];
  #client: Registered | undefined;
  #api: Registered | undefined;

  private constructor(ports: Installation, proxy: TcpProxy) {
    this.#ports = ports;
    this.proxy = proxy;
    this.here = new Installation({ port: proxy.port, plaintextPort: ports.plaintextPort });
  }

  static async open(): Promise<Stage> {
    const ports = await Installation.make();
    const stage = new Stage(ports, await TcpProxy.listen(() => ports.port));
    await stage.start();
    const scope = ['--scope', 'accounts:read'];
    [stage.#client, stage.#api] = await Promise.all([
      stage.#add(['--name', 'App', '--grant-type', 'client_credentials', ...scope]),
      stage.#add(['--name', 'API', '--resource-server', stage.here.issuer]),
    ]);
    return stage;
  }

  async start(): Promise<RunningServer> {
    this.server = await this.here.start(this.#environment);
    return this.server;
  }

  async issue(): Promise<string> {
    const answer = await this.here.post('/oauth2/token', { grant_type: 'client_credentials', ...this.#client });
    if (answer.status !== 200) throw new Error(`No token: ${answer.status} ${JSON.stringify(answer.body)}`);
    return String(answer.body.access_token);
  }

  /** By the client, past the proxy: whatever that does, this is done at once. */
  async revoke(token: string): Promise<void> {
    const body = new URLSearchParams({ token, ...this.#client });
    const answer = await fetch(`${this.#ports.issuer}/oauth2/revoke`, { method: 'POST', body });
    if (answer.status !== 200) throw new Error(`Not revoked: ${answer.status} ${await answer.text()}`);
  }

  /** By the command line, which does not need the server. */
  async revokeByCommand(token: string): Promise<void> {
    const { jti } = opened(token).claims;
    const ran = await this.here.run(['token', 'revoke', String(jti)], { environment: this.#environment });
    if (ran.code !== 0) throw new Error(`Not revoked: ${ran.stderr}`);
  }

  /** A resource server that is ready, and knows these tokens. */
  async resourceServer(
    tokens: readonly string[],
    more: Partial<VerifierOptions> = {},
    environment: Record<string, string> = {},
  ): Promise<ResourceServer> {
    const { issuer, dataFolder } = this.here;
    const { client_id: clientId = '', client_secret: clientSecret = '' } = this.#api ?? {};
    const made = new ResourceServer({
      options: { issuer, audience: issuer, credentials: { clientId, clientSecret }, maxStalenessMs: BOUND_MS, ...more },
      caFile: join(dataFolder, 'tls', 'ca.pem'),
      environment,
    });
    this.#resourceServers.push(made);
    await made.ask('ready');
    for (const token of tokens) {
      const { outcome } = await made.ask('verify', token);
      if (outcome !== 'accepted') throw new Error(`A good token is ${outcome}`);
    }
    const { stalenessMs, entries } = await made.ask('status');
    if (stalenessMs === undefined || entries !== tokens.length)
      throw new Error('It has no lease, or remembers nothing');
    return made;
  }

  async close(): Promise<void> {
    for (const each of this.#resourceServers) await each.end();
    await this.proxy.close();
    await this.server?.stop('SIGKILL');
    this.here.remove();
    this.#ports.remove();
  }

  async #add(words: readonly string[]): Promise<Registered> {
    const ran = await this.here.run(['client', 'add', '--json', ...words], { environment: this.#environment });
    if (ran.code !== 0) throw new Error(`Not added: ${ran.stderr}`);
    return JSON.parse(ran.stdout) as Registered; // asserted where it is used
  }

  get #environment(): Record<string, string> {
    return { COUNTERSIGN_PORT: String(this.#ports.port), COUNTERSIGN_ISSUER: this.here.issuer };
  }
}
