/**
 * An authority for rule tests: real parts over a real database, in this process, without a network. The clock stands still
 * until a test moves it, so that "the same millisecond" and "one millisecond too late" can be said exactly.
 */
import { createHash, createPrivateKey } from 'node:crypto';
import { CompactSign } from 'jose';
import type { Client, Registration } from '../clients/clients.ts';
import type { TokenResponse } from '../grants/grants.ts';
import type { KeyPurpose } from '../keys/keys.ts';
import { type AuthorityGiven, composeAuthority } from '../server.ts';
import type { Session } from '../sessions/sessions.ts';
import type { Store } from '../store/store.ts';
import type { User } from '../users/users.ts';
import { type Random, systemRandom } from '../world/random.ts';
import { systemStopwatch } from '../world/stopwatch.ts';
import { systemTimers } from '../world/timers.ts';
import { openTestStore } from './test-store.ts';

export { IS_POSTGRES, openTestStore, TEST_SERVER, type TestStore } from './test-store.ts';

export const ISSUER = 'https://auth.example';
export const AUDIENCE = 'https://api.example';
export const REDIRECT_URI = 'https://app.example/callback';
export const START_MS = 1_800_000_000_000;
export const HOME = '192.0.2.1';

/** A clock that moves only when told to; backwards, too, as a real one may. */
export class StandingClock {
  #nowMs = START_MS;
  now(): number {
    return this.#nowMs;
  }
  pass(ms: number): void {
    this.#nowMs += ms;
  }
}

/** An open store, for tests of a domain that needs no more. */
export async function openStore() {
  const clock = new StandingClock();
  return { clock, random: systemRandom, ...(await openTestStore({ clock })) };
}

interface AuthorityStore {
  store: Store;
  clock: StandingClock;
  random: Random;
}

export type TestAuthority = Awaited<ReturnType<typeof openAuthority>>;

export async function openAuthority(options: { limits?: AuthorityGiven['limits'] } = {}) {
  const opened = await openStore();
  return { ...opened, ...(await authorityOn(opened, options)) };
}

/** The same over a store that is open already; two of them under one master key are two nodes. */
export async function authorityOn(
  opened: AuthorityStore,
  options: { limits?: AuthorityGiven['limits']; masterKey?: Uint8Array; isSettling?: boolean } = {},
) {
  const { clock, store, random } = opened;
  const masterKey = options.masterKey ?? random.bytes(32);
  const logLines: string[] = [];
  const note = (message: string, fields?: object) => void logLines.push(JSON.stringify({ message, ...fields }));
  const authority = await composeAuthority({
    world: {
      ...{ clock, random, stopwatch: systemStopwatch },
      timers: systemTimers({ onError: (error) => note('job failed', { cause: String(error) }) }),
      log: { info: note, warn: note, error: note },
      mailTransport: { send: async () => {} },
    },
    settings: {
      issuer: ISSUER,
      accessAlgorithm: 'ES256',
      mailsPerMinute: 1_000,
      organizationName: 'Example',
      signUp: true,
      hstsPreload: false,
      trustedProxies: [],
    },
    store,
    masterKey,
    ...(options.isSettling && { isSettling: true }),
    limits: { clientSecretPerNetwork: { points: 1_000_000 }, ...options.limits },
  });

  async function addClient(registration: Partial<Registration> = {}): Promise<{ client: Client; secret: string }> {
    const added = await authority.clients.add({
      name: 'Application',
      isConfidential: true,
      redirectUris: [REDIRECT_URI],
      scopes: ['accounts:read', 'accounts:write'],
      audience: AUDIENCE,
      ...registration,
    });
    return { client: added.client, secret: added.secret ?? '' };
  }

  /** A user with a session, as after a login. */
  async function addUser(email: string): Promise<{ user: User; session: Session }> {
    return store.write(async (tx) => {
      const user = await authority.users.create(tx, email);
      const login = { userId: user.id, amr: ['email'], userAgent: 'Firefox', network: HOME };
      return { user, session: (await authority.sessions.start(tx, login)).session };
    });
  }

  /** An approved code and what it takes to redeem it. */
  async function approve(of: { client: Client; user: User; session: Session; hasChallenge?: boolean }) {
    const { client, user, session, hasChallenge = true } = of;
    const verifier = Buffer.from(random.bytes(32)).toString('base64url');
    const code = await authority.grants.issueCode({
      ...{ client, userId: user.id, sessionId: session.id, redirectUri: REDIRECT_URI, isRedirectUriSent: true },
      codeChallenge: hasChallenge ? createHash('sha256').update(verifier).digest('base64url') : undefined,
      ...{ scope: ['accounts:read'], nonce: undefined, authTimeMs: session.createdAtMs, amr: session.amr },
    });
    return { code, verifier, redirectUri: REDIRECT_URI, address: HOME };
  }

  async function obtainTokens(of: { client: Client; user: User; session: Session }): Promise<TokenResponse> {
    return authority.grants.redeemCode(of.client, await approve(of));
  }

  const refresh = (client: Client, token: string | undefined, address = HOME) =>
    authority.grants.refresh(client, { token: token ?? '', scope: undefined, resource: undefined, address });

  /** The active private key of a purpose, as a thief of the process's memory has it. */
  async function stolenKey(purpose: KeyPurpose) {
    const row = await store.read.get<{ id: string; algorithm: string; sealed_private: Uint8Array }>(
      "SELECT id, algorithm, sealed_private FROM signing_key WHERE purpose = $1 AND state = 'active'",
      purpose,
    );
    if (!row) throw new Error(`No active key for ${purpose}`);
    const place = { table: 'signing_key', row: row.id, column: 'sealed_private' };
    const der = Buffer.from(authority.sealer.open(place, row.sealed_private));
    return { kid: row.id, alg: row.algorithm, key: createPrivateKey({ key: der, type: 'pkcs8', format: 'der' }) };
  }

  /** Signs whatever claims with the real key. `header` members replace the real ones. */
  async function forge(purpose: KeyPurpose, typ: string, claims: object, header: object = {}): Promise<string> {
    const { kid, alg, key } = await stolenKey(purpose);
    return new CompactSign(Buffer.from(JSON.stringify(claims)))
      .setProtectedHeader({ alg, typ, kid, ...header })
      .sign(key);
  }

  const eventTypes = async () =>
    (await store.read.all<{ type: string }>('SELECT type FROM event ORDER BY id')).map(({ type }) => type);
  const alarmTypes = async () => (await eventTypes()).filter((type) => type.startsWith('alarm.'));

  return {
    ...{ authority, masterKey, logLines, addClient, addUser, approve, obtainTokens, refresh },
    ...{ stolenKey, forge, eventTypes, alarmTypes },
  };
}

/** The claims of a token, unverified. */
export function claimsOf(token: string | undefined): Record<string, unknown> {
  const payload = Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString();
  return JSON.parse(payload) as Record<string, unknown>; // a JSON object, as every payload of ours
}
