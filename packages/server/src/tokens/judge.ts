/**
 * What a token is worth. The order of checks is fixed; what fails before the signature costs no look-up and rings nothing:
 *
 *   size, shape, typ/alg/kid, signature (keys/) → `eb` form → claims → record → standing of client and user
 *
 * Pure reading: nothing is written or rung here.
 */
import {
  type AccessTokenClaims,
  accessTokenClaims,
  hasEntropyBucketForm,
  TOKEN_TYPES,
  type Verdict,
} from '@countersign/protocol';
import { type Buckets, digestOf, endingId } from '../buckets/buckets.ts';
import type { Client, Clients } from '../clients/clients.ts';
import type { Keys } from '../keys/keys.ts';
import type { Sql, Store } from '../store/store.ts';
import type { Users } from '../users/users.ts';
import type { Clock } from '../world/clock.ts';
import { selectToken, type TokenRow } from './table.ts';

export type Judgement =
  /** Not a token of ours by form or signature, or plainly not for now: refused quietly. */
  | { kind: 'refused'; why: string }
  | { kind: 'judged'; verdict: 'live'; keyId: string; why: ''; claims: AccessTokenClaims; row: TokenRow }
  | {
      kind: 'judged';
      verdict: Exclude<Verdict, 'live'>;
      keyId: string;
      /** Which check said so: a fixed word. */
      why: string;
      row: TokenRow | undefined;
    };

/** A verdict with the row it rests on. A row whose bytes differ (`tampered`) is returned, too: it names whose token it was. */
export interface CheckedToken {
  verdict: Exclude<Verdict, 'forged'>;
  row: TokenRow | undefined;
}

/** Clients that were read for one batch of checks, by id. Never kept beyond it: the next one reads them anew. */
export type ClientsOfBatch = Map<string, Client>;

export class Judge {
  readonly #sql: Sql;
  readonly #keys: Keys;
  readonly #buckets: Buckets;
  readonly #users: Users;
  readonly #clients: Clients;
  readonly #clock: Clock;
  readonly #issuer: string;

  constructor(given: {
    store: Store;
    keys: Keys;
    buckets: Buckets;
    users: Users;
    clients: Clients;
    clock: Clock;
    issuer: string;
  }) {
    this.#sql = given.store.read;
    this.#keys = given.keys;
    this.#buckets = given.buckets;
    this.#users = given.users;
    this.#clients = given.clients;
    this.#clock = given.clock;
    this.#issuer = given.issuer;
  }

  async judge(token: string): Promise<Judgement> {
    const verified = await this.#keys.verify({ purpose: 'access', typ: TOKEN_TYPES.access, token });
    if (verified.kind === 'refused') return { kind: 'refused', why: verified.why };
    const { keyId, parsed } = verified;
    const { eb, aud } = parsed.claims;
    if (!hasEntropyBucketForm(eb)) return { kind: 'judged', verdict: 'forged', keyId, why: 'eb_form', row: undefined };
    const read = accessTokenClaims(parsed.claims, {
      issuer: this.#issuer,
      audiences: typeof aud === 'string' ? [aud] : [], // the authority answers for every audience; the record names the one
      nowMs: this.#clock.now(),
    });
    if (read.kind === 'expired' || read.kind === 'not_yet_valid') return { kind: 'refused', why: read.kind };
    if (read.kind !== 'claims') return { kind: 'judged', verdict: 'forged', keyId, why: 'claims', row: undefined };
    const { jti, exp } = read.claims;
    const { verdict, row } = await this.check(jti, digestOf(parsed.signingInput));
    if (verdict === 'live' && row) {
      if (!isRowOf(row, read.claims)) return { kind: 'judged', verdict: 'tampered', keyId, why: 'row', row };
      return { kind: 'judged', verdict, keyId, why: '', claims: read.claims, row };
    }
    if (verdict === 'unknown' || verdict === 'live') {
      const isOurs = this.#buckets.isOurs('access', endingId(jti, exp), eb);
      return { kind: 'judged', verdict: isOurs ? 'unknown' : 'forged', keyId, why: 'no_record', row: undefined };
    }
    return { kind: 'judged', verdict, keyId, why: 'record', row };
  }

  /**
   * The row of a token whose signature and bytes are ours, whatever the time: for taking it back. Clocks of nodes differ, so what is over
   * or not yet good by this one may be good by another.
   */
  async recorded(token: string): Promise<TokenRow | undefined> {
    const verified = await this.#keys.verify({ purpose: 'access', typ: TOKEN_TYPES.access, token });
    if (verified.kind === 'refused') return undefined;
    const { claims, signingInput } = verified.parsed;
    if (typeof claims.jti !== 'string') return undefined;
    const { verdict, row } = await this.check(claims.jti, digestOf(signingInput));
    return verdict === 'tampered' ? undefined : row;
  }

  /**
   * The record's word on bytes identified by jti and digest. Without a record it is `unknown`: only the token itself tells more.
   * `clients` are those that were read for this batch already: its tokens mostly belong to a few.
   */
  async check(jti: string, digest: Uint8Array, clients: ClientsOfBatch = new Map()): Promise<CheckedToken> {
    const row = await selectToken(this.#sql, jti);
    if (!row) return { verdict: 'unknown', row };
    const stored = { version: row.bucketVersion, record: row.record };
    if (!this.#buckets.matches(stored, jti, digest)) return { verdict: 'tampered', row };
    return { verdict: await this.#standing(row, clients), row };
  }

  async #standing(row: TokenRow, clients: ClientsOfBatch): Promise<'live' | 'revoked' | 'superseded' | 'expired'> {
    if (row.revokedAtMs !== undefined) return 'revoked';
    const client = clients.get(row.clientId) ?? (await this.#clients.find(row.clientId));
    if (!client || client.disabledAtMs !== undefined || row.issuedAtMs <= client.deadBeforeMs) return 'revoked';
    clients.set(row.clientId, client);
    if (row.userId !== undefined) {
      const user = await this.#users.standing(row.userId);
      if (!user || user.disabled || row.issuedAtMs <= user.deadBeforeMs) return 'revoked';
    }
    const nowMs = this.#clock.now();
    if (row.supersededAtMs !== undefined && nowMs >= row.supersededAtMs) return 'superseded';
    return nowMs >= row.expiresAtMs ? 'expired' : 'live';
  }
}

/**
 * Whether the row says of the token what its signed and recorded bytes say. They differ where somebody wrote in the database: a row
 * made another user's must not make its token that user's.
 */
function isRowOf(row: TokenRow, claims: AccessTokenClaims): boolean {
  return (
    claims.sub === (row.userId ?? row.clientId) && claims.client_id === row.clientId && claims.aud === row.audience
  );
}
