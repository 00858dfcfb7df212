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
  encodeBase64url,
  type Handles,
} from '@countersign/protocol';
import type { Client } from '../clients/clients.ts';
import type { Keys } from '../keys/keys.ts';
import type { Limits } from '../limits/limits.ts';
import { OAuthError } from '../oauth/oauth.ts';
import type { Store } from '../store/store.ts';
import type { TokenRow, Tokens } from '../tokens/tokens.ts';
import type { Clock } from '../world/clock.ts';

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
      amr?: string[];
      cnf?: object;
    };

const HANDLE_BYTES = 16; // 128 bits

export class Introspection {
  readonly #tokens: Tokens;
  readonly #keys: Keys;
  readonly #limits: Limits;
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(given: { tokens: Tokens; keys: Keys; limits: Limits; store: Store; clock: Clock }) {
    this.#tokens = given.tokens;
    this.#keys = given.keys;
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
    for (const asked of tokens) answers.push(await this.#answer(caller, asked));
    return { epoch, answers };
  }

  /**
   * Evidence from a resource server. Signature, bytes and tag are verified here, by our own clock, before anything rings; a
   * reporter can neither ring with what is no forgery nor learn anything. Capped per key and minute.
   */
  async report(caller: Client, token: string, address: string): Promise<void> {
    requireResourceServer(caller);
    const taken = this.#limits.take('reportPerKey', `${caller.id} ${kidOf(token)}`);
    if (taken.kind === 'limited') return;
    await this.#tokens.judge(token, { address });
  }

  async #answer(caller: Client, asked: CheckRequest['tokens'][number]): Promise<CheckAnswer> {
    const { jti } = asked;
    const digest = decodeBase64url(asked.digest);
    const { verdict, row } = digest
      ? await this.#tokens.check(jti, digest)
      : { verdict: 'unknown' as const, row: undefined };
    if (!row || !caller.resourceServerFor.includes(row.audience)) return { jti, verdict: 'unknown' };
    if (verdict !== 'live') return { jti, verdict };
    // A superseded token within its overlap is live until the overlap ends.
    const endsAtMs = Math.min(row.expiresAtMs, row.supersededAtMs ?? row.expiresAtMs);
    const leftMs = Math.max(endsAtMs - this.#clock.now(), 1); // the verdict was live a moment ago
    return { jti, verdict, expires_in_ms: leftMs, handles: this.#handles(caller, row) };
  }

  #handles(caller: Client, row: TokenRow): Handles {
    const handle = (kind: string, id: string) =>
      encodeBase64url(this.#keys.mac('handle', JSON.stringify([caller.id, kind, id])).mac.subarray(0, HANDLE_BYTES));
    return {
      token: handle('token', row.jti),
      client: handle('client', row.clientId),
      key: handle('key', row.keyId),
      ...(row.grantId !== undefined && { grant: handle('grant', row.grantId) }),
      ...(row.userId !== undefined && { user: handle('user', row.userId) }),
    };
  }
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
