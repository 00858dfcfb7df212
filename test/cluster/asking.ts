/** A client that loses no heart: it asks at any node, and where no answer comes asks again, with the same words, somewhere else. */
import type { Chance } from '../simulation/chance.ts';
import type { Cluster } from './cluster.ts';
import type { ClusterNode } from './node.ts';

/** A node that answers later than this is asked no longer. */
const ANSWER_WITHIN_MS = 4_000;
/** Between two tries: growing, as whoever keeps asking a strained server makes it no better. */
const LONGEST_PAUSE_MS = 800;
/** Longer than any fault of these stories; past it service is not back. */
const GIVE_UP_AFTER_MS = 40_000;

/** `lost`: it may have been done or not. */
export type Answer = { kind: 'lost' } | { kind: 'answered'; status: number; body: Record<string, unknown> };

/** One try, at a node or at an origin. */
export async function ask(
  at: Pick<ClusterNode, 'origin'>,
  request: { path: string; form: Readonly<Record<string, string>> },
): Promise<Answer> {
  try {
    const response = await fetch(`${at.origin}${request.path}`, {
      method: 'POST',
      body: new URLSearchParams(request.form),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    const text = await response.text();
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>); // asserted where it is read
    return { kind: 'answered', status: response.status, body };
  } catch {
    return { kind: 'lost' };
  }
}

/** `lost`: how many tries may have been done before the one that was answered. */
export interface Settled {
  status: number;
  body: Record<string, unknown>;
  lost: number;
}

/** Tries until an answer says what became of it, at nodes by chance, and now and then at the front. */
export async function insist(
  cluster: Cluster,
  request: { path: string; form: Readonly<Record<string, string>> },
  chance: Chance,
): Promise<Settled> {
  const giveUpAtMs = performance.now() + GIVE_UP_AFTER_MS;
  for (let lost = 0; ; lost += 1) {
    const at = (chance.is(0.8) ? chance.pick(cluster.nodes) : undefined) ?? { origin: cluster.issuer };
    const answer = await ask(at, request);
    if (answer.kind === 'answered' && answer.status < 500 && answer.status !== 429)
      return { status: answer.status, body: answer.body, lost };
    if (performance.now() > giveUpAtMs) {
      const last = answer.kind === 'lost' ? 'lost' : `${answer.status} ${JSON.stringify(answer.body)}`;
      throw new Error(`No service for ${GIVE_UP_AFTER_MS} ms; the last answer to ${request.path}: ${last}`);
    }
    await new Promise((resolve) =>
      setTimeout(resolve, Math.min(50 * 2 ** lost, LONGEST_PAUSE_MS) * chance.between(0.5, 1)),
    );
  }
}
