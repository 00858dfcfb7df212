import { createHash } from 'node:crypto';
import { createId, encodeBase64url } from '@countersign/protocol';
import type { Client } from '../clients/clients.ts';
import { OAuthError, verifierFits } from '../oauth/oauth.ts';
import type { Session } from '../sessions/sessions.ts';
import { type Act, joinedActs, onlyDone, type Transaction, type Writes } from '../store/store.ts';
import { type BegunGrant, beginGrant } from './beginning.ts';
import { askingForRoom, endingGrantById } from './ending.ts';
import type { GrantParts } from './grants.ts';
import { RETRY_MS } from './refresh-rule.ts';
import type { AuthorizationCode } from './rows.ts';
import {
  burnAllCodes,
  burnCode,
  CODE_USED,
  deleteExpiredCodes,
  findingCode,
  redeemingCode,
  SESSION_FULL,
} from './table.ts';
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

  constructor(given: GrantParts) {
    this.#given = given;
  }

  async issue(request: CodeRequest): Promise<string> {
    const { store, clock, random, rows } = this.#given;
    const nowMs = clock.now();
    const code = encodeBase64url(random.bytes(CODE_BYTES));
    const digest = digestOfCode(code);
    const row = rows.insertingCode({
      digest,
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
    });
    onlyDone(await store.commit({ steps: [row], footprint: findingCode(digest) }));
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
    const session = await this.#sessionInForce(client, code);
    if (!session) throw badCode();
    const begun = await beginGrant(this.#given, { client, code });
    const outcome = await store.commit(this.#redeeming({ code, session, begun, address: presented.address }));
    if (outcome.kind === 'done') return begun.response;
    if (outcome.why === SESSION_FULL) throw tooManyGrants();
    if (outcome.why === CODE_USED) return this.#refuseReplay(digest, presented.address);
    throw badCode();
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

  async sweep(limit: number, writes: Writes): Promise<number> {
    const beforeMs = this.#given.clock.now() - CODE_KEPT_MS;
    return writes.write((tx) => deleteExpiredCodes(tx, { beforeMs, limit }));
  }

  /** The session that the grant will live by; undefined where a logout or disabling since the approval took the code back. */
  async #sessionInForce(client: Client, code: AuthorizationCode): Promise<Session | undefined> {
    const { users, sessions } = this.#given;
    const [user, session] = await Promise.all([users.standing(code.userId), sessions.inForce(code.sessionId)]);
    if (!user || user.disabled || code.createdAtMs <= user.deadBeforeMs) return undefined;
    return code.createdAtMs > client.deadBeforeMs ? session : undefined; // that it is enabled was part of its authentication
  }

  /** The single use, the grant and its first token, all or nothing. What `#sessionInForce` found is asked again. */
  #redeeming(given: { code: AuthorizationCode; session: Session; begun: BegunGrant; address: string }): Act {
    const { users, clients, sessions, rows, tokens, events, clock } = this.#given;
    const { code, session, begun, address } = given;
    const { id: grantId, clientId, userId } = begun.grant;
    return joinedActs(
      {
        steps: [
          users.askingInForce(userId, Math.min(code.createdAtMs, session.createdAtMs)),
          clients.askingInForce(clientId, code.createdAtMs),
          sessions.touching(session.id),
          askingForRoom(this.#given, session.id),
          redeemingCode({ digest: code.digest, nowMs: clock.now(), from: address, grantId }),
          rows.insertingGrant(begun.grant),
        ],
      },
      tokens.recording(begun.accessToken),
      events.appending({ type: 'grant.created', clientId, userId, detail: { grant: grantId } }),
    );
  }

  /** A code that passed every other check was used before: two parties hold it, so what came of it ends. */
  async #refuseReplay(digest: Uint8Array, address: string): Promise<never> {
    const { store, clock, events, rows } = this.#given;
    const code = await rows.code(store.read, digest);
    if (code?.redeemedAtMs === undefined) throw badCode(); // burned or swept meanwhile
    const isRetry = clock.now() - code.redeemedAtMs <= RETRY_MS && code.redeemedFrom === address;
    const seen = {
      clientId: code.clientId,
      userId: code.userId,
      tokenId: code.id,
      address,
      detail: { token: 'code', ...(code.grantId && { grant: code.grantId }) },
    };
    const ended = code.grantId && { grantId: code.grantId, reason: 'code_replayed' as const };
    const ending = ended && (await endingGrantById(this.#given, store.read, ended));
    if (ending) {
      const told = events.appending({ type: isRetry ? 'code.repeated' : 'alarm.replayed', ...seen });
      if ((await store.commit(joinedActs(ending, told))).kind === 'done') throw badCode();
    }
    // Nothing is left to end.
    await events.record({ type: 'code.repeated', ...seen });
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

function tooManyGrants(): OAuthError {
  return new OAuthError(
    'temporarily_unavailable',
    'rate_limited.session_grants',
    'This login session has too many grants. Use those there are, or ask the user to log in again.',
  );
}

function digestOfCode(code: string): Uint8Array {
  return createHash('sha256').update(code, 'utf8').digest();
}
