import { createHash } from 'node:crypto';
import { createId, encodeBase64url } from '@countersign/protocol';
import type { Client } from '../clients/clients.ts';
import { OAuthError, verifierFits } from '../oauth/oauth.ts';
import type { Transaction } from '../store/store.ts';
import { beginGrant } from './beginning.ts';
import type { EndReason, GrantParts } from './grants.ts';
import { RETRY_MS } from './refresh-rule.ts';
import type { AuthorizationCode } from './rows.ts';
import { burnAllCodes, burnCode, deleteExpiredCodes, redeemCode } from './table.ts';
import type { TokenResponse } from './token-response.ts';

export type { AuthorizationCode } from './rows.ts';

/** 256 bits, base64url. */
const CODE_BYTES = 32;
/** OpenID Foundation and ASVS 10.4.3 want a minute at most: a client redeems within a second or two. */
export const CODE_LIFETIME_MS = 60_000;
/** A used code is remembered for so long that a thief's second try is still recognised as one. */
const CODE_KEPT_MS = 60 * 60 * 1_000;

/** What the user approved: everything that redeeming the code will need. */
export interface CodeRequest {
  client: Client;
  userId: string;
  sessionId: string;
  redirectUri: string;
  /** Whether the authorization request named the URI, or left it to the one registered (RFC 6749 §4.1.3). */
  isRedirectUriSent: boolean;
  codeChallenge: string | undefined;
  scope: readonly string[];
  nonce: string | undefined;
  authTimeMs: number;
  amr: readonly string[];
}

/** Authorization codes: opaque, single-use, kept as digests. */
export class Codes {
  readonly #given: GrantParts;
  readonly #endGrant: (tx: Transaction, grantId: string, reason: EndReason) => Promise<boolean>;

  constructor(given: GrantParts, endGrant: (tx: Transaction, grantId: string, reason: EndReason) => Promise<boolean>) {
    this.#given = given;
    this.#endGrant = endGrant;
  }

  async issue(request: CodeRequest): Promise<string> {
    const { store, clock, random, rows } = this.#given;
    const nowMs = clock.now();
    const code = encodeBase64url(random.bytes(CODE_BYTES));
    await store.write((tx) =>
      rows.insertCode(tx, {
        digest: digestOfCode(code),
        id: createId('azc', nowMs, random.bytes(8)),
        clientId: request.client.id,
        userId: request.userId,
        sessionId: request.sessionId,
        redirectUri: request.redirectUri,
        isRedirectUriSent: request.isRedirectUriSent,
        codeChallenge: request.codeChallenge,
        scope: request.scope.join(' '),
        nonce: request.nonce,
        authTimeMs: request.authTimeMs,
        amr: request.amr,
        createdAtMs: nowMs,
        expiresAtMs: nowMs + CODE_LIFETIME_MS,
      }),
    );
    return code;
  }

  async redeem(
    client: Client,
    presented: { code: string; redirectUri: string | undefined; verifier: string | undefined; address: string },
  ): Promise<TokenResponse> {
    const { store, clock, tokens } = this.#given;
    const digest = digestOfCode(presented.code);
    const code = await this.#given.rows.code(store.read, digest);
    if (!code || !isPresentedRight(client, code, presented)) throw badCode();
    if (code.redeemedAtMs === undefined && clock.now() >= code.expiresAtMs) throw badCode();
    if (code.redeemedAtMs !== undefined) return this.#refuseReplay(digest, presented.address);
    await tokens.assertRoom(client);
    const begun = await beginGrant(this.#given, { client, code });
    const isFirst = await store.write(async (tx) => {
      if (!(await this.#isInForce(tx, client, code))) throw badCode();
      const redeemed = { digest, nowMs: clock.now(), from: presented.address, grantId: begun.grant.id };
      if (!(await redeemCode(tx, redeemed))) return false;
      await this.#given.rows.insertGrant(tx, begun.grant);
      await tokens.record(tx, begun.accessToken);
      await this.#given.events.append(tx, {
        type: 'grant.created',
        clientId: client.id,
        userId: code.userId,
        detail: { grant: begun.grant.id },
      });
      return true;
    });
    return isFirst ? begun.response : this.#refuseReplay(digest, presented.address);
  }

  /** A code that is good and unused. */
  async find(code: string): Promise<AuthorizationCode | undefined> {
    const { store, clock, rows } = this.#given;
    const found = await rows.code(store.read, digestOfCode(code));
    return found && found.redeemedAtMs === undefined && clock.now() < found.expiresAtMs ? found : undefined;
  }

  async burn(tx: Transaction, code: string): Promise<void> {
    await burnCode(tx, digestOfCode(code), this.#given.clock.now());
  }

  async burnAll(tx: Transaction): Promise<void> {
    await burnAllCodes(tx, this.#given.clock.now());
  }

  async sweep(limit: number): Promise<number> {
    const beforeMs = this.#given.clock.now() - CODE_KEPT_MS;
    return this.#given.store.write((tx) => deleteExpiredCodes(tx, { beforeMs, limit }));
  }

  /** Asked again inside the transaction: a logout or disabling between approval and redemption counts. */
  async #isInForce(tx: Transaction, client: Client, code: AuthorizationCode): Promise<boolean> {
    const { users, clients, sessions } = this.#given;
    const user = await users.standing(code.userId, tx);
    const now = await clients.standing(tx, client.id);
    if (!user || user.disabled || code.createdAtMs <= user.deadBeforeMs) return false;
    if (!now || now.disabled || code.createdAtMs <= now.deadBeforeMs) return false;
    return (await sessions.inForce(code.sessionId, tx)) !== undefined;
  }

  /** A code that passed every other check was used before: two parties hold it, so what came of it ends. */
  async #refuseReplay(digest: Uint8Array, address: string): Promise<never> {
    const { store, clock, events } = this.#given;
    await store.write(async (tx) => {
      const code = await this.#given.rows.code(tx, digest);
      if (code?.redeemedAtMs === undefined) return; // burned or swept meanwhile
      const isEnded = code.grantId !== undefined && (await this.#endGrant(tx, code.grantId, 'code_replayed'));
      const isRetry = clock.now() - code.redeemedAtMs <= RETRY_MS && code.redeemedFrom === address;
      await events.append(tx, {
        type: isRetry || !isEnded ? 'code.repeated' : 'alarm.replayed',
        clientId: code.clientId,
        userId: code.userId,
        tokenId: code.id,
        address,
        detail: { token: 'code', ...(code.grantId && { grant: code.grantId }) },
      });
    });
    throw badCode();
  }
}

/** Client, redirect URI and verifier as the authorization request had them (RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 9700 §4.8.2). */
function isPresentedRight(
  client: Client,
  code: AuthorizationCode,
  presented: { redirectUri: string | undefined; verifier: string | undefined },
): boolean {
  if (code.clientId !== client.id) return false;
  const mustName = code.isRedirectUriSent && code.codeChallenge === undefined;
  if (presented.redirectUri === undefined ? mustName : presented.redirectUri !== code.redirectUri) return false;
  if (code.codeChallenge === undefined || presented.verifier === undefined) {
    return code.codeChallenge === undefined && presented.verifier === undefined;
  }
  return verifierFits(presented.verifier, code.codeChallenge);
}

function badCode(): OAuthError {
  return new OAuthError(
    'invalid_grant',
    'bad_request.authorization_code.invalid',
    'The authorization code is unknown, expired, used, or was issued for another client, redirect_uri or code_verifier.',
  );
}

function digestOfCode(code: string): Uint8Array {
  return createHash('sha256').update(code, 'utf8').digest();
}
