/** Looking on: resource servers that verify all the time, and the question to every node what it knows of every token. */
import { createHash } from 'node:crypto';
import { nowMs, type ResourceServer } from '../coherence/resource-server.ts';
import { opened } from '../scenarios/oauth-calls.ts';
import type { Chance } from '../simulation/chance.ts';
import type { Cluster } from './cluster.ts';
import type { Judge } from './judge.ts';
import type { ClusterNode } from './node.ts';

/** Between two rounds of a resource server. */
const PAUSE_MS = 200;
/** So many of the newest tokens are verified in each round: with these storms, those of more than the bound and its margin. */
const NEWEST = 600;
/** The most that one request to `/verifier/check` may ask about. */
const BATCH = 256;
/** So many are introspected at each node besides: each is a request of its own. */
const INTROSPECTED = 40;

/** Resource servers that verify the newest tokens, dead or not, again and again until told to end. */
export class Watch {
  #isOver = false;
  readonly #running: Promise<unknown>;

  constructor(given: { judge: Judge; resourceServers: Readonly<Record<string, ResourceServer>> }) {
    const { judge } = given;
    this.#running = Promise.all(
      Object.entries(given.resourceServers).map(async ([name, resourceServer]) => {
        while (!this.#isOver) {
          const tokens = judge.tokens().slice(-NEWEST);
          const seen = await resourceServer.ask('verifyAll', tokens);
          for (const [index, each] of seen.entries()) judge.saw(name, tokens[index] ?? '', each);
          await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        }
      }),
    );
    this.#running.catch(() => {}); // told by end()
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}

/** Asks every node about every token that was ever told of, and introspects some. */
export async function askEveryNode({
  cluster,
  judge,
  chance,
}: {
  cluster: Cluster;
  judge: Judge;
  chance: Chance;
}): Promise<void> {
  const tokens = judge.tokens();
  for (const node of cluster.nodes) {
    for (let from = 0; from < tokens.length; from += BATCH) {
      const batch = tokens.slice(from, from + BATCH);
      const askedAtMs = nowMs();
      const verdicts = await check(cluster, node, batch);
      for (const [index, token] of batch.entries())
        judge.heard(node.name, token, { verdict: verdicts[index] ?? 'missing', askedAtMs });
    }
    for (let asked = 0; asked < Math.min(INTROSPECTED, tokens.length); asked += 1) {
      const token = chance.pick(tokens) ?? '';
      const askedAtMs = nowMs();
      const isActive = await introspect(cluster, node, token);
      // Introspection does not say why: what nobody took back may be superseded.
      judge.heard(node.name, token, { verdict: isActive ? 'live' : 'superseded', askedAtMs });
    }
  }
}

async function check(cluster: Cluster, node: ClusterNode, tokens: readonly string[]): Promise<string[]> {
  const { client_id: id, client_secret: secret } = cluster.applications.api;
  const response = await fetch(`${node.origin}/verifier/check`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Basic ${btoa(`${id}:${secret}`)}` },
    body: JSON.stringify({ tokens: tokens.map(identityOf) }),
  });
  if (response.status !== 200)
    throw new Error(`${node.name} answered a check ${response.status}: ${await response.text()}`);
  const { answers } = (await response.json()) as { answers: { verdict: string }[] }; // status 200
  return answers.map(({ verdict }) => verdict);
}

async function introspect(cluster: Cluster, node: ClusterNode, token: string): Promise<boolean> {
  const body = new URLSearchParams({ token, ...cluster.applications.api });
  const response = await fetch(`${node.origin}/oauth2/introspect`, { method: 'POST', body });
  if (response.status !== 200) throw new Error(`${node.name} answered an introspection ${response.status}`);
  return ((await response.json()) as { active: boolean }).active; // RFC 7662 §2.2
}

function identityOf(token: string): { jti: string; digest: string } {
  const signingInput = token.slice(0, token.lastIndexOf('.'));
  return {
    jti: String(opened(token).claims.jti),
    digest: createHash('sha256').update(signingInput).digest('base64url'),
  };
}
