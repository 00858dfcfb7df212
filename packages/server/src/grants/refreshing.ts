import { TOKEN_TYPES } from '@countersign/protocol';
import { type BucketRecord, digestOf } from '../buckets/buckets.ts';
import type { Client } from '../clients/clients.ts';
import type { NewEvent } from '../events/events.ts';
import { OAuthError } from '../oauth/oauth.ts';
import { type Act, type JournalEntry, joinedActs, type Step } from '../store/store.ts';
import { AT_CAP, type PreparedToken } from '../tokens/tokens.ts';
import { endingGrant } from './ending.ts';
import type { GrantParts } from './grants.ts';
import { decideRefresh, forgeryOf, MAX_REPEATS, type Presented, type RefreshDecision } from './refresh-rule.ts';
import { mintRefreshToken, type RefreshClaims, readRefreshClaims, taggedId } from './refresh-token.ts';
import type { GrantRow } from './rows.ts';
import { narrowedScope, scopeWords } from './scope.ts';
import { countingRepeat, GRANT_CHANGED, rotatingGrant } from './table.ts';
import { type TokenResponse, tokenResponse } from './token-response.ts';

interface SeenForgery {
  verdict: 'forged' | 'tampered';
  keyId: string;
  address: string;
  /** Who presented it, where somebody authenticated. */
  client?: Client | undefined;
  /** Whose token it was made from: only where its record names it. */
  grant?: GrantRow | undefined;
}

/**
 * A race lost once shows the winner's row and decides anew; it cannot be lost again for the same token. Three tries leave room for
 * a store that changes under our feet and end in a refusal.
 */
const MAX_TRIES = 3;

/** Refreshing: rotating, repeating, and recognising theft. The decision itself is refresh-rule.ts. */
export class Refreshing {
  readonly #given: GrantParts;

  constructor(given: GrantParts) {
    this.#given = given;
  }

  async refresh(
    client: Client,
    presented: { token: string; scope: string | undefined; resource: string | undefined; address: string },
  ): Promise<TokenResponse> {
    const { keys, store } = this.#given;
    const verified = await keys.verify({ purpose: 'refresh', typ: TOKEN_TYPES.refresh, token: presented.token });
    if (verified.kind === 'refused') throw badRefreshToken();
    const { keyId, parsed } = verified;
    const { address } = presented;
    const claims = readRefreshClaims(parsed.claims, this.#given.issuer);
    if (!claims) return this.#refuseForged({ verdict: 'forged', keyId, address, client });
    const digest = digestOf(parsed.signingInput);
    for (let tried = 0; tried < MAX_TRIES; tried++) {
      const grant = await this.#given.rows.grant(store.read, claims.gid);
      const decision = await this.#decide({ grant, claims, digest, client, address });
      if (decision.kind === 'forged' || decision.kind === 'tampered') {
        const row = decision.kind === 'tampered' ? grant : undefined;
        return this.#refuseForged({ verdict: decision.kind, keyId, address, client, grant: row });
      }
      if (decision.kind === 'refuse' || !grant) {
        if (decision.kind === 'refuse') await this.#note(decision.why, { grant, client, address });
        throw badRefreshToken(decision.kind === 'refuse' && decision.why === 'expired' ? '.expired' : '');
      }
      if (decision.kind === 'replayed') return this.#refuseReplay({ grant, address, rings: decision.rings });
      const response =
        decision.kind === 'repeat'
          ? await this.#repeat({ client, grant, predecessor: presented.token })
          : await this.#rotate({ client, grant, claims, presented });
      if (response) return response;
    }
    throw badRefreshToken();
  }

  /**
   * Whose a refresh token is, if it is genuine: recorded now, or of an older generation with our tag. Ends nothing; a forgery rings
   * wherever it is shown.
   */
  async find(
    token: string,
    from: { address: string; client?: Client },
  ): Promise<{ grant: GrantRow; isGood: boolean } | undefined> {
    const { keys, store, clock } = this.#given;
    const verified = await keys.verify({ purpose: 'refresh', typ: TOKEN_TYPES.refresh, token });
    if (verified.kind === 'refused') return undefined;
    const { keyId, parsed } = verified;
    const claims = readRefreshClaims(parsed.claims, this.#given.issuer);
    const grant = claims && (await this.#given.rows.grant(store.read, claims.gid));
    const presented = claims && this.#recognise(grant, claims, digestOf(parsed.signingInput));
    const state = grant && { ...grant, hasPreviousRecord: grant.previousRecord !== undefined };
    const forgery = presented ? forgeryOf(state, presented) : 'forged';
    if (forgery) {
      await this.#ring({ verdict: forgery, keyId, ...from, grant: forgery === 'tampered' ? grant : undefined });
      return undefined;
    }
    if (!grant || !presented || presented.generation > grant.generation) return undefined;
    const { isCurrent } = presented;
    const isOpen = grant.endedAtMs === undefined && clock.now() < Math.min(grant.idleExpiresAtMs, grant.expiresAtMs);
    return { grant, isGood: isCurrent && isOpen };
  }

  async #decide(given: {
    grant: GrantRow | undefined;
    claims: RefreshClaims;
    digest: Uint8Array;
    client: Client;
    address: string;
  }): Promise<RefreshDecision> {
    const { grant, claims, client } = given;
    return decideRefresh({
      grant: grant && {
        ...grant,
        hasEnded: grant.endedAtMs !== undefined,
        isInForce: await this.#isInForce(grant, client),
        hasSealedResponse: grant.sealedResponse !== undefined,
        hasPreviousRecord: grant.previousRecord !== undefined,
      },
      presented: this.#recognise(grant, claims, given.digest),
      presenter: { clientId: client.id, graceMs: client.graceSeconds * 1_000, address: given.address },
      nowMs: this.#given.clock.now(),
    });
  }

  #recognise(grant: GrantRow | undefined, claims: RefreshClaims, digest: Uint8Array): Presented {
    const { buckets } = this.#given;
    const fits = (generation: number, version: number | undefined, record: Uint8Array | undefined) =>
      claims.gen === generation &&
      version !== undefined &&
      record !== undefined &&
      buckets.matches({ version, record }, claims.jti, digest);
    return {
      generation: claims.gen,
      isCurrent: grant !== undefined && fits(grant.generation, grant.bucketVersion, grant.record),
      isPrevious: grant !== undefined && fits(grant.generation - 1, grant.previousBucketVersion, grant.previousRecord),
      isOurs: buckets.isOurs('refresh', taggedId(claims.jti, claims.gid, claims.gen), claims.eb),
    };
  }

  async #isInForce(grant: GrantRow, client: Client): Promise<boolean> {
    const user = await this.#given.users.standing(grant.userId);
    if (!user || user.disabled || grant.createdAtMs <= user.deadBeforeMs) return false;
    return grant.createdAtMs > client.deadBeforeMs; // that it is enabled was part of its authentication
  }

  /** One compare-and-set on (grant, generation, record); undefined when somebody else was first. */
  async #rotate(given: {
    client: Client;
    grant: GrantRow;
    claims: RefreshClaims;
    presented: { token: string; scope: string | undefined; resource: string | undefined; address: string };
  }): Promise<TokenResponse | undefined> {
    const { store, sealer, tokens } = this.#given;
    const { client, grant, presented } = given;
    const scope = narrowedScope(scopeWords(grant.scope), presented.scope);
    if (presented.resource !== undefined && presented.resource !== grant.audience) throw invalidTarget();
    const { userId, sessionId, authTimeMs, amr } = grant;
    await tokens.assertRoom(client);
    const accessToken = await tokens.prepare({
      client: { ...client, audience: grant.audience },
      user: { userId, grantId: grant.id, sessionId, authTimeMs, amr },
      scope,
    });
    const generation = grant.generation + 1;
    const next = await mintRefreshToken(this.#given, { client, userId, grantId: grant.id, generation });
    const idToken = scope.includes('openid')
      ? await this.#given.idTokens.issue({ client, userId, sessionId, nonce: undefined, authTimeMs, amr })
      : undefined;
    const response = tokenResponse({ accessToken, scope, refreshToken: next.token, idToken });
    const sealedResponse = sealer.sealToHolder(place(grant.id), presented.token, Buffer.from(JSON.stringify(response)));
    const made = { client, grant, accessToken, next: next.record, sealedResponse, address: presented.address };
    const outcome = await store.commit(this.#rotating(made));
    if (outcome.kind === 'done') return response;
    if (outcome.why === GRANT_CHANGED) return undefined;
    throw outcome.why === AT_CAP ? tokens.refusalAtCap(accessToken) : badRefreshToken();
  }

  /** The compare-and-set with all that follows from it. Whether user and client are in force is asked again. */
  #rotating(made: {
    client: Client;
    grant: GrantRow;
    accessToken: PreparedToken;
    next: BucketRecord;
    sealedResponse: Uint8Array;
    address: string;
  }): Act {
    const { clock, tokens } = this.#given;
    const { client, grant, accessToken, sealedResponse, address } = made;
    const { record, version: bucketVersion } = made.next;
    const nowMs = clock.now();
    const rotation = rotatingGrant({
      ...{ id: grant.id, fromGeneration: grant.generation, fromRecord: grant.record ?? new Uint8Array(0) },
      ...{ sessionId: grant.sessionId, record, bucketVersion, nowMs, address, sealedResponse },
      idleExpiresAtMs: Math.min(nowMs + client.refreshIdleSeconds * 1_000, grant.expiresAtMs),
    });
    const generation = grant.generation + 1;
    const overlapMs = client.overlapSeconds * 1_000;
    const kept = { grantId: grant.id, jti: accessToken.row.jti, overlapMs };
    return joinedActs(
      {
        steps: [...this.#askingInForce(grant, client), rotation],
        journal: [{ kind: 'grant_rotated', grantId: grant.id, generation, record, bucketVersion, atMs: nowMs }],
      },
      tokens.recording(accessToken),
      ...(client.singleActive === 'grant' ? [tokens.supersedingOthers(kept)] : []),
    );
  }

  #askingInForce(grant: GrantRow, client: Client): Step[] {
    const { users, clients } = this.#given;
    return [users.askingInForce(grant.userId, grant.createdAtMs), clients.askingInForce(client.id, grant.createdAtMs)];
  }

  /** The same answer again; undefined when the successor was presented meanwhile, or what stood behind the grant is gone. */
  async #repeat(given: { client: Client; grant: GrantRow; predecessor: string }): Promise<TokenResponse | undefined> {
    const { store, sealer } = this.#given;
    const { client, grant, predecessor } = given;
    if (!grant.sealedResponse) return undefined;
    const counted = countingRepeat({ id: grant.id, generation: grant.generation, most: MAX_REPEATS });
    // The line of the rotation once more: its node may have died between the commit and the line, and after a restore the generation
    // that this answer names would be unknown.
    const outcome = await store.commit({
      steps: [...this.#askingInForce(grant, client), counted],
      journal: rotationOf(grant),
    });
    if (outcome.kind === 'refused') return undefined;
    const plain = sealer.openFromHolder(place(grant.id), predecessor, grant.sealedResponse);
    return JSON.parse(Buffer.from(plain).toString('utf8')) as TokenResponse; // sealed by #rotate, and authenticated
  }

  async #refuseForged(seen: SeenForgery): Promise<never> {
    await this.#ring(seen);
    throw badRefreshToken();
  }

  async #ring(seen: SeenForgery): Promise<void> {
    await this.#given.events.record({
      type: `alarm.${seen.verdict}`,
      keyId: seen.keyId,
      clientId: seen.client?.id,
      userId: seen.grant?.userId,
      address: seen.address,
      detail: { token: 'refresh', ...(seen.grant && { grant: seen.grant.id }) },
    });
  }

  async #refuseReplay(seen: { grant: GrantRow; address: string; rings: boolean }): Promise<never> {
    const { store, events } = this.#given;
    const { grant, address, rings } = seen;
    const told = (type: 'alarm.replayed' | 'refresh.repeated'): NewEvent => ({
      type,
      clientId: grant.clientId,
      userId: grant.userId,
      address,
      detail: { token: 'refresh', grant: grant.id },
    });
    const ending = endingGrant(this.#given, grant, 'refresh_replayed');
    const alarm = events.appending(told(rings ? 'alarm.replayed' : 'refresh.repeated'));
    const outcome = await store.commit(joinedActs(ending, alarm));
    // Somebody else ended it meanwhile, and rang.
    if (outcome.kind === 'refused') await events.record(told('refresh.repeated'));
    throw badRefreshToken();
  }

  /** Refusals that are worth a line in the events although nothing rings. */
  async #note(why: string, seen: { grant: GrantRow | undefined; client: Client; address: string }): Promise<void> {
    if (why !== 'unknown' && why !== 'other_client' && why !== 'repeated_too_often') return;
    await this.#given.events.record({
      type: why === 'unknown' ? 'token.unknown' : 'refresh.repeated',
      clientId: seen.client.id,
      userId: seen.grant?.userId,
      address: seen.address,
      detail: { token: 'refresh', why },
    });
  }
}

/** What the journal has of the last rotation of a grant. */
function rotationOf({ id, generation, record, bucketVersion, rotatedAtMs }: GrantRow): JournalEntry[] {
  if (record === undefined || bucketVersion === undefined || rotatedAtMs === undefined) return [];
  return [{ kind: 'grant_rotated', grantId: id, generation, record, bucketVersion, atMs: rotatedAtMs }];
}

function badRefreshToken(suffix: '' | '.expired' = ''): OAuthError {
  return new OAuthError(
    'invalid_grant',
    `unauthorized.bad_refresh_token${suffix}`,
    'The refresh token is unknown, expired, revoked, used, or was issued to another client. Ask the user to log in again.',
  );
}

function invalidTarget(): OAuthError {
  return new OAuthError(
    'invalid_target',
    'bad_request.bad_param.resource',
    'The resource is not the one this grant was given for.',
  );
}

function place(grantId: string) {
  return { table: 'oauth_grant', row: grantId, column: 'sealed_response' };
}
