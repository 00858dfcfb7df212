/**
 * Authorization: the front channel. A client sends the user here, the user logs in and agrees, the client gets a code.
 *
 * Owns the reading of requests (request.ts), the rule of what comes next (decision.ts), and the table `consent`. Leaves logging in
 * to login/ (reached by a redirect), the code and everything after it to grants/ (given as a port).
 *
 *     request → sealed, carried by the browser → login? → consent? → code, by redirect
 *
 * A request in progress is no row: anybody can send requests, and nobody should be able to fill a table without logging in. It
 * is sealed with the master key, so the browser that carries it can neither read nor change it.
 */
import { decodeBase64url, encodeBase64url, TOKEN_TYPES } from '@countersign/protocol';
import type { Buckets, RowTerm } from '../buckets/buckets.ts';
import type { Client, Clients } from '../clients/clients.ts';
import type { Keys } from '../keys/keys.ts';
import { isSameRedirectUri, OAuthError, withParameters } from '../oauth/oauth.ts';
import type { Sealer } from '../sealing/sealing.ts';
import type { Session } from '../sessions/sessions.ts';
import type { Store, Transaction } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import { decideStep, isIdentityAssured, type Step } from './decision.ts';
import { type AuthorizationRequest, type Parameters, readRedirectUri, readRequest, readState } from './request.ts';
import { type Consent, deleteAllConsents, deleteConsent, selectConsent, upsertConsent } from './table.ts';

export { RequestNotRedirectable } from './request.ts';

/** Makes codes; grants/ does. */
export interface CodeIssuer {
  issueCode(request: {
    client: Client;
    userId: string;
    sessionId: string;
    redirectUri: string;
    isRedirectUriSent: boolean;
    codeChallenge: string | undefined;
    scope: readonly string[];
    nonce: string | undefined;
    authTimeMs: number;
    amr: readonly string[];
  }): Promise<string>;
}

/** Where the browser goes next. `redirect` leads to the client; `login` and `consent` are pages of ours. */
export type Outcome =
  | { kind: 'redirect'; location: string }
  | { kind: 'login'; sealed: string }
  | { kind: 'consent'; sealed: string; request: AuthorizationRequest; client: Client };

/** A person may take an hour over a mail and a cup of tea; after that the application starts anew. */
const REQUEST_LIFETIME_MS = 60 * 60 * 1_000;
/** A sealed request travels in URLs, of which the longest that is read has 10 KiB (http/): with room for origin and path. */
const MAX_SEALED_LENGTH = 9_000;
const TRAVEL_PURPOSE = 'authorization-request';

export class Authorization {
  readonly #store: Store;
  readonly #clients: Clients;
  readonly #keys: Keys;
  readonly #sealer: Sealer;
  readonly #buckets: Pick<Buckets, 'prove' | 'isProven'>;
  readonly #codes: CodeIssuer;
  readonly #clock: Clock;
  readonly #issuer: string;

  constructor(given: {
    store: Store;
    clients: Clients;
    keys: Keys;
    sealer: Sealer;
    buckets: Pick<Buckets, 'prove' | 'isProven'>;
    codes: CodeIssuer;
    clock: Clock;
    issuer: string;
  }) {
    this.#store = given.store;
    this.#clients = given.clients;
    this.#keys = given.keys;
    this.#sealer = given.sealer;
    this.#buckets = given.buckets;
    this.#codes = given.codes;
    this.#clock = given.clock;
    this.#issuer = given.issuer;
  }

  /**
   * Reads a request and seals it, or answers the client with an error by redirect.
   * @throws RequestNotRedirectable when nobody can be trusted with a redirect
   */
  async begin(
    parameters: Parameters,
  ): Promise<{ kind: 'sealed'; sealed: string } | { kind: 'redirect'; location: string }> {
    const client = await this.#clients.find(parameters.get('client_id') ?? '');
    const target = readRedirectUri(client, parameters);
    try {
      const hintedUserId = await this.#hintedUser(parameters.get('id_token_hint'));
      const request = readRequest(target, parameters, { hintedUserId, nowMs: this.#clock.now() });
      const sealed = this.#seal(request);
      if (sealed.length > MAX_SEALED_LENGTH) throw tooLong();
      return { kind: 'sealed', sealed };
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error;
      return { kind: 'redirect', location: this.#errorLocation(target.redirectUri, stateOf(parameters), error) };
    }
  }

  /** What a sealed request needs next, for the browser with this session. Undefined when the seal is broken or too old. */
  async advance(sealed: string, session: Session | undefined): Promise<Outcome | undefined> {
    const open = await this.#open(sealed);
    if (!open) return undefined;
    const { request, client } = open;
    const step = decideStep({
      request,
      session: session && { userId: session.userId, authTimeMs: session.createdAtMs },
      isIdentityAssured: isIdentityAssured(client, request.redirectUri),
      consentedScope: session && (await this.#consentedScope({ userId: session.userId, clientId: client.id })),
      nowMs: this.#clock.now(),
    });
    return this.#outcomeOf(step, { sealed, request, client, session });
  }

  /** The user's answer on the consent page. Undefined when the seal is broken, too old, or the login does not suffice. */
  async answer(sealed: string, session: Session, isAllowed: boolean): Promise<Outcome | undefined> {
    const open = await this.#open(sealed);
    if (!open) return undefined;
    const { request, client } = open;
    if (!isAllowed) {
      const denied = new OAuthError('access_denied', 'forbidden.denied_by_user', 'The user did not agree.');
      return { kind: 'redirect', location: this.#errorLocation(request.redirectUri, request.state, denied) };
    }
    const step = decideStep({
      request: { ...request, prompt: request.prompt.filter((prompt) => prompt !== 'consent') },
      session: { userId: session.userId, authTimeMs: session.createdAtMs },
      isIdentityAssured: true, // the consent is in this very request
      consentedScope: request.scope,
      nowMs: this.#clock.now(),
    });
    if (step.kind === 'issue' && isIdentityAssured(client, request.redirectUri)) {
      const scope = request.scope.join(' ');
      const consent = { userId: session.userId, clientId: client.id, scope, givenAtMs: this.#clock.now() };
      const proof = this.#buckets.prove(consentName(consent), consentTerms(consent));
      await this.#store.write((tx) => upsertConsent(tx, { ...consent, proof }));
    }
    return this.#outcomeOf(step, { sealed, request, client, session });
  }

  /** For the login page and its mail: which application a sealed request is for, and where it returns to. */
  async describe(
    sealed: string,
  ): Promise<{ clientId: string; clientName: string; redirectUri: string; loginHint: string | undefined } | undefined> {
    const open = await this.#open(sealed);
    if (!open) return undefined;
    const { redirectUri, loginHint } = open.request;
    return { clientId: open.client.id, clientName: open.client.name, redirectUri, loginHint };
  }

  /** Disconnecting an application also forgets that the user agreed to it. */
  async forgetConsent(tx: Transaction, of: { userId: string; clientId: string }): Promise<void> {
    await deleteConsent(tx, of);
  }

  /** After a restore: the copy does not know what was forgotten since, so everybody is asked once more. */
  async forgetAllConsents(tx: Transaction): Promise<number> {
    return deleteAllConsents(tx);
  }

  /** A row that somebody else wrote is no consent: his application would be let in without a question. */
  async #consentedScope(of: { userId: string; clientId: string }): Promise<readonly string[] | undefined> {
    const consent = await selectConsent(this.#store.read, of);
    if (!consent || !this.#buckets.isProven(consentName(consent), consentTerms(consent), consent.proof))
      return undefined;
    return consent.scope.split(' ');
  }

  async #outcomeOf(
    step: Step,
    at: { sealed: string; request: AuthorizationRequest; client: Client; session: Session | undefined },
  ): Promise<Outcome> {
    const { sealed, request, client, session } = at;
    if (step.kind === 'refuse') {
      const error = new OAuthError(step.error, `forbidden.${step.error}`, 'prompt=none, but the user has to act.');
      return { kind: 'redirect', location: this.#errorLocation(request.redirectUri, request.state, error) };
    }
    if (step.kind === 'login' || !session) return { kind: 'login', sealed };
    if (step.kind === 'consent') return { kind: 'consent', sealed, request, client };
    const code = await this.#codes.issueCode({
      ...request,
      client,
      userId: session.userId,
      sessionId: session.id,
      authTimeMs: session.createdAtMs,
      amr: session.amr,
    });
    const parameters = { code, state: request.state, iss: this.#issuer };
    return { kind: 'redirect', location: withParameters(request.redirectUri, parameters) };
  }

  /** Every answer names the issuer, errors too (RFC 9207 §2). */
  #errorLocation(redirectUri: string, state: string | undefined, error: OAuthError): string {
    return withParameters(redirectUri, {
      error: error.error,
      error_description: error.message,
      state,
      iss: this.#issuer,
    });
  }

  #seal(request: AuthorizationRequest): string {
    return encodeBase64url(this.#sealer.sealForTravel(TRAVEL_PURPOSE, Buffer.from(JSON.stringify(request))));
  }

  async #open(sealed: string): Promise<{ request: AuthorizationRequest; client: Client } | undefined> {
    const bytes = decodeBase64url(sealed);
    if (!bytes) return undefined;
    let request: AuthorizationRequest;
    try {
      const text = Buffer.from(this.#sealer.openFromTravel(TRAVEL_PURPOSE, bytes)).toString('utf8');
      request = JSON.parse(text) as AuthorizationRequest; // sealed by #seal, and authenticated
    } catch {
      return undefined;
    }
    if (this.#clock.now() >= request.startedAtMs + REQUEST_LIFETIME_MS) return undefined;
    const client = await this.#clients.find(request.clientId);
    // Asked again: the registration may have changed, and a seal proves only that a holder of the master key wrote this.
    const isKnown = client?.redirectUris.some((known) => isSameRedirectUri(request.redirectUri, known)) ?? false;
    return client && isKnown && client.disabledAtMs === undefined ? { request, client } : undefined;
  }

  /** A hint must be an ID token of ours; one that has expired still hints (OpenID Connect Core §3.1.2.1). */
  async #hintedUser(hint: string | undefined): Promise<string | undefined> {
    if (hint === undefined) return undefined;
    const verified = await this.#keys.verify({ purpose: 'id', typ: TOKEN_TYPES.id, token: hint });
    const { sub, iss } = verified.kind === 'signed' ? verified.parsed.claims : {};
    if (typeof sub === 'string' && iss === this.#issuer) return sub;
    throw new OAuthError(
      'invalid_request',
      'bad_request.bad_param.id_token_hint',
      'id_token_hint is not an ID token of this issuer.',
    );
  }
}

function consentName(consent: Consent) {
  return { table: 'consent', id: `${consent.userId} ${consent.clientId}` };
}

function consentTerms(consent: Consent): readonly RowTerm[] {
  return [consent.scope, consent.givenAtMs];
}

function tooLong(): OAuthError {
  return new OAuthError(
    'invalid_request',
    'bad_request.request_too_long',
    'The parameters together are too long to be carried through a login. Keep state short.',
  );
}

/** A state that was refused for its length is not sent back. */
function stateOf(parameters: Parameters): string | undefined {
  try {
    return readState(parameters);
  } catch {
    return undefined;
  }
}
