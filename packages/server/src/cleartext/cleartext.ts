/**
 * Cleartext: what happens to a credential that travelled without TLS. Whoever listened has it, so one that is still good is taken
 * back at once and rings *cleartext*; one that is not good is nobody's loss and silent.
 *
 *   access token → revoked        refresh token → its grant ends        session cookie → the session ends
 *   authorization code → burned, before it could become a grant
 *   login link → superseded: the mail's code goes with it
 *   client secret → only the alarm: taking it back is the operator's act (rotate-secret)
 *
 * Past ten a minute from one peer nothing more is revoked, only refused and alarmed: a proxy that was set up wrong must not end
 * every session it carries. Owns no table.
 */
import type { Clients } from '../clients/clients.ts';
import type { Events } from '../events/events.ts';
import type { Grants } from '../grants/grants.ts';
import type { CleartextCandidate, CleartextSighting } from '../http/http.ts';
import type { Limits } from '../limits/limits.ts';
import { LINK_COOKIE, type Login } from '../login/login.ts';
import { OAuthError } from '../oauth/oauth.ts';
import { SESSION_COOKIE, type Session, type Sessions } from '../sessions/sessions.ts';
import { joinedActs, type Store, type Transaction } from '../store/store.ts';
import type { Tokens } from '../tokens/tokens.ts';

/** Names of the cookies that are looked at, without their `__Host-` prefix. */
export const CREDENTIAL_COOKIES: readonly string[] = [SESSION_COOKIE, LINK_COOKIE];

/** A credential that passes every check, and how to take it back. */
interface Exposed {
  kind: 'access' | 'refresh' | 'code' | 'session' | 'magic_link' | 'client_secret';
  clientId?: string | undefined;
  userId?: string | undefined;
  tokenId?: string | undefined;
  takeBack(tx: Transaction): Promise<void>;
}

export class Cleartext {
  readonly #store: Store;
  readonly #tokens: Tokens;
  readonly #grants: Grants;
  readonly #sessions: Sessions;
  readonly #clients: Clients;
  readonly #login: Login;
  readonly #limits: Limits;
  readonly #events: Events;

  constructor(given: {
    store: Store;
    tokens: Tokens;
    grants: Grants;
    sessions: Sessions;
    clients: Clients;
    login: Login;
    limits: Limits;
    events: Events;
  }) {
    this.#store = given.store;
    this.#tokens = given.tokens;
    this.#grants = given.grants;
    this.#sessions = given.sessions;
    this.#clients = given.clients;
    this.#login = given.login;
    this.#limits = given.limits;
    this.#events = given.events;
  }

  /** Takes back and tells whatever of it is good, and resolves when that is committed: before the request is answered. */
  async sighted(sighting: CleartextSighting): Promise<void> {
    for (const candidate of sighting.candidates) {
      const exposed = await this.#recognise(candidate, sighting);
      if (exposed) await this.#answer(exposed, sighting);
    }
  }

  async #answer(exposed: Exposed, sighting: CleartextSighting): Promise<void> {
    const isTakenBack =
      exposed.kind !== 'client_secret' && this.#limits.take('cleartextPerPeer', sighting.peerNetwork).kind === 'ok';
    await this.#store.write(async (tx) => {
      if (isTakenBack) await exposed.takeBack(tx);
      await this.#events.append(tx, {
        type: 'alarm.cleartext',
        clientId: exposed.clientId,
        userId: exposed.userId,
        tokenId: exposed.tokenId,
        address: sighting.address,
        detail: { token: exposed.kind, revoked: isTakenBack },
      });
    });
  }

  async #recognise(candidate: CleartextCandidate, from: CleartextSighting): Promise<Exposed | undefined> {
    switch (candidate.kind) {
      case 'basic':
      case 'secret':
        return this.#secret(candidate, from);
      case 'bearer':
        return this.#token(candidate.token, from);
      case 'cookie': {
        if (candidate.name === `__Host-${LINK_COOKIE}`) return this.#link(candidate.value, from);
        if (candidate.name !== `__Host-${SESSION_COOKIE}`) return undefined;
        const session = await this.#sessions.find(candidate.value);
        return session && this.#session(session);
      }
      case 'parameter':
        if (candidate.name === 'code') return this.#code(candidate.value);
        return (await this.#token(candidate.value, from)) ?? this.#link(candidate.value, from);
    }
  }

  async #token(token: string, from: { address: string }): Promise<Exposed | undefined> {
    const refresh = await this.#grants.ofRefreshToken(token, from);
    if (refresh) {
      const { grant } = refresh;
      if (!refresh.isGood) return undefined;
      return {
        kind: 'refresh',
        clientId: grant.clientId,
        userId: grant.userId,
        takeBack: async (tx) => void (await this.#grants.end(tx, grant.id, 'cleartext')),
      };
    }
    const judgement = await this.#tokens.judge(token, from);
    if (judgement.kind !== 'judged' || judgement.verdict !== 'live') return undefined;
    const { jti, clientId, userId } = judgement.row;
    return {
      kind: 'access',
      clientId,
      userId,
      tokenId: jti,
      takeBack: async (tx) => void (await this.#tokens.revoke(tx, jti)),
    };
  }

  async #link(token: string, from: { address: string }): Promise<Exposed | undefined> {
    const { verdict } = await this.#login.inspect(token, { browser: undefined, address: from.address });
    if (verdict.kind !== 'known' || verdict.state !== 'open') return undefined;
    const { id, userId, clientId } = verdict.link;
    return {
      kind: 'magic_link',
      clientId,
      userId,
      tokenId: id,
      takeBack: async (tx) => void (await this.#login.revokeLink(tx, id)),
    };
  }

  async #code(text: string): Promise<Exposed | undefined> {
    const code = await this.#grants.findCode(text);
    if (!code) return undefined;
    return {
      kind: 'code',
      clientId: code.clientId,
      userId: code.userId,
      tokenId: code.id,
      takeBack: (tx) => this.#grants.burnCode(tx, text),
    };
  }

  #session(session: Session): Exposed {
    return {
      kind: 'session',
      userId: session.userId,
      tokenId: session.id,
      takeBack: async (tx) => {
        const grants = await this.#grants.endingOfSession(tx, session.id);
        await tx.do(joinedActs(this.#sessions.ending(session), grants));
      },
    };
  }

  async #secret(
    { kind, clientId, clientSecret }: Extract<CleartextCandidate, { clientSecret: string }>,
    { network }: CleartextSighting,
  ): Promise<Exposed | undefined> {
    const form = new Map(Object.entries({ client_id: clientId, client_secret: clientSecret }));
    const presented =
      kind === 'basic'
        ? { authorization: { kind, clientId, clientSecret }, form: new Map<string, string>() }
        : { authorization: { kind: 'none' as const }, form };
    try {
      const client = await this.#clients.authenticate({ ...presented, network });
      return { kind: 'client_secret', clientId: client.id, takeBack: async () => {} };
    } catch (error) {
      if (error instanceof OAuthError) return undefined; // not a good secret: nothing was exposed
      throw error; // not known whether it is good: the sighting must not pass as harmless
    }
  }
}
