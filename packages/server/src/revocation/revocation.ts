/**
 * Revocation: the log of what was taken back, and the acts that take back everything of a user or client.
 *
 * Owns the tables `invalidation` and `invalidation_sweep`: a row for every revocation, written in the revoking transaction, read by whoever keeps copies
 * of verdicts (verifiers). A copy may be accepted only as long as every row visible before its lease has been applied. Leaves
 * single tokens to tokens/ and grants to grants/, which append here.
 */
import type { Clients } from '../clients/clients.ts';
import type { Events } from '../events/events.ts';
import { type Act, onlyDone, type Step, type Store, type Transaction, type Writes } from '../store/store.ts';
import type { Users } from '../users/users.ts';
import type { Clock } from '../world/clock.ts';
import {
  deleteOverInvalidations,
  type Invalidation,
  insertingEachInvalidation,
  insertingInvalidation,
  selectInvalidationsAfter,
} from './table.ts';
import type { WakeUps } from './wake-ups.ts';

export { InvalidationLog, type LoggedInvalidation, type LogRead, type LogSeen, type LogState } from './log.ts';
export type { Invalidation, InvalidationKind, Landmark } from './table.ts';
export { type WakeUps, wakeUpsWithinProcess } from './wake-ups.ts';
export { SPEAK_PAUSE_MS, wakeUpsBetweenNodes } from './wake-ups-between-nodes.ts';

/** How long a row stays that may concern many tokens: two days cover the longest life of an access token, and every clock. */
export const INVALIDATION_RETENTION_MS = 48 * 60 * 60 * 1_000;

/** What a domain says of what it takes back. */
export type NewInvalidation = Omit<Invalidation, 'position' | 'atMs' | 'untilMs'> & { untilMs?: number };

export class Revocation {
  readonly #store: Store;
  readonly #users: Users;
  readonly #clients: Clients;
  readonly #events: Events;
  readonly #clock: Clock;
  readonly #wakeUps: Pick<WakeUps, 'wake'>;

  constructor(given: {
    store: Store;
    users: Users;
    clients: Clients;
    events: Events;
    clock: Clock;
    wakeUps: Pick<WakeUps, 'wake'>;
  }) {
    this.#store = given.store;
    this.#users = given.users;
    this.#clients = given.clients;
    this.#events = given.events;
    this.#clock = given.clock;
    this.#wakeUps = given.wakeUps;
  }

  /**
   * What says, for the revoking act, what is dead from its commit on. `untilMs` is when the last token concerned could have been
   * accepted anyway; a row stays no longer, so that a client that refreshes often fills no log. Default: every token's longest life.
   */
  appending(invalidation: NewInvalidation): Act {
    const atMs = this.#clock.now();
    return this.#waking(insertingInvalidation({ untilMs: atMs + INVALIDATION_RETENTION_MS, ...invalidation, atMs }));
  }

  /** The same for whatever a question finds: it selects what `insertingEachInvalidation` wants. */
  appendingEach(selected: Step): Act {
    return this.#waking(insertingEachInvalidation(selected));
  }

  /** The same within a transaction. */
  async append(tx: Transaction, invalidation: NewInvalidation): Promise<void> {
    onlyDone(await tx.do(this.appending(invalidation)));
  }

  /** Rows after a position, in commit order. `limit` at most 10,000. */
  async after(position: number, limit: number): Promise<Invalidation[]> {
    return selectInvalidationsAfter(this.#store.read, { position, limit: Math.min(limit, 10_000) });
  }

  /** Takes back everything of a user, in one commit: sessions, grants, tokens, open links. False if there is no such user. */
  async disableUser(userId: string): Promise<boolean> {
    return this.#store.write(async (tx) => {
      if (!(await this.#users.disable(tx, userId))) return false;
      await this.append(tx, { kind: 'user', subjectId: userId });
      await this.#events.append(tx, { type: 'user.disabled', userId });
      return true;
    });
  }

  /** Takes back everything a client was issued, in one commit. False if there is no such client. */
  async disableClient(clientId: string): Promise<boolean> {
    return this.#store.write(async (tx) => {
      if (!(await this.#clients.disable(tx, clientId))) return false;
      await this.append(tx, { kind: 'client', subjectId: clientId });
      await this.#events.append(tx, { type: 'client.disabled', clientId });
      return true;
    });
  }

  /** One bounded step of forgetting rows that concern no living token. */
  async sweep(limit: number, writes: Writes = this.#store): Promise<{ deleted: number }> {
    const [{ engine }, nowMs] = [this.#store, this.#clock.now()];
    return { deleted: await writes.write((tx) => deleteOverInvalidations(tx, { engine, nowMs, limit })) };
  }

  #waking(step: Step): Act {
    return { steps: [step], afterCommit: [() => this.#wakeUps.wake()] };
  }
}
