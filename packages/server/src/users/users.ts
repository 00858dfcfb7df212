/**
 * People who can log in. A user is an id that is never reassigned (the `sub` of tokens) and one checked e-mail address.
 *
 * Owns: the account, the rule of what an address is, and whether the account is in force.
 * Leaves to others: proving who somebody is (login), being logged in (sessions), telling verifiers that a user is disabled
 * (revocation).
 *
 *     (first login, if sign-up is on; the operator) ──► in force ──disable──► disabled ──enable──► in force
 *
 * Disabling moves `deadBeforeMs` to now: whatever was issued to the user up to then (links, sessions, grants, tokens) is dead
 * and stays dead after enabling. It is one row; nothing has to be found and ended one by one.
 */
import { createId } from '@countersign/protocol';
import type { Buckets, RowTerm } from '../buckets/buckets.ts';
import type { Events } from '../events/events.ts';
import { type Act, joinedActs, onlyDone, type Sql, type Step, type Store, type Transaction } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import * as table from './table.ts';

export { type AddressRefusal, emailAddress, MAX_ADDRESS_LENGTH, maskedAddress } from './address.ts';

export interface User {
  /** `user_…` */
  id: string;
  /** ASCII, lower case: see `emailAddress`. */
  email: string;
  createdAtMs: number;
  disabledAtMs: number | undefined;
  /** Whatever was issued to this user at or before this moment is dead. */
  deadBeforeMs: number;
}

/** Most users that one page of a list holds: an answer stays small whatever the caller asks for. */
export const MAX_USERS_PER_PAGE = 200;

export class Users {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #events: Pick<Events, 'append' | 'appending'>;
  readonly #buckets: Pick<Buckets, 'prove' | 'isProven'>;

  constructor(given: {
    store: Store;
    clock: Clock;
    random: Random;
    events: Pick<Events, 'append' | 'appending'>;
    buckets: Pick<Buckets, 'prove' | 'isProven'>;
  }) {
    this.#buckets = given.buckets;
    this.#store = given.store;
    this.#clock = given.clock;
    this.#random = given.random;
    this.#events = given.events;
  }

  /** Give the transaction as `sql` to decide inside it. */
  async byId(id: string, sql: Sql = this.#store.read): Promise<User | undefined> {
    return this.#own(await table.byId(sql, id));
  }

  /** `email` as `emailAddress` returned it. */
  async byEmail(email: string, sql: Sql = this.#store.read): Promise<User | undefined> {
    return this.#own(await table.byEmail(sql, email));
  }

  /** What every check of a token or session of this user needs to know; undefined if there is no such user. */
  async standing(
    userId: string,
    sql: Sql = this.#store.read,
  ): Promise<{ disabled: boolean; deadBeforeMs: number } | undefined> {
    const user = await this.byId(userId, sql);
    return user && { disabled: user.disabledAtMs !== undefined, deadBeforeMs: user.deadBeforeMs };
  }

  /** A page of users in order of creation, beginning after the id `afterId`. */
  async list(page: { afterId?: string; limit: number }): Promise<User[]> {
    const limit = Math.max(1, Math.min(page.limit, MAX_USERS_PER_PAGE));
    const users: User[] = [];
    let afterId: string | undefined = page.afterId ?? '';
    // Rows that somebody else wrote are passed over and do not shorten the page: a short one is the last.
    while (users.length < limit && afterId !== undefined) {
      const rows = await table.after(this.#store.read, { afterId, limit });
      users.push(...rows.flatMap((row) => this.#own(row) ?? []));
      afterId = rows.length < limit ? undefined : rows.at(-1)?.id;
    }
    return users.slice(0, limit);
  }

  /**
   * Asks, for an act that was decided from a standing read before it, whether that still holds: the user is in force, and what was
   * issued to him at `sinceMs` is alive.
   */
  askingInForce(userId: string, sinceMs: number): Step {
    return table.askingInForce(userId, sinceMs);
  }

  /** What makes an account. The address was proved by its owner or named by the operator; refused where somebody has it already. */
  creating(email: string): { user: User; act: Act } {
    const nowMs = this.#clock.now();
    const user: User = {
      id: createId('user', nowMs, this.#random.bytes(8)),
      email,
      createdAtMs: nowMs,
      disabledAtMs: undefined,
      deadBeforeMs: 0,
    };
    const row = { ...user, proof: this.#buckets.prove(nameOf(user), termsOf(user)) };
    const event = this.#events.appending({ type: 'user.created', userId: user.id });
    return { user, act: joinedActs({ steps: [table.inserting(row)] }, event) };
  }

  /** The same within a transaction, where the address is free: call after `byEmail(email, tx)`. */
  async create(tx: Transaction, email: string): Promise<User> {
    const { user, act } = this.creating(email);
    onlyDone(await tx.do(act));
    return user;
  }

  /**
   * Puts the account out of force, and into the revocation journal. Returns false if there is no such user. The caller also
   * tells the verifiers, in the same transaction.
   */
  async disable(tx: Transaction, id: string): Promise<boolean> {
    const atMs = await table.markDisabled(tx, { id, atMs: this.#clock.now() });
    if (atMs === undefined) return false;
    tx.journal({ kind: 'user_disabled', userId: id, atMs });
    return true;
  }

  /** The same from a line of the journal, after a restore, unless the copy knows that the user was enabled since. */
  disableAgain(tx: Transaction, disabled: { id: string; atMs: number }): Promise<void> {
    return table.markDisabledAgain(tx, disabled);
  }

  /**
   * Lets the user log in again. What was issued before stays dead, up to this very moment: nothing is issued while he is disabled,
   * and what a clock that was ahead had dated later than the disabling must not come back. False if there is no such user.
   */
  async enable(tx: Transaction, id: string): Promise<boolean> {
    if (!(await table.markEnabled(tx, { id, deadBeforeMs: this.#clock.now() - 1 }))) return false;
    await this.#events.append(tx, { type: 'user.enabled', userId: id });
    return true;
  }

  /** A row that somebody else wrote, or whose address somebody changed, is no user. */
  #own(user: table.StoredUser | undefined): User | undefined {
    if (!user || !this.#buckets.isProven(nameOf(user), termsOf(user), user.proof)) return undefined;
    const { proof: _, ...own } = user;
    return own;
  }
}

function nameOf(user: User) {
  return { table: 'app_user', id: user.id };
}

function termsOf(user: User): readonly RowTerm[] {
  return [user.email, user.createdAtMs];
}
