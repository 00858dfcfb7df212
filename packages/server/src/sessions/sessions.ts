/**
 * Browsers that are logged in. A session is a row and a cookie of 256 random bits, of which only the digest is stored: a copy
 * of the database logs nobody in.
 *
 * Owns: beginning, finding, idling out and ending of sessions. Leaves to others: how somebody proved who he is (login), cookies
 * on the wire (http), grants that end with a session (grants).
 *
 *     start (every login makes a new one) ──► in force ──► ended (logout, replaced, ended elsewhere)
 *                                                    └───► over (idle 8 h, absolute 30 d, user disabled)
 */
import { createHash } from 'node:crypto';
import { createId, decodeBase64url, encodeBase64url } from '@countersign/protocol';
import type { Buckets, RowTerm } from '../buckets/buckets.ts';
import type { Events } from '../events/events.ts';
import {
  type Act,
  joinedActs,
  onlyDone,
  type Sql,
  type Step,
  type Store,
  type Transaction,
  type Writes,
} from '../store/store.ts';
import type { Users } from '../users/users.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import * as table from './table.ts';
import { isInForce, lastSeenIsDue, SESSION_ABSOLUTE_MS, SESSION_IDLE_MS, type SessionTimes } from './timeouts.ts';

export { SESSION_ABSOLUTE_MS, SESSION_IDLE_MS } from './timeouts.ts';

/** Name of the cookie, without its `__Host-` prefix. */
export const SESSION_COOKIE = 'session';

/**
 * `amr` of a login by link or code. RFC 8176 registers no value for control of a mailbox, and each that it has would claim
 * more (`otp` is a one-time password from a device, `mca` several channels), so this private value says what happened. No
 * `acr` is claimed with it (OI-13; NIST SP 800-63B-4 §3.1.3.1 does not accept e-mail as an authenticator).
 */
export const AMR_EMAIL = 'email';

/** 256 bits. */
const COOKIE_BYTES = 32;
/** Sessions that are over stay for a week, so that events that name them can still be looked up. */
const KEPT_AFTER_END_MS = 7 * 86_400_000;
/** Most sessions a list shows; a person with more has another problem. */
const MAX_LISTED = 100;

export interface Session extends SessionTimes {
  /** `sess_…`; no secret */
  id: string;
  userId: string;
  amr: readonly string[];
  /** Also the moment of authentication (`auth_time`): a new login always makes a new session. */
  createdAtMs: number;
  /** A short description such as `Firefox on Linux`. */
  userAgent: string;
  network: string;
}

/** A session that begins with its act. */
export interface NewSession {
  cookie: string;
  session: Session;
  act: Act;
}

export class Sessions {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #users: Pick<Users, 'standing'>;
  readonly #events: Pick<Events, 'appending'>;
  readonly #buckets: Pick<Buckets, 'prove' | 'isProven'>;

  constructor(given: {
    store: Store;
    clock: Clock;
    random: Random;
    users: Pick<Users, 'standing'>;
    events: Pick<Events, 'appending'>;
    buckets: Pick<Buckets, 'prove' | 'isProven'>;
  }) {
    this.#buckets = given.buckets;
    this.#store = given.store;
    this.#clock = given.clock;
    this.#random = given.random;
    this.#users = given.users;
    this.#events = given.events;
  }

  /** What begins a session. `cookie` is the secret for the browser and is stored nowhere. */
  starting(login: { userId: string; amr: readonly string[]; userAgent: string; network: string }): NewSession {
    const nowMs = this.#clock.now();
    const cookie = encodeBase64url(this.#random.bytes(COOKIE_BYTES));
    const session: Session = {
      id: createId('sess', nowMs, this.#random.bytes(8)),
      userId: login.userId,
      amr: [...login.amr],
      createdAtMs: nowMs,
      lastSeenMs: nowMs,
      expiresAtMs: nowMs + SESSION_ABSOLUTE_MS,
      userAgent: login.userAgent,
      network: login.network,
      endedAtMs: undefined,
    };
    const digest = digestOf(cookie);
    const proof = this.#buckets.prove(nameOf(session), termsOf({ ...session, digest }));
    const event = this.#events.appending({
      type: 'session.started',
      userId: session.userId,
      address: session.network,
      detail: { session_id: session.id },
    });
    const row = { steps: [table.inserting({ ...session, digest, proof })], footprint: table.finding(session.id) };
    return { cookie, session, act: joinedActs(row, event) };
  }

  /** The same within a transaction. */
  async start(tx: Transaction, login: Parameters<Sessions['starting']>[0]): Promise<Omit<NewSession, 'act'>> {
    const { act, ...started } = this.starting(login);
    onlyDone(await tx.do(act));
    return started;
  }

  /** The session of this cookie if it is in force; notes, at most once a minute, that it was seen. */
  async find(cookie: string | undefined): Promise<Session | undefined> {
    if (cookie === undefined || !isCookie(cookie)) return undefined;
    const session = this.#own(await table.byDigest(this.#store.read, digestOf(cookie)));
    if (!session || !(await this.#inForce(session, this.#store.read))) return undefined;
    const nowMs = this.#clock.now();
    if (!lastSeenIsDue(session, nowMs)) return session;
    await this.#store.write((tx) => table.markSeen(tx, { id: session.id, atMs: nowMs }));
    return { ...session, lastSeenMs: nowMs };
  }

  /** The same for a decision that must hold at a commit: within its transaction, or asked again by its act. Notes nothing. */
  async findIn(sql: Sql, cookie: string | undefined): Promise<Session | undefined> {
    if (cookie === undefined || !isCookie(cookie)) return undefined;
    const session = this.#own(await table.byDigest(sql, digestOf(cookie)));
    return session && (await this.#inForce(session, sql)) ? session : undefined;
  }

  /** The session with this id if it is in force. */
  async inForce(sessionId: string, sql: Sql = this.#store.read): Promise<Session | undefined> {
    const session = this.#own(await table.byId(sql, sessionId));
    return session && (await this.#inForce(session, sql)) ? session : undefined;
  }

  /**
   * For the act that makes something live by a session: refused unless that is in force, and in the way of a logout. One that comes
   * first is seen here; one that comes later finds what was made. The user's own standing is asked of users/.
   */
  touching(sessionId: string): Step {
    const nowMs = this.#clock.now();
    return table.touching({ id: sessionId, nowMs, seenAfterMs: nowMs - SESSION_IDLE_MS });
  }

  /** What ends a session for good; refused where it had ended before. What ends with it is the caller's, in the same commit. */
  ending(session: { id: string; userId: string }): Act {
    return joinedActs(
      { steps: [table.markingEnded({ id: session.id, atMs: this.#clock.now() })] },
      this.#events.appending({
        type: 'session.ended',
        userId: session.userId,
        detail: { session_id: session.id },
      }),
    );
  }

  /** The same within a transaction; false if it had ended before. */
  async end(tx: Transaction, session: { id: string; userId: string }): Promise<boolean> {
    return (await tx.do(this.ending(session))).kind === 'done';
  }

  /** Ends every session: the store was restored, and with it sessions that had been ended. One fact, so no event for each. */
  endAll(tx: Transaction): Promise<number> {
    return table.markAllEnded(tx, this.#clock.now());
  }

  /** Sessions of a user that are in force, newest first, at most 100. */
  async list(userId: string): Promise<Session[]> {
    const user = await this.#users.standing(userId);
    if (!user) return [];
    const nowMs = this.#clock.now();
    const sessions = await table.openOfUser(this.#store.read, { userId, nowMs, limit: MAX_LISTED });
    return sessions.flatMap((session) => this.#own(session) ?? []).filter((session) => isInForce(session, user, nowMs));
  }

  /** One bounded step of removing sessions that are over. */
  async sweep(limit: number, writes: Writes = this.#store): Promise<{ removed: number }> {
    const beforeMs = this.#clock.now() - KEPT_AFTER_END_MS;
    return { removed: await writes.write((tx) => table.removeOver(tx, { beforeMs, limit })) };
  }

  /** A row that somebody else wrote logs nobody in. */
  #own(session: table.StoredSession | undefined): Session | undefined {
    if (!session || !this.#buckets.isProven(nameOf(session), termsOf(session), session.proof)) return undefined;
    const { proof: _, digest: __, ...own } = session;
    return own;
  }

  async #inForce(session: Session, sql: Sql): Promise<boolean> {
    const user = await this.#users.standing(session.userId, sql);
    return user !== undefined && isInForce(session, user, this.#clock.now());
  }
}

function nameOf(session: { id: string }) {
  return { table: 'browser_session', id: session.id };
}

function termsOf(session: Session & { digest: Uint8Array }): readonly RowTerm[] {
  const { digest, userId, amr, createdAtMs, expiresAtMs } = session;
  return [digest, userId, amr, createdAtMs, expiresAtMs];
}

/** The stored form: a secret of 256 random bits needs no slow hash, for it cannot be searched. */
function digestOf(cookie: string): Uint8Array {
  return createHash('sha256').update(cookie).digest();
}

function isCookie(text: string): boolean {
  return text.length === 43 && decodeBase64url(text)?.length === COOKIE_BYTES;
}
