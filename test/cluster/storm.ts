/**
 * Honest clients in a hurry: each refreshes its own family again and again, now and then sends a token twice at once, takes an access
 * token back, or ends the family. A lost answer is asked for again with the same token, at whichever node. Everything they are told goes
 * to the judge.
 */
import type { Browser } from '@countersign/testkit';
import { nowMs } from '../coherence/resource-server.ts';
import type { Registered } from '../scenarios/command-line.ts';
import { opened } from '../scenarios/oauth-calls.ts';
import type { Chance } from '../simulation/chance.ts';
import { ask, insist } from './asking.ts';
import type { Cluster } from './cluster.ts';
import type { Judge } from './judge.ts';

/** Between two acts of a client: so that a dozen of them leave the processor to the nodes. */
const PAUSE_MS = 80;
const CHANCES = { twice: 0.15, revoke: 0.2, end: 0.004 };
/**
 * The authority refuses a grant more than twenty live access tokens, superseded ones within their overlap among them. A client in such a
 * hurry takes the oldest back before that.
 */
const MOST_KEPT = 15;

/** A grant as its client knows it. */
export interface Family {
  readonly grantId: string;
  readonly application: Registered;
  readonly supersedes: boolean;
  refreshToken: string;
  /** Those that may live, oldest first. */
  accessTokens: string[];
  /** How many refresh tokens it was handed; the grant's generation, if nothing was lost and nothing done twice. */
  generation: number;
  hasEnded: boolean;
  /** It was refused, and has to log in again: more answers were lost in a row than are repeated, or clocks differ. */
  isStuck: boolean;
}

/** Who takes part in a story, and what decides among them. */
export interface Players {
  cluster: Cluster;
  judge: Judge;
  chance: Chance;
  /** By more than the leeway: honest families may end. */
  clocksDiffer: boolean;
}

/** Families of one person, who logs in once. */
export async function beginFamilies({ cluster, judge }: Players, browser: Browser, count: number): Promise<Family[]> {
  const { superseding, keeping } = cluster.applications;
  const families: Family[] = [];
  for (let index = 0; index < count; index += 1) {
    const supersedes = index % 2 === 0;
    const application = supersedes ? superseding : keeping;
    const { access_token: accessToken, refresh_token: refreshToken = '' } = await cluster.here.obtainTokens(
      browser,
      application,
    );
    const grantId = String(opened(refreshToken).claims.gid);
    judge.issued(accessToken, grantId);
    const begun = { accessTokens: [accessToken], generation: 1, hasEnded: false, isStuck: false };
    families.push({ grantId, application, supersedes, refreshToken, ...begun });
  }
  return families;
}

export class Storm {
  readonly #given: Players;
  readonly #running: Promise<unknown>;
  #isOver = false;

  constructor(given: Players, families: readonly Family[]) {
    this.#given = given;
    this.#running = Promise.all(families.map((family) => this.#live(family)));
    this.#running.catch(() => {}); // told by end()
  }

  /** Every client finishes what it is about: no answer is left open. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #live(family: Family): Promise<void> {
    const { chance } = this.#given;
    while (!this.#isOver && !family.hasEnded && !family.isStuck) {
      if (chance.is(CHANCES.end)) await this.#endFamily(family);
      else if (chance.is(CHANCES.revoke) || family.accessTokens.length > MOST_KEPT) await this.#revoke(family);
      else await refresh(this.#given, family);
      await new Promise((resolve) => setTimeout(resolve, chance.delayMs(PAUSE_MS)));
    }
  }

  async #revoke(family: Family): Promise<void> {
    const { cluster, judge, chance } = this.#given;
    const token = family.accessTokens.shift();
    if (token === undefined) return;
    judge.asksToRevoke(token);
    const form = { token, ...family.application };
    const { status } = await insist(cluster, { path: '/oauth2/revoke', form }, chance);
    if (status === 200) judge.revoked(token, nowMs());
    else judge.saysWrong(`revoking an access token was answered ${status}`);
  }

  async #endFamily(family: Family): Promise<void> {
    const { cluster, judge, chance } = this.#given;
    judge.asksToEnd(family.grantId);
    const form = { token: family.refreshToken, ...family.application };
    const { status } = await insist(cluster, { path: '/oauth2/revoke', form }, chance);
    family.hasEnded = true;
    if (status === 200) judge.ended(family.grantId, nowMs());
    else judge.saysWrong(`ending a family was answered ${status}`);
  }
}

/** One exchange of a family's newest refresh token, sometimes begun at two nodes at once; repeated until it is answered. */
export async function refresh(players: Players, family: Family): Promise<void> {
  const { cluster, judge, chance } = players;
  const presented = family.refreshToken;
  const request = {
    path: '/oauth2/token',
    form: { grant_type: 'refresh_token', refresh_token: presented, ...family.application },
  };
  // The client's own timer may fire although the answer is under way, so the other try is one that nobody waits for.
  const other = chance.is(CHANCES.twice) ? ask(chance.pick(cluster.nodes) ?? cluster.node(0), request) : undefined;
  const [settled, also] = await Promise.all([insist(cluster, request, chance), other]);
  const lost = settled.lost + (other ? 1 : 0);
  const answers = [settled, ...(also?.kind === 'answered' ? [also] : [])].filter(({ status }) => status === 200);
  for (const { body } of answers) {
    const [successor, accessToken] = [String(body.refresh_token), String(body.access_token)];
    judge.rotated({ family: family.grantId, presented, successor, accessToken, supersedes: family.supersedes });
    if (family.refreshToken === presented) {
      family.accessTokens.push(accessToken);
      family.refreshToken = successor;
    }
  }
  if (answers.length > 0) family.generation += 1;
  if (settled.status === 200) return;
  judge.refusedRefresh({ family: family.grantId, status: settled.status, error: settled.body.error, lost });
  family.isStuck = answers.length === 0;
}

/** What the store keeps of the families is what their clients were told: no generation was lost, none was made twice. */
export async function compareWithStore(
  { cluster, judge, clocksDiffer }: Players,
  families: readonly Family[],
): Promise<void> {
  const rows = await cluster.query<{ id: string; generation: string; ended: boolean }>(
    'SELECT id, generation, ended_at_ms IS NOT NULL AS ended FROM oauth_grant WHERE id = ANY($1)',
    [families.map(({ grantId }) => grantId)],
  );
  const stored = new Map(rows.map((row) => [row.id, row]));
  for (const { grantId, generation, hasEnded, isStuck } of families) {
    const row = stored.get(grantId);
    const known = Number(row?.generation);
    // Of one that is stuck, the last exchange was done, and its client never heard of it.
    const isRight = known === generation || (isStuck && known === generation + 1);
    if (!isRight)
      judge.saysWrong(`family ${grantId} is at generation ${known}, and its client was told of ${generation}`);
    if (row?.ended !== hasEnded && !clocksDiffer)
      judge.saysWrong(`family ${grantId} ${row?.ended ? 'ended by itself' : 'did not end'}`);
  }
}
