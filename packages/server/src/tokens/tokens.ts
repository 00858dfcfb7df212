/**
 * Access tokens: issuing them, and saying what a token is worth.
 *
 * Owns the table `access_token`: one row for each token that has not expired (and a little longer), with the record of its
 * bytes. Leaves refresh tokens and grants to grants/, keys to keys/, the `eb` and the comparison of records to buckets/.
 *
 *     prepared (signed, nobody has it) → recorded → live → expired | superseded | revoked → swept
 *
 * A token is prepared before the transaction, because signing takes time, and recorded inside it; one that was not recorded is
 * worth nothing. A row is marked, never deleted, while its token could be shown. The verdict lives in judge.ts.
 */
import {
  type AccessTokenClaims,
  CLOCK_LEEWAY_SECONDS,
  type Confirmation,
  createId,
  TOKEN_TYPES,
} from '@countersign/protocol';
import { type Buckets, endingId } from '../buckets/buckets.ts';
import type { Client, Clients } from '../clients/clients.ts';
import type { Events, NewEvent } from '../events/events.ts';
import type { Keys } from '../keys/keys.ts';
import { type ErrorCode, OAuthError } from '../oauth/oauth.ts';
import type { Revocation } from '../revocation/revocation.ts';
import { type Act, joinedActs, type Step, type Store, type Transaction, type Writes } from '../store/store.ts';
import type { Users } from '../users/users.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import { type CheckedToken, type ClientsOfBatch, Judge, type Judgement } from './judge.ts';
import { LiveCounts } from './live-counts.ts';
import {
  askingForRoom,
  deleteExpired,
  findingToken,
  insertingToken,
  revokeAllTokens,
  revokingToken,
  revokingTokensOfGrant,
  revokingTokensOfGrants,
  selectingSuperseded,
  selectToken,
  selectTokens,
  superseding,
  type TokenRow,
} from './table.ts';

export type { ClientsOfBatch, Judgement } from './judge.ts';
export type { TokenRow } from './table.ts';

/**
 * Live tokens of one grant. A client that refreshes has one, and older ones within their overlap; twenty leave room for a client
 * that never supersedes (`single_active: off`) and keep a grant's revocation a matter of twenty rows.
 */
const MAX_LIVE_TOKENS_PER_GRANT = 20;
/** Why recording a token is refused there. */
export const AT_CAP = 'live_tokens';

/** The longest a check may take from a verifier's reading of `exp` to the row: a batch, a slow network, a busy store. */
const LONGEST_CHECK_MS = 30_000;
/** A row outlives its token by twice the leeway (verifier early, authority late) and the longest check. */
const ROW_OUTLIVES_TOKEN_MS = 2 * CLOCK_LEEWAY_SECONDS * 1_000 + LONGEST_CHECK_MS;

/** Whom and what a token is for. */
export interface TokenSubject {
  client: Client;
  /** The user, or undefined where the client acts for itself (client_credentials). */
  user:
    | { userId: string; grantId: string; sessionId: string | undefined; authTimeMs: number; amr: readonly string[] }
    | undefined;
  scope: readonly string[];
  confirmation?: Confirmation | undefined;
}

/** A token that is signed but not yet worth anything. */
export interface PreparedToken {
  token: string;
  row: TokenRow;
  expiresInSeconds: number;
}

export class Tokens {
  readonly #store: Store;
  readonly #keys: Keys;
  readonly #buckets: Buckets;
  readonly #revocation: Revocation;
  readonly #events: Events;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #issuer: string;
  readonly #judge: Judge;
  readonly #liveCounts: LiveCounts;

  constructor(given: {
    store: Store;
    keys: Keys;
    buckets: Buckets;
    users: Users;
    clients: Clients;
    revocation: Revocation;
    events: Events;
    clock: Clock;
    random: Random;
    issuer: string;
  }) {
    this.#store = given.store;
    this.#keys = given.keys;
    this.#buckets = given.buckets;
    this.#revocation = given.revocation;
    this.#events = given.events;
    this.#clock = given.clock;
    this.#random = given.random;
    this.#issuer = given.issuer;
    this.#judge = new Judge(given);
    this.#liveCounts = new LiveCounts(given);
  }

  /** Signs an access token (RFC 9068 §2.2, with `eb`). It is worth nothing until `recording` has committed. */
  async prepare(subject: TokenSubject): Promise<PreparedToken> {
    const { client, user } = subject;
    const nowMs = this.#clock.now();
    const issuedAt = Math.floor(nowMs / 1_000);
    const exp = issuedAt + client.accessLifetimeSeconds;
    const jti = createId('acctok', nowMs, this.#random.bytes(8));
    const claims: AccessTokenClaims = {
      iss: this.#issuer,
      sub: user?.userId ?? client.id,
      aud: client.audience,
      client_id: client.id,
      jti,
      iat: issuedAt,
      exp,
      scope: subject.scope.join(' '),
      ...(user?.sessionId && { sid: user.sessionId }),
      ...(user && { auth_time: Math.floor(user.authTimeMs / 1_000), amr: [...user.amr] }),
      ...(subject.confirmation && { cnf: subject.confirmation }),
      eb: this.#buckets.mint('access', endingId(jti, exp)),
    };
    const { token, keyId } = await this.#keys.sign({ purpose: 'access', typ: TOKEN_TYPES.access, claims });
    const { version, record } = this.#buckets.record(jti, token.slice(0, token.lastIndexOf('.')));
    return {
      token,
      expiresInSeconds: client.accessLifetimeSeconds,
      row: {
        jti,
        grantId: user?.grantId,
        clientId: client.id,
        userId: user?.userId,
        sessionId: user?.sessionId,
        audience: claims.aud,
        keyId,
        bucketVersion: version,
        record,
        issuedAtMs: nowMs,
        expiresAtMs: exp * 1_000,
        supersededAtMs: undefined,
        revokedAtMs: undefined,
      },
    };
  }

  /** Refuses early, before anything is signed, when a client has as many live tokens as it may. @throws OAuthError 429 */
  async assertRoom(client: Client): Promise<void> {
    if (await this.#liveCounts.hasRoom(client)) return;
    throw tooManyTokens(client.accessLifetimeSeconds);
  }

  /** What records a prepared token: from its commit on it is live. Refused with `AT_CAP` where its grant has as many as it may. */
  recording(prepared: PreparedToken): Act {
    const { jti, grantId, clientId } = prepared.row;
    const room = { nowMs: this.#clock.now(), most: MAX_LIVE_TOKENS_PER_GRANT, why: AT_CAP };
    return {
      steps: [...(grantId === undefined ? [] : [askingForRoom({ grantId, ...room })]), insertingToken(prepared.row)],
      afterCommit: [() => this.#liveCounts.added(clientId)],
      footprint: findingToken(jti),
    };
  }

  /** The answer where recording was refused with `AT_CAP`. */
  refusalAtCap(prepared: PreparedToken): OAuthError {
    return tooManyTokens(prepared.expiresInSeconds);
  }

  /**
   * What ends a grant's other tokens after an overlap for requests in flight. The invalidation is left out where it would come to
   * pass with the token's own expiry anyway.
   */
  supersedingOthers(kept: { grantId: string; jti: string; overlapMs: number }): Act {
    const atMs = this.#clock.now();
    const others = { grantId: kept.grantId, jti: kept.jti, deadFromMs: atMs + kept.overlapMs };
    const told = selectingSuperseded({ ...others, atMs, outlivesMs: ROW_OUTLIVES_TOKEN_MS });
    return joinedActs(this.#revocation.appendingEach(told), { steps: [superseding(others)] });
  }

  /** What ends all tokens of a grant. The caller tells others of the grant's end. */
  revokingOfGrant(grantId: string): Act {
    return { steps: [revokingTokensOfGrant(grantId, this.#clock.now())] };
  }

  /** The same for all grants that a question finds: it selects their ids. */
  revokingOfGrants(selected: Step): Act {
    return { steps: [revokingTokensOfGrants(selected, this.#clock.now())] };
  }

  /** What ends one token; refused where it is not there or was ended before. */
  revoking(token: Pick<TokenRow, 'jti' | 'clientId' | 'userId' | 'audience' | 'expiresAtMs'>): Act {
    const { jti, clientId, userId, audience, expiresAtMs } = token;
    const untilMs = expiresAtMs + ROW_OUTLIVES_TOKEN_MS;
    return joinedActs(
      { steps: [revokingToken(jti, this.#clock.now())] },
      this.#revocation.appending({ kind: 'token', subjectId: jti, audience, untilMs }),
      this.#events.appending({ type: 'token.revoked', tokenId: jti, clientId, userId }),
    );
  }

  /** The same within a transaction, by its id. False when it is not there or was ended before. */
  async revoke(tx: Transaction, jti: string): Promise<boolean> {
    const row = await selectToken(tx, jti);
    return row !== undefined && (await tx.do(this.revoking(row))).kind === 'done';
  }

  /** Ends every token issued up to now: what a restore demands, for nothing tells which of them were taken back since. */
  async revokeAll(tx: Transaction): Promise<number> {
    return revokeAllTokens(tx, this.#clock.now());
  }

  /** What a whole token is worth: all of the order of checks but binding and scope. Rings where the verdict rings. */
  async judge(token: string, from: { address: string; clientId?: string }): Promise<Judgement> {
    const judgement = await this.#judge.judge(token);
    const event = toldOf(judgement, from);
    if (event) await this.#events.record(event);
    return judgement;
  }

  /** The same of a token that somebody hands over as evidence. Returns the alarm that it rang, if it did. */
  async judgeEvidence(token: string, from: { address: string }): Promise<NewEvent | undefined> {
    const event = toldOf(await this.#judge.judge(token), from);
    if (event) await this.#events.record(event);
    return event?.type === 'token.unknown' ? undefined : event;
  }

  /** The row of a token that is ours by signature and bytes, whatever this node's clock says of it. Rings nothing. */
  recorded(token: string): Promise<TokenRow | undefined> {
    return this.#judge.recorded(token);
  }

  /** A token that must be live, at an endpoint of our own. @throws OAuthError invalid_token, with our finer code beside it */
  async accept(token: string, from: { address: string }): Promise<LiveToken> {
    const judgement = await this.judge(token, from);
    if (judgement.kind === 'judged' && judgement.verdict === 'live') return judgement;
    const cause = judgement.kind === 'judged' ? judgement.verdict : judgement.why;
    throw new OAuthError('invalid_token', TOKEN_CODES[cause] ?? 'unauthorized.bad_access_token', TOKEN_MESSAGE, {
      challenge: 'Bearer',
    });
  }

  /** The verdict on bytes whose signature somebody else checked: jti and digest of the signing input. Never rings by itself. */
  async check(jti: string, digest: Uint8Array, clients?: ClientsOfBatch): Promise<CheckedToken> {
    return this.#judge.check(jti, digest, clients);
  }

  async find(jti: string): Promise<TokenRow | undefined> {
    return selectToken(this.#store.read, jti);
  }

  /** Token rows by id, after a given one. */
  async list(page: { after?: string; limit: number }): Promise<TokenRow[]> {
    return selectTokens(this.#store.read, { after: page.after ?? '', limit: Math.min(page.limit, 1_000) });
  }

  /** One bounded step of forgetting tokens that expired long enough ago. */
  async sweep(limit: number, writes: Writes = this.#store): Promise<{ deleted: number }> {
    const beforeMs = this.#clock.now() - ROW_OUTLIVES_TOKEN_MS;
    return { deleted: await writes.write((tx) => deleteExpired(tx, { beforeMs, limit })) };
  }
}

/** What a judgement is recorded as, where it rings or counts. */
function toldOf(judgement: Judgement, from: { address: string; clientId?: string }): NewEvent | undefined {
  if (judgement.kind !== 'judged') return undefined;
  const { verdict } = judgement;
  if (verdict !== 'forged' && verdict !== 'tampered' && verdict !== 'unknown') return undefined;
  // What a forger wrote into the token is not evidence of anything but the key; ids are kept only where a row proves them.
  return {
    type: verdict === 'unknown' ? 'token.unknown' : `alarm.${verdict}`,
    keyId: judgement.keyId,
    clientId: judgement.row?.clientId ?? from.clientId,
    userId: judgement.row?.userId,
    tokenId: judgement.row?.jti,
    address: from.address,
    detail: { token: 'access', why: judgement.why },
  };
}

export type LiveToken = Extract<Judgement, { verdict: 'live' }>;

/** Causes that a client acts on differently: refresh, or log in again. The others are not told apart. */
const TOKEN_CODES: Record<string, ErrorCode> = {
  expired: 'unauthorized.bad_access_token.expired',
  superseded: 'unauthorized.bad_access_token.evicted',
};
const TOKEN_MESSAGE = 'The access token is not valid: expired, replaced, revoked, or not a token of this issuer.';

function tooManyTokens(retryAfterSeconds: number): OAuthError {
  return new OAuthError(
    'temporarily_unavailable',
    'rate_limited.live_tokens',
    'Too many live access tokens. Use the ones there are, or wait until some expire.',
    { retryAfterSeconds },
  );
}
