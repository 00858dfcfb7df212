/**
 * An authority in the bench's own process over a PostgreSQL database: the composition of the product, without a network in front of it.
 * What it would commit can be held back, so that a bench signs beforehand and only writes while the clock runs.
 */
import { randomBytes } from 'node:crypto';
import {
  type Authority,
  type Clock,
  composeAuthority,
  systemClock,
  systemRandom,
  systemStopwatch,
  systemTimers,
} from '../packages/server/src/index.ts';
import type { Session } from '../packages/server/src/sessions/sessions.ts';
import {
  type Act,
  type ActOutcome,
  onlyDone,
  openPostgresStore,
  type Store,
  type Transaction,
} from '../packages/server/src/store/store.ts';

const AUDIENCE = 'https://api.example';
const REDIRECT_URI = 'https://app.example/callback';
const ADDRESS = '127.0.0.1';
const SCOPE = ['accounts:read'];
const CONNECTIONS = 16;
/** Well within what one work may take. */
const SESSIONS_A_COMMIT = 100;

export type BenchAuthority = Awaited<ReturnType<typeof openBenchAuthority>>;

export interface BenchAuthorityOptions {
  readonly clock?: Clock;
  readonly issuer?: string;
  /** 32 bytes; of chance where nobody else reads the database. */
  readonly masterKey?: Uint8Array;
  readonly accessLifetimeSeconds?: number;
  /** Default: as many as the benches let be under way at once, so that nobody waits for one. */
  readonly connections?: number;
}

export async function openBenchAuthority(url: string, options: BenchAuthorityOptions = {}) {
  const { clock = systemClock, issuer = 'https://auth.example', masterKey = randomBytes(32) } = options;
  const store = new HoldingStore(
    await openPostgresStore({
      url,
      clock,
      random: systemRandom,
      journal: { kind: 'none' },
      connections: options.connections ?? CONNECTIONS,
    }),
  );
  const complain = (message: string) => console.error(message);
  const authority = await composeAuthority({
    world: {
      ...{ clock, random: systemRandom, stopwatch: systemStopwatch },
      timers: systemTimers({ onError: (error) => console.error(error) }),
      log: { info: () => {}, warn: complain, error: complain },
      mailTransport: { send: async () => {} },
    },
    settings: {
      ...{ issuer, accessAlgorithm: 'ES256', mailsPerMinute: 60, organizationName: 'Countersign', signUp: true },
      ...{ hstsPreload: false, trustedProxies: [] },
    },
    ...{ store, masterKey },
  });
  const { client, secret } = await authority.clients.add({
    name: 'Benchmark',
    isConfidential: true,
    redirectUris: [REDIRECT_URI],
    grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
    scopes: SCOPE,
    audience: AUDIENCE,
    // A grant is refreshed many times a second here; with the usual overlap it would meet its cap of live tokens.
    overlapSeconds: 0,
    ...(options.accessLifetimeSeconds !== undefined && { accessLifetimeSeconds: options.accessLifetimeSeconds }),
    maxLiveTokens: 100_000_000,
  });
  const { grants } = authority;

  return {
    ...{ authority, store, client, secret: secret ?? '' },
    beginSessions: (count: number) => beginSessions(authority, count),
    /** A code as the code flow ends in it, without the browser's part. */
    issueCode: (session: Session) =>
      grants.issueCode({
        ...{ client, userId: session.userId, sessionId: session.id, redirectUri: REDIRECT_URI },
        ...{ isRedirectUriSent: true, codeChallenge: undefined, scope: SCOPE, nonce: undefined },
        ...{ authTimeMs: session.createdAtMs, amr: session.amr },
      }),
    redeem: (code: string) =>
      grants.redeemCode(client, { code, redirectUri: REDIRECT_URI, verifier: undefined, address: ADDRESS }),
    refresh: (token: string) =>
      grants.refresh(client, { token, scope: undefined, resource: undefined, address: ADDRESS }),
    issue: () => grants.clientCredentials(client, undefined),
    async endGrant(id: string): Promise<void> {
      const grant = await grants.find(id);
      if (!grant) throw new Error('There is no such grant.');
      onlyDone(await store.commit(grants.ending(grant, 'user')));
    },
    close: () => store.close(),
  };
}

/** Of one user, as from so many browsers. */
async function beginSessions({ users, sessions, store }: Authority, count: number): Promise<Session[]> {
  const user = await store.write((tx) => users.create(tx, `${randomBytes(8).toString('hex')}@example.org`));
  const login = { userId: user.id, amr: ['email'], userAgent: 'Benchmark', network: ADDRESS };
  const begun: Session[] = [];
  while (begun.length < count) {
    begun.push(
      ...(await store.write(async (tx) => {
        const some: Session[] = [];
        for (const _ of Array(Math.min(SESSIONS_A_COMMIT, count - begun.length))) {
          some.push((await sessions.start(tx, login)).session);
        }
        return some;
      })),
    );
  }
  return begun;
}

/** Does so many at once; the answers in the order of what was given. */
export async function inParallel<Given, Answer>(
  all: readonly Given[],
  atOnce: number,
  work: (one: Given) => Promise<Answer>,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  const left = all.entries();
  const worker = async () => {
    for (const [index, one] of left) answers[index] = await work(one);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return answers;
}

/** The engine, and a place to keep acts: those of `hold` are collected instead of done. */
class HoldingStore implements Store {
  readonly read: Store['read'];
  readonly engine: Store['engine'];
  readonly #engine: Store;
  #held: Act[] | undefined;

  constructor(engine: Store) {
    this.#engine = engine;
    this.read = engine.read;
    this.engine = engine.engine;
  }

  write<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#engine.write(work);
  }

  async commit(act: Act): Promise<ActOutcome> {
    if (!this.#held) return this.#engine.commit(act);
    this.#held.push(act);
    return { kind: 'done' };
  }

  /** The acts that `work` would have done, with everything around them done: reading, deciding, signing. */
  async hold(work: () => Promise<unknown>): Promise<Act[]> {
    const held: Act[] = [];
    this.#held = held;
    try {
      await work();
    } finally {
      this.#held = undefined;
    }
    return held;
  }

  epoch(): Promise<number> {
    return this.#engine.epoch();
  }

  assertUsable(): Promise<void> {
    return this.#engine.assertUsable();
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}
