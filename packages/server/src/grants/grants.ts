/**
 * Grants: a user's authorization of a client, and the family of tokens that comes of it.
 *
 * Owns the tables `oauth_grant` and `authorization_code`, and thereby every way to obtain tokens: redeeming a code, refreshing,
 * client credentials. Leaves access tokens to tokens/, the asking of the user to authorization/.
 *
 *     code issued → redeemed once (the grant begins) → refreshed, generation by generation → ended | expired → swept
 *
 * Ending a grant kills its tokens in the same commit: by the user, the client, a logout, a replayed code or refresh token.
 */
import type { Buckets } from '../buckets/buckets.ts';
import type { Client, Clients } from '../clients/clients.ts';
import type { Events } from '../events/events.ts';
import type { Keys } from '../keys/keys.ts';
import { OAuthError } from '../oauth/oauth.ts';
import type { Revocation } from '../revocation/revocation.ts';
import type { Sealer } from '../sealing/sealing.ts';
import type { Sessions } from '../sessions/sessions.ts';
import {
  type Act,
  type JournalEntry,
  joinedActs,
  type Sql,
  type Store,
  type Transaction,
  type Writes,
} from '../store/store.ts';
import type { Tokens } from '../tokens/tokens.ts';
import type { User, Users } from '../users/users.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import { type AuthorizationCode, type CodeRequest, Codes } from './codes.ts';
import { endingGrant, endingGrantById, endingGrantsOfSession } from './ending.ts';
import { OwnRows } from './own-rows.ts';
import { Refreshing } from './refreshing.ts';
import type { GrantRow } from './rows.ts';
import { narrowedScope } from './scope.ts';
import {
  deleteFinished,
  type EndedGrant,
  eraseResponses,
  markingEnded,
  markNextEnded,
  movingToSession,
  setRotatedFromJournal,
} from './table.ts';
import { type TokenResponse, tokenResponse } from './token-response.ts';

export type { AuthorizationCode, CodeRequest } from './codes.ts';
export type { GrantRow } from './rows.ts';
export type { TokenResponse } from './token-response.ts';

export type EndReason =
  | 'user'
  | 'client'
  | 'operator'
  | 'logout'
  | 'code_replayed'
  | 'refresh_replayed'
  | 'cleartext'
  | 'restore';

/** What the parts of this domain are given; server.ts fills it in. */
export interface GrantsGiven {
  store: Store;
  sealer: Sealer;
  keys: Keys;
  buckets: Buckets;
  tokens: Tokens;
  users: Users;
  clients: Clients;
  sessions: Sessions;
  revocation: Revocation;
  events: Events;
  clock: Clock;
  random: Random;
  issuer: string;
  /** Makes ID tokens; identity/ does, and knows what goes into them. */
  idTokens: IdTokens;
}

/** The same with what this domain makes of it. */
export interface GrantParts extends GrantsGiven {
  rows: OwnRows;
}

export interface IdTokens {
  issue(about: {
    client: Client;
    userId: string;
    sessionId: string | undefined;
    nonce: string | undefined;
    authTimeMs: number;
    amr: readonly string[];
  }): Promise<string>;
}

export class Grants {
  readonly #given: GrantParts;
  readonly #codes: Codes;
  readonly #refreshing: Refreshing;

  constructor(given: GrantsGiven) {
    const parts = { ...given, rows: new OwnRows(given.buckets) };
    this.#given = parts;
    this.#refreshing = new Refreshing(parts);
    this.#codes = new Codes(parts);
  }

  /** Issues an authorization code: 256 bits, 60 s, once. */
  async issueCode(request: CodeRequest): Promise<string> {
    return this.#codes.issue(request);
  }

  /**
   * Redeems a code. Exactly one of any number of parallel tries succeeds. A second, otherwise valid try ends the grant that the
   * first one began (RFC 6749 §4.1.2); a try that fails client, redirect URI or verifier can end nothing.
   * @throws OAuthError invalid_grant
   */
  async redeemCode(
    client: Client,
    presented: { code: string; redirectUri: string | undefined; verifier: string | undefined; address: string },
  ): Promise<TokenResponse> {
    return this.#codes.redeem(client, presented);
  }

  /** Exchanges a refresh token for its one successor. @throws OAuthError invalid_grant, invalid_scope, invalid_target */
  async refresh(
    client: Client,
    presented: { token: string; scope: string | undefined; resource: string | undefined; address: string },
  ): Promise<TokenResponse> {
    return this.#refreshing.refresh(client, presented);
  }

  /** A token for the client itself (RFC 6749 §4.4). Without a scope parameter it gets all of its registered scopes. */
  async clientCredentials(client: Client, scopeParameter: string | undefined): Promise<TokenResponse> {
    const { tokens, store, clients } = this.#given;
    const scope = narrowedScope(client.scopes, scopeParameter);
    await tokens.assertRoom(client);
    const prepared = await tokens.prepare({ client, user: undefined, scope });
    // A token recorded for a client that was disabled meanwhile would come to life when the client is enabled again.
    const inForce = { steps: [clients.askingInForce(client.id, prepared.row.issuedAtMs)] };
    const outcome = await store.commit(joinedActs(inForce, tokens.recording(prepared)));
    if (outcome.kind === 'refused') throw noClient();
    return tokenResponse({ accessToken: prepared, scope });
  }

  /** Which grant a refresh token belongs to, if it is genuine, and whether it could be used now. Ends nothing; a forgery rings. */
  async ofRefreshToken(
    token: string,
    from: { address: string; client?: Client },
  ): Promise<{ grant: GrantRow; isGood: boolean } | undefined> {
    return this.#refreshing.find(token, from);
  }

  /** A code that is good and unused, for whoever saw it in the clear. */
  async findCode(code: string): Promise<AuthorizationCode | undefined> {
    return this.#codes.find(code);
  }

  async burnCode(tx: Transaction, code: string): Promise<void> {
    await this.#codes.burn(tx, code);
  }

  async find(grantId: string): Promise<GrantRow | undefined> {
    return this.#given.rows.grant(this.#given.store.read, grantId);
  }

  /** Grants by id, after a given one. `limit` at most 1,000. */
  async list(page: { after?: string; limit: number }): Promise<GrantRow[]> {
    return this.#given.rows.grants(this.#given.store.read, {
      after: page.after ?? '',
      limit: Math.min(page.limit, 1_000),
    });
  }

  /** The applications that may act for a user now. */
  async liveOfUser(user: User): Promise<GrantRow[]> {
    const nowMs = this.#given.clock.now();
    const grants = await this.#given.rows.liveGrantsOfUser(this.#given.store.read, { userId: user.id, nowMs });
    return grants.filter((grant) => grant.createdAtMs > user.deadBeforeMs);
  }

  /** What ends a grant with all its tokens; refused where it has ended. */
  ending(grant: EndedGrant, reason: EndReason): Act {
    return endingGrant(this.#given, grant, reason);
  }

  /** The same by its id; undefined where there is none or it has ended. */
  async endingById(sql: Sql, grantId: string, reason: EndReason): Promise<Act | undefined> {
    return endingGrantById(this.#given, sql, { grantId, reason });
  }

  /** The same within a transaction. False if there is none or it has ended. */
  async end(tx: Transaction, grantId: string, reason: EndReason): Promise<boolean> {
    const act = await this.endingById(tx, grantId, reason);
    return act !== undefined && (await tx.do(act)).kind === 'done';
  }

  /** What ends the grants that live by a session (all but those with offline_access), for the act that ends the session. */
  async endingOfSession(sql: Sql, sessionId: string): Promise<Act> {
    return endingGrantsOfSession(this.#given, sql, sessionId);
  }

  /** The same user logged in anew in the same browser: what lived by the old session lives by the new one. */
  movingToSession(moved: { fromSessionId: string; toSessionId: string }): Act {
    return { steps: [movingToSession(moved)] };
  }

  /**
   * After a restore without a journal: nothing tells which grants were ended since, so all of them end, some at a time. They stand in the
   * journal as any ending does, for a later restore of the same backup must not bring them back. Returns their ids, in order.
   */
  async endNext(tx: Transaction, next: { afterId: string; limit: number }): Promise<string[]> {
    const ended = { atMs: this.#given.clock.now(), reason: 'restore' };
    const ids = await markNextEnded(tx, { ...next, ...ended });
    for (const grantId of ids) tx.journal({ kind: 'grant_ended', grantId, ...ended });
    return ids;
  }

  /** After a restore: does again what the journal says was done since the backup. */
  async replay(
    tx: Transaction,
    entry: Extract<JournalEntry, { kind: 'grant_ended' | 'grant_rotated' }>,
  ): Promise<void> {
    if (entry.kind === 'grant_ended')
      await tx.do({ steps: [markingEnded({ id: entry.grantId, atMs: entry.atMs, reason: entry.reason })] });
    else await setRotatedFromJournal(tx, entry);
  }

  /** After a restore: no code recorded before it is good. */
  async burnAllCodes(tx: Transaction): Promise<void> {
    await this.#codes.burnAll(tx);
  }

  /** One bounded step of erasing answers whose grace is over. */
  async eraseOldResponses(limit: number, writes: Writes = this.#given.store): Promise<{ erased: number }> {
    const beforeMs = this.#given.clock.now() - RESPONSE_KEPT_MS;
    return { erased: await writes.write((tx) => eraseResponses(tx, { beforeMs, limit })) };
  }

  /** One bounded step of forgetting codes and grants that nothing refers to any more. */
  async sweep(limit: number, writes: Writes = this.#given.store): Promise<{ codes: number; grants: number }> {
    const beforeMs = this.#given.clock.now() - FINISHED_GRANT_KEPT_MS;
    const grants = await writes.write((tx) => deleteFinished(tx, { beforeMs, limit }));
    return { codes: await this.#codes.sweep(limit, writes), grants };
  }
}

/** The longest grace a client can have (clients/registration.ts), and a margin for a request under way. */
const RESPONSE_KEPT_MS = 60_000;
/**
 * A grant's row stays this long after its absolute end, so that its last tokens are still called revoked or expired and not
 * unknown.
 */
const FINISHED_GRANT_KEPT_MS = 2 * 24 * 60 * 60 * 1_000;

function noClient(): OAuthError {
  return new OAuthError('invalid_client', 'unauthorized.client_authentication', 'The client was disabled just now.');
}
