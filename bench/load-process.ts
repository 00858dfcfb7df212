/**
 * The load generator: a closed loop of so many connections, each asking for the next token when it has the last one. Connections
 * are kept alive, as those of a busy client are. Any answer but 200 breaks the run: a refusal is quick and would count as speed.
 */
import { Agent, request } from 'node:https';
import { answerCalls, type ServerFacts } from './child.ts';

export interface LoadOrder {
  readonly server: ServerFacts;
  readonly flow: { readonly kind: 'client_credentials' } | { readonly kind: 'refresh'; readonly tokens: string[] };
  readonly connections: number;
  /** Not counted: sockets are opened, code is compiled. */
  readonly warmUpMs: number;
  readonly measuredMs: number;
  /** Ends the measurement early once so many tokens were issued, warm-up included. */
  readonly most?: number;
}

export interface LoadResult {
  readonly count: number;
  /** With the warm-up. */
  readonly total: number;
  readonly elapsedMs: number;
  readonly medianMs: number;
  readonly p99Ms: number;
}

answerCalls({ load: generate });

async function generate(order: LoadOrder): Promise<LoadResult> {
  const client = new TokenClient(order);
  const latenciesMs: number[] = [];
  const beganMs = performance.now();
  const fromMs = beganMs + order.warmUpMs;
  const untilMs = fromMs + order.measuredMs;
  const most = order.most ?? Number.POSITIVE_INFINITY;
  let total = 0;
  let lastMs = fromMs;

  const connection = async (number: number): Promise<void> => {
    const chains = chainsOf(order, number);
    for (let turn = 0; performance.now() < untilMs && total < most; turn++) {
      total++;
      const sentMs = performance.now();
      await client.next(chains, turn);
      const gotMs = performance.now();
      if (sentMs < fromMs || gotMs > untilMs) continue;
      latenciesMs.push(gotMs - sentMs);
      lastMs = gotMs;
    }
  };

  await Promise.all(Array.from({ length: order.connections }, (_, number) => connection(number)));
  client.close();
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)] ?? Number.NaN;
  return { count: latenciesMs.length, total, elapsedMs: lastMs - fromMs, medianMs: at(0.5), p99Ms: at(0.99) };
}

/** The refresh tokens of one connection: it takes turns with them, so that each grant is refreshed now and then. */
function chainsOf({ flow, connections }: LoadOrder, number: number): string[] {
  if (flow.kind === 'client_credentials') return [];
  const chains = flow.tokens.filter((_, index) => index % connections === number);
  if (chains.length === 0) throw new Error('There are fewer refresh tokens than connections.');
  return chains;
}

class TokenClient {
  readonly #agent: Agent;
  readonly #url: URL;
  readonly #authorization: string;

  constructor({ server, connections }: LoadOrder) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections, ca: server.caCertificate });
    this.#url = new URL(server.tokenEndpoint);
    const credentials = `${server.clientId}:${server.clientSecret}`; // both are spelled alike when form-urlencoded
    this.#authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
  }

  /** One token; the refresh token in `chains` is replaced by its successor. */
  async next(chains: string[], turn: number): Promise<void> {
    const index = turn % Math.max(chains.length, 1);
    const refreshToken = chains[index];
    const form = new URLSearchParams(
      refreshToken === undefined
        ? { grant_type: 'client_credentials' }
        : { grant_type: 'refresh_token', refresh_token: refreshToken },
    );
    const answer = await this.#post(form.toString());
    if (answer.status !== 200) throw new Error(`The token endpoint answered ${answer.status}: ${answer.body}`);
    const tokens: unknown = JSON.parse(answer.body);
    assertAccessToken(tokens);
    if (refreshToken === undefined) return;
    if (tokens.refresh_token === undefined || tokens.refresh_token === refreshToken) {
      throw new Error('The refresh token was not rotated.');
    }
    chains[index] = tokens.refresh_token;
  }

  close(): void {
    this.#agent.destroy();
  }

  #post(form: string): Promise<{ status: number | undefined; body: string }> {
    return new Promise((resolve, reject) => {
      const headers = {
        'content-type': 'application/x-www-form-urlencoded',
        'content-length': Buffer.byteLength(form),
        authorization: this.#authorization,
      };
      const sent = request(this.#url, { method: 'POST', agent: this.#agent, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString() }));
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end(form);
    });
  }
}

/** Both servers must do the same work: an ES256 JWS of type at+jwt, not an opaque string. */
function assertAccessToken(
  tokens: unknown,
): asserts tokens is { readonly access_token: string; readonly refresh_token?: string } {
  if (typeof tokens !== 'object' || tokens === null || !('access_token' in tokens)) throw new Error('No access token.');
  const header = String(tokens.access_token).split('.')[0] ?? '';
  const { alg, typ } = JSON.parse(Buffer.from(header, 'base64url').toString());
  if (alg !== 'ES256' || typ !== 'at+jwt') throw new Error(`The access token is ${typ} signed with ${alg}.`);
}
