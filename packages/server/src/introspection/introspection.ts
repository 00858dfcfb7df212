/**
 * Introspection: what resource servers may learn of a token. Owns the answers to RFC 7662, to the verifier SDK's checks and to
 * its evidence; owns no table. Leaves the verdict to tokens/.
 *
 * A resource server is a client registered for audiences. It hears only of tokens for these; any other token is, to it, one that
 * does not exist. It never learns a record, an `eb` or why a token is dead, except that the SDK's check names the verdict of a
 * token whose bytes the resource server already holds.
 */
import {
  type CheckAnswer,
  type CheckRequest,
  type CheckResponse,
  decodeBase64url,
  type Handles,
  type ReportRequest,
} from '@countersign/protocol';
import type { Client } from '../clients/clients.ts';
import type { Events } from '../events/events.ts';
import type { Limits } from '../limits/limits.ts';
import { OAuthError } from '../oauth/oauth.ts';
import type { Store } from '../store/store.ts';
import type { ClientsOfBatch, TokenRow, Tokens } from '../tokens/tokens.ts';
import type { Clock } from '../world/clock.ts';
import type { HandleNames, HandlesOfOne } from './handles.ts';
import { Uncounted } from './uncounted.ts';

export { HandleNames } from './handles.ts';

/** RFC 7662 §2.2. An inactive token is nothing but `active: false`. */
export type IntrospectionResponse =
  | { active: false }
  | {
      active: true;
      iss: string;
      sub: string;
      aud: string;
      client_id: string;
      jti: string;
      iat: number;
      exp: number;
      scope: string;
      token_type: 'Bearer';
      auth_time?: number;
      amr?: readonly string[];
      cnf?: object;
    };

export class Introspection {
  readonly #tokens: Tokens;
  readonly #handles: HandleNames;
  readonly #events: Events;
  readonly #limits: Limits;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #uncounted = new Uncounted();

  constructor(given: {
    tokens: Tokens;
    handles: HandleNames;
    events: Events;
    limits: Limits;
    store: Store;
    clock: Clock;
  }) {
    this.#tokens = given.tokens;
    this.#handles = given.handles;
    this.#events = given.events;
    this.#limits = given.limits;
    this.#store = given.store;
    this.#clock = given.clock;
  }

  /** RFC 7662, for one caller. @throws OAuthError 403 for a client that is no resource server */
  async introspect(caller: Client, token: string, address: string): Promise<IntrospectionResponse> {
    requireResourceServer(caller);
    const judgement = await this.#tokens.judge(token, { address });
    if (judgement.kind !== 'judged' || judgement.verdict !== 'live') return { active: false };
    const { claims, row } = judgement;
    if (!caller.resourceServerFor.includes(row.audience)) return { active: false };
    const { iss, sub, aud, client_id, jti, iat, exp, scope, auth_time, amr, cnf } = claims;
    return {
      active: true,
      ...{ iss, sub, aud, client_id, jti, iat, exp, scope, token_type: 'Bearer' },
      ...(auth_time !== undefined && { auth_time }),
      ...(amr && { amr }),
      ...(cnf && { cnf }),
    };
  }

  /** The SDK's batch. Reading begins after the whole batch arrived. @throws OAuthError 403 */
  async check(caller: Client, tokens: CheckRequest['tokens']): Promise<CheckResponse> {
    requireResourceServer(caller);
    const epoch = await this.#store.epoch();
    const answers: CheckAnswer[] = [];
    const batch = { clients: new Map(), handles: this.#handles.for(caller.id) };
    for (const asked of tokens) answers.push(await this.#answer(caller, asked, batch));
    return { epoch, answers };
  }

  /**
   * Evidence from a resource server. Signature, bytes and tag are verified here, by our own clock, before anything rings; a
   * reporter can neither ring with what is no forgery nor learn anything. Capped per key and minute; what is above that, and what the
   * reporter suppressed himself, is counted behind a token that rang.
   */
  async report(caller: Client, evidence: ReportRequest, address: string): Promise<void> {
    requireResourceServer(caller);
    const { token, suppressed = 0 } = evidence;
    const kind = `${caller.id} ${kidOf(token)}`;
    if (this.#limits.take('reportPerKey', kind).kind === 'limited') {
      this.#uncounted.seen(kind, suppressed + 1, this.#clock.now());
      return;
    }
    const rang = await this.#tokens.judgeEvidence(token, { address });
    if (rang) this.#uncounted.rang(kind, rang, this.#clock.now());
    // What did not ring, perhaps a good token sent along with a number, makes nothing of the number.
    if (rang && suppressed > 0) this.#uncounted.seen(kind, suppressed, this.#clock.now());
  }

  /** Adds what was seen and not looked at to the record. Bounded by the kinds that rang within a minute. What fails waits for the next call. */
  async countEvidence(): Promise<{ counted: number }> {
    const due = this.#uncounted.take(this.#clock.now());
    // All at once: they share a commit, and a server that stops right after this call still makes it.
    const recorded = await Promise.allSettled(due.map(({ event }) => this.#events.record(event)));
    let counted = 0;
    for (const [index, { status }] of recorded.entries()) {
      const one = due[index];
      if (status === 'fulfilled') counted++;
      else if (one) this.#uncounted.giveBack(one);
    }
    const failure = recorded.find((outcome) => outcome.status === 'rejected');
    if (failure) throw failure.reason;
    return { counted };
  }

  async #answer(caller: Client, asked: CheckRequest['tokens'][number], batch: Batch): Promise<CheckAnswer> {
    const { jti } = asked;
    const digest = decodeBase64url(asked.digest);
    const { verdict, row } = digest
      ? await this.#tokens.check(jti, digest, batch.clients)
      : { verdict: 'unknown' as const, row: undefined };
    if (!row || !caller.resourceServerFor.includes(row.audience)) return { jti, verdict: 'unknown' };
    if (verdict !== 'live') return { jti, verdict };
    // A superseded token within its overlap is live until the overlap ends.
    const endsAtMs = Math.min(row.expiresAtMs, row.supersededAtMs ?? row.expiresAtMs);
    const leftMs = Math.max(endsAtMs - this.#clock.now(), 1); // the verdict was live a moment ago
    return { jti, verdict, expires_in_ms: leftMs, handles: handlesOf(row, batch.handles) };
  }
}

/** What the checks of one batch share. */
interface Batch {
  clients: ClientsOfBatch;
  handles: HandlesOfOne;
}

function handlesOf(row: TokenRow, handles: HandlesOfOne): Handles {
  return {
    token: handles.of('token', row.jti),
    client: handles.of('client', row.clientId),
    key: handles.of('key', row.keyId),
    ...(row.grantId !== undefined && { grant: handles.of('grant', row.grantId) }),
    ...(row.userId !== undefined && { user: handles.of('user', row.userId) }),
  };
}

export function requireResourceServer(caller: Client): void {
  if (caller.resourceServerFor.length > 0) return;
  throw new OAuthError(
    'insufficient_scope',
    'forbidden.not_a_resource_server',
    'Only a client registered as a resource server may ask about tokens.',
  );
}

/** Only a name for counting: the token is not read, let alone believed. */
function kidOf(token: string): string {
  return token.slice(0, Math.min(Math.max(token.indexOf('.'), 0), 200));
}
