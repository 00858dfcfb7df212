/**
 * Clients: the registered applications, and resource servers, which are clients with a role.
 *
 * Owns the tables `client` and `client_secret`: registration, authentication at every endpoint that wants it, rotation of
 * secrets (two are good during an overlap), disabling. Leaves to revocation/ the telling of others, and to grants/ what a
 * client was allowed to do. A client id is given by us, never chosen, and shares no namespace with users.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createId, encodeBase64url, isId } from '@countersign/protocol';
import type { Buckets, RowTerm } from '../buckets/buckets.ts';
import type { Events } from '../events/events.ts';
import type { Authorization } from '../http/http.ts';
import { type Limits, Turns } from '../limits/limits.ts';
import { OAuthError } from '../oauth/oauth.ts';
import type { Sql, Step, Store, Transaction } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import { type PresentedClient, presentedClient } from './presented.ts';
import { checkRegistration, type Registration } from './registration.ts';
import {
  askingInForce,
  expireSecrets,
  insertClient,
  insertSecret,
  markDisabled,
  markDisabledAgain,
  markEnabled,
  type StoredClient,
  type StoredSecret,
  selectClient,
  selectClients,
  selectOrigins,
  selectSecrets,
} from './table.ts';

export {
  DEFAULT_LIFETIMES,
  DEFAULT_MAX_LIVE_TOKENS,
  MOST_LIVE_TOKENS,
  type Registration,
  RegistrationRefused,
} from './registration.ts';

/** The grants there are (RFC 6749 §4.1, §6, §4.4). */
export const GRANT_TYPES = ['authorization_code', 'refresh_token', 'client_credentials'] as const;
export type GrantType = (typeof GRANT_TYPES)[number];
/** `client_secret` takes either way of sending it, as widespread libraries try both. */
export const AUTH_METHODS = ['client_secret', 'client_secret_basic', 'client_secret_post', 'none'] as const;
export type AuthMethod = (typeof AUTH_METHODS)[number];

export interface Client {
  id: string;
  name: string;
  isConfidential: boolean;
  authMethod: AuthMethod;
  redirectUris: readonly string[];
  grantTypes: readonly GrantType[];
  /** The most it can ever obtain. */
  scopes: readonly string[];
  /** `aud` of its access tokens. */
  audience: string;
  /** Audiences it may ask about as a resource server; empty for an ordinary client. */
  resourceServerFor: readonly string[];
  /** Origins of its pages, for CORS. */
  allowedOrigins: readonly string[];
  singleActive: 'grant' | 'off';
  accessLifetimeSeconds: number;
  refreshIdleSeconds: number;
  refreshAbsoluteSeconds: number;
  /** A repeated refresh gets the same answer again for so long. */
  graceSeconds: number;
  /** A superseded access token is honoured for so long, for requests in flight. */
  overlapSeconds: number;
  maxLiveTokens: number;
  isPkceRequired: boolean;
  createdAtMs: number;
  disabledAtMs: number | undefined;
  /** Whatever it was issued up to here is dead, also after it was enabled again. */
  deadBeforeMs: number;
}

const SECRET_BYTES = 32; // 256 bits: a plain SHA-256 is a safe digest of it
/** Both secrets are good for so long after a rotation. */
export const SECRET_OVERLAP_MS = 24 * 60 * 60 * 1_000;

const ORIGINS_AGE_MS = 5_000;

export class Clients {
  readonly #store: Store;
  readonly #events: Events;
  readonly #buckets: Pick<Buckets, 'prove' | 'isProven'>;
  readonly #turns: Turns;
  readonly #clock: Clock;
  readonly #random: Random;
  #origins: { list: readonly string[]; readAtMs: number } = { list: [], readAtMs: Number.NEGATIVE_INFINITY };

  constructor(given: {
    store: Store;
    events: Events;
    buckets: Pick<Buckets, 'prove' | 'isProven'>;
    limits: Limits;
    clock: Clock;
    random: Random;
  }) {
    this.#buckets = given.buckets;
    this.#store = given.store;
    this.#events = given.events;
    this.#turns = new Turns(given.limits, 'clientSecretPerNetwork');
    this.#clock = given.clock;
    this.#random = given.random;
  }

  /** Registers a client. The secret is returned this once and kept only as a digest. @throws RegistrationRefused */
  async add(registration: Registration): Promise<{ client: Client; secret: string | undefined }> {
    const nowMs = this.#clock.now();
    const id = createId('oauth2client', nowMs, this.#random.bytes(8));
    const client: Client = {
      ...checkRegistration(registration),
      id,
      createdAtMs: nowMs,
      disabledAtMs: undefined,
      deadBeforeMs: 0,
    };
    const secret = client.isConfidential ? this.#newSecret() : undefined;
    await this.#store.write(async (tx) => {
      await insertClient(tx, { ...client, proof: this.#buckets.prove(nameOf(client), termsOf(client)) });
      if (secret) await this.#insertSecret(tx, id, secret);
      await this.#events.append(tx, { type: 'client.created', clientId: id });
    });
    return { client, secret };
  }

  async find(id: string): Promise<Client | undefined> {
    return isId('oauth2client', id) ? this.findIn(this.#store.read, id) : undefined;
  }

  /** The same inside a transaction, for what must not change between check and use. */
  async findIn(sql: Sql, id: string): Promise<Client | undefined> {
    return this.#own(await selectClient(sql, id));
  }

  /**
   * Asks, for an act of a client that authenticated before it, whether that still holds: the client is in force, and what was issued
   * to it at `sinceMs` is alive. Only these marks change; the rest of the row stays as it was registered.
   */
  askingInForce(id: string, sinceMs: number): Step {
    return askingInForce(id, sinceMs);
  }

  /** Clients by id, after a given one. `limit` at most 1,000. */
  async list(options: { after?: string; limit: number }): Promise<Client[]> {
    const page = { after: options.after ?? '', limit: Math.min(options.limit, 1_000) };
    return (await selectClients(this.#store.read, page)).flatMap((client) => this.#own(client) ?? []);
  }

  /** Origins of all clients' pages, for CORS. Read anew every few seconds: a preflight must cost nothing. */
  async allowedOrigins(): Promise<readonly string[]> {
    const nowMs = this.#clock.now();
    const ageMs = nowMs - this.#origins.readAtMs;
    if (ageMs < 0 || ageMs >= ORIGINS_AGE_MS) {
      this.#origins = { list: await selectOrigins(this.#store.read), readAtMs: nowMs };
    }
    return this.#origins.list;
  }

  /** Gives a client a second secret; the first stays good for `SECRET_OVERLAP_MS`. Returns it this once. */
  async rotateSecret(id: string): Promise<string | undefined> {
    const secret = this.#newSecret();
    const isDone = await this.#store.write(async (tx) => {
      const client = await this.findIn(tx, id);
      if (!client?.isConfidential) return false;
      await expireSecrets(tx, { clientId: id, nowMs: this.#clock.now(), overlapMs: SECRET_OVERLAP_MS });
      await this.#insertSecret(tx, id, secret);
      await this.#events.append(tx, { type: 'client.secret_rotated', clientId: id });
      return true;
    });
    return isDone ? secret : undefined;
  }

  /** Puts a client out of force; what it was issued so far is dead. False if there is no such client. Revocation tells others. */
  async disable(tx: Transaction, id: string): Promise<boolean> {
    const atMs = await markDisabled(tx, { id, atMs: this.#clock.now() });
    if (atMs === undefined) return false;
    tx.journal({ kind: 'client_disabled', clientId: id, atMs });
    return true;
  }

  /** The same from a line of the journal, after a restore, unless the copy knows that the client was enabled since. */
  async disableAgain(tx: Transaction, disabled: { id: string; atMs: number }): Promise<void> {
    return markDisabledAgain(tx, disabled);
  }

  /** Lets a client work again. What it was issued before stays dead. */
  async enable(id: string): Promise<boolean> {
    return this.#store.write(async (tx) => {
      // Up to this moment: what a clock that was ahead had dated later than the disabling must not come back.
      if (!(await markEnabled(tx, { id, deadBeforeMs: this.#clock.now() - 1 }))) return false;
      await this.#events.append(tx, { type: 'client.enabled', clientId: id });
      return true;
    });
  }

  /**
   * Who is asking, proven as registered: secret by Basic (RFC 6749 §2.3.1) or form, or just the id for a public client. Comes
   * before a code or refresh token is touched, so that a failed first attempt burns nothing.
   *
   * @throws OAuthError invalid_client (unknown, disabled, wrong secret and wrong method are not told apart in the answer),
   *   invalid_request (two methods at once), or 429 after too many failures from one network
   */
  async authenticate(request: {
    authorization: Authorization;
    form: { get(name: string): string | undefined };
    network: string;
  }): Promise<Client> {
    const presented = presentedClient(request.authorization, request.form);
    const limitKey = `${presented.clientId} ${request.network}`;
    const challenge = presented.method === 'client_secret_basic' ? { challenge: 'Basic' as const } : {};
    // Nobody is found wrong by an outage of the store: it must not lock out, for minutes after it, every client that tried meanwhile.
    const checked = await this.#turns.run(limitKey, {
      check: () => this.#proven(presented),
      isGood: (client) => client !== undefined && client.disabledAtMs === undefined,
    });
    if (checked.kind === 'limited') {
      throw new OAuthError('invalid_client', 'rate_limited.client_authentication', TOO_MANY_FAILURES, {
        ...challenge,
        retryAfterSeconds: checked.retryAfterSeconds,
      });
    }
    const client = checked.value;
    if (client && client.disabledAtMs === undefined) return client;
    throw new OAuthError('invalid_client', 'unauthorized.client_authentication', NOT_AUTHENTICATED, challenge);
  }

  /** The client that is presented, if it proved to be that one; it may be disabled. */
  async #proven(presented: PresentedClient): Promise<Client | undefined> {
    const client = await this.find(presented.clientId);
    return (await this.#isProven(client, presented)) ? client : undefined;
  }

  async #isProven(client: Client | undefined, presented: PresentedClient): Promise<boolean> {
    const nowMs = this.#clock.now();
    // An unknown client costs the same look-up and comparison as a known one, so that time does not tell them apart.
    const secrets = await selectSecrets(this.#store.read, client?.id ?? 'none', nowMs);
    const digests = secrets.filter((secret) => this.#isOwnSecret(secret)).map((secret) => secret.digest);
    const digest = digestOfSecret(presented.secret ?? '');
    const compared = digests.length > 0 ? digests : [new Uint8Array(32)];
    const matches = compared.filter((known) => timingSafeEqual(known, digest)).length > 0;
    if (!client) return false;
    if (client.authMethod === 'none') return presented.method === 'none';
    const isMethodRight =
      client.authMethod === 'client_secret' ? presented.method !== 'none' : presented.method === client.authMethod;
    return isMethodRight && matches;
  }

  /** A row that somebody else wrote or changed is no client. */
  #own(client: StoredClient | undefined): Client | undefined {
    if (!client || !this.#buckets.isProven(nameOf(client), termsOf(client), client.proof)) return undefined;
    const { proof: _, ...own } = client;
    return own;
  }

  #isOwnSecret(secret: StoredSecret): boolean {
    return this.#buckets.isProven({ table: 'client_secret', id: secret.id }, secretTerms(secret), secret.proof);
  }

  #newSecret(): string {
    return encodeBase64url(this.#random.bytes(SECRET_BYTES));
  }

  async #insertSecret(tx: Transaction, clientId: string, secret: string): Promise<void> {
    const nowMs = this.#clock.now();
    const id = createId('key', nowMs, this.#random.bytes(8));
    const row = { id, clientId, digest: digestOfSecret(secret), createdAtMs: nowMs };
    const proof = this.#buckets.prove({ table: 'client_secret', id }, secretTerms(row));
    await insertSecret(tx, { ...row, proof });
  }
}

function nameOf(client: Client) {
  return { table: 'client', id: client.id };
}

/** All of the registration: a wider scope or another redirect URI is as good as another client. */
function termsOf(client: Client): readonly RowTerm[] {
  return [
    ...[client.name, client.isConfidential, client.authMethod, client.audience, client.singleActive],
    ...[client.redirectUris, client.grantTypes, client.scopes, client.resourceServerFor, client.allowedOrigins],
    ...[client.accessLifetimeSeconds, client.refreshIdleSeconds, client.refreshAbsoluteSeconds],
    ...[client.graceSeconds, client.overlapSeconds, client.maxLiveTokens, client.isPkceRequired, client.createdAtMs],
  ];
}

function secretTerms(secret: Omit<StoredSecret, 'proof'>): readonly RowTerm[] {
  return [secret.clientId, secret.digest, secret.createdAtMs];
}

const NOT_AUTHENTICATED =
  'The client could not be authenticated. Check client_id and client_secret, and that the client is enabled.';
const TOO_MANY_FAILURES = 'Too many failed client authentications from this network. Try again later.';

function digestOfSecret(secret: string): Uint8Array {
  return createHash('sha256').update(secret, 'utf8').digest();
}
