/**
 * Events: the append-only record of what happened. A domain appends in the transaction that makes the thing true; outlets
 * (alarms now; webhooks and feed later) read afterwards and can neither delay nor break the request.
 *
 * Owns the table `event`, the list of event types with their severities, and the cap on what a stranger can cause. Leaves to the
 * outlets whom to tell. An event is never changed, and forgotten after half a year unless it is an alarm; except that capped ones
 * beyond the cap of their minute are counted on one row (a flood of forgeries must not fill the disk; how many there were must
 * still be true).
 */
import { createId, idCreatedAtMs } from '@countersign/protocol';
import type { Store, Transaction } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import {
  countOnOpenRow,
  deleteEventsBefore,
  insertEvent,
  listAlarms,
  selectAlarmsAfter,
  selectNewestAtMs,
  selectNewestId,
} from './table.ts';

/** Every type there is. `isCapped`: a stranger can cause as many as he likes, so rows of a minute are bounded. */
export const EVENT_TYPES = {
  'user.created': { severity: 'info', rings: false, isCapped: false },
  'user.disabled': { severity: 'notice', rings: false, isCapped: false },
  'user.enabled': { severity: 'notice', rings: false, isCapped: false },
  'client.created': { severity: 'notice', rings: false, isCapped: false },
  'client.disabled': { severity: 'notice', rings: false, isCapped: false },
  'client.enabled': { severity: 'notice', rings: false, isCapped: false },
  'client.secret_rotated': { severity: 'notice', rings: false, isCapped: false },
  'session.started': { severity: 'info', rings: false, isCapped: false },
  'session.ended': { severity: 'info', rings: false, isCapped: false },
  'login.link_sent': { severity: 'info', rings: false, isCapped: false },
  'login.link_withheld': { severity: 'notice', rings: false, isCapped: false },
  'login.link_used': { severity: 'info', rings: false, isCapped: false },
  'login.link_repeated': { severity: 'notice', rings: false, isCapped: true },
  'login.code_wrong': { severity: 'notice', rings: false, isCapped: true },
  'grant.created': { severity: 'info', rings: false, isCapped: false },
  'grant.ended': { severity: 'info', rings: false, isCapped: false },
  'code.repeated': { severity: 'notice', rings: false, isCapped: true },
  'refresh.repeated': { severity: 'notice', rings: false, isCapped: true },
  'token.revoked': { severity: 'info', rings: false, isCapped: false },
  'token.foreign_revocation': { severity: 'warning', rings: false, isCapped: true },
  'token.unknown': { severity: 'notice', rings: false, isCapped: true },
  'key.created': { severity: 'notice', rings: false, isCapped: false },
  'key.activated': { severity: 'notice', rings: false, isCapped: false },
  'key.retired': { severity: 'notice', rings: false, isCapped: false },
  'store.restored': { severity: 'warning', rings: false, isCapped: false },
  /** Signed with our key, never issued: the key is in other hands. */
  'alarm.forged': { severity: 'critical', rings: true, isCapped: true },
  /** A record exists, of other bytes: the key is in other hands. Or a row is not ours: somebody else writes in the database. */
  'alarm.tampered': { severity: 'critical', rings: true, isCapped: true },
  /** A one-time thing was used again by somebody who holds it: it was copied. */
  'alarm.replayed': { severity: 'warning', rings: true, isCapped: true },
  /** A credential that is good travelled in the clear. */
  'alarm.cleartext': { severity: 'warning', rings: true, isCapped: true },
} as const satisfies Record<string, { severity: Severity; rings: boolean; isCapped: boolean }>;

export type Severity = 'info' | 'notice' | 'warning' | 'critical';
export type EventType = keyof typeof EVENT_TYPES;

export interface NewEvent {
  type: EventType;
  keyId?: string | undefined;
  clientId?: string | undefined;
  userId?: string | undefined;
  /** A `jti` or row id, never a token. */
  tokenId?: string | undefined;
  /** Network address of whoever caused it. */
  address?: string | undefined;
  /** How often it happened, where several are recorded as one; default 1. */
  occurrences?: number | undefined;
  /** Ids and codes only: no secret, no personal text. */
  detail?: Record<string, string | number | boolean>;
}

export interface RecordedEvent extends NewEvent {
  id: string;
  atMs: number;
  severity: Severity;
  rings: boolean;
  /** More than 1 where events of one type, key, client and user were counted together. */
  occurrences: number;
}

/**
 * Capped events (`isCapped`: a stranger can cause as many as he likes) of one type, key, client and user that get a row of their own
 * in a minute; further ones are counted on the last of them. Twenty show the pattern (which tokens, from where); the twenty-first
 * teaches nothing that its count does not. Client and user are told apart, so that whoever rings on purpose hides nobody else.
 */
export const CAPPED_ROWS_PER_KEY_AND_MINUTE = 20;
/** Half a year covers the absolute life of a grant: why it began and ended can be told for as long as anybody may ask. */
const EVENT_KEPT_MS = 180 * 24 * 60 * 60 * 1_000;
const MINUTE_MS = 60_000;
/** Most counters remembered for the cap, about 200 bytes each; past it the oldest is forgotten and begins anew. */
const MAX_COUNTERS = 10_000;

export class Events {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #counters = new Map<string, { minute: number; rows: number; lastRowId: string }>();

  constructor(given: { store: Store; clock: Clock; random: Random }) {
    this.#store = given.store;
    this.#clock = given.clock;
    this.#random = given.random;
  }

  /** Records an event within the transaction that makes it true. */
  async append(tx: Transaction, event: NewEvent): Promise<void> {
    const nowMs = this.#clock.now();
    if (!EVENT_TYPES[event.type].isCapped) return insertEvent(tx, await this.#recorded(tx, event));
    const counter = [event.type, event.keyId, event.clientId, event.userId].join(' ');
    const minute = Math.floor(nowMs / MINUTE_MS);
    const seen = this.#counters.get(counter);
    if (seen?.minute === minute && seen.rows >= CAPPED_ROWS_PER_KEY_AND_MINUTE) {
      if ((await countOnOpenRow(tx, seen.lastRowId, event.occurrences ?? 1)) === 1) return;
    }
    const recorded = await this.#recorded(tx, event);
    await insertEvent(tx, recorded);
    this.#counters.delete(counter); // so that insertion order is the order of age
    const [oldest] = this.#counters.keys();
    if (oldest !== undefined && this.#counters.size >= MAX_COUNTERS) this.#counters.delete(oldest);
    this.#counters.set(counter, {
      minute,
      rows: seen?.minute === minute ? seen.rows + 1 : 1,
      lastRowId: recorded.id,
    });
  }

  /** Records an event that is true by itself (a refusal that rings changes nothing else). */
  async record(event: NewEvent): Promise<void> {
    await this.#store.write((tx) => this.append(tx, event));
  }

  /** When the newest event happened; undefined where there is none. */
  newestAtMs(): Promise<number | undefined> {
    return selectNewestAtMs(this.#store.read);
  }

  /** Newest alarms first. `limit` at most 1,000. */
  async alarms(options: { limit: number; type?: EventType }): Promise<RecordedEvent[]> {
    return listAlarms(this.#store.read, { limit: Math.min(options.limit, 1_000), type: options.type });
  }

  /** Alarms after an event id, oldest first, for outlets that remember how far they read. */
  async alarmsAfter(id: string, limit: number): Promise<RecordedEvent[]> {
    return selectAlarmsAfter(this.#store.read, { id, limit });
  }

  /** One bounded step of forgetting what is too old to be asked about. Alarms stay. */
  async sweep(limit: number): Promise<{ deleted: number }> {
    const beforeMs = this.#clock.now() - EVENT_KEPT_MS;
    return { deleted: await this.#store.write((tx) => deleteEventsBefore(tx, { beforeMs, limit })) };
  }

  /**
   * Ids rise from commit to commit, also within a millisecond and when the clock steps back: outlets remember the last id they
   * read, and an alarm that sorted before it would never be told.
   */
  async #recorded(tx: Transaction, event: NewEvent): Promise<RecordedEvent> {
    const nowMs = this.#clock.now();
    const newest = await selectNewestId(tx);
    const idMs = newest === undefined ? nowMs : Math.max(nowMs, idCreatedAtMs(newest) + 1);
    return {
      ...event,
      id: createId('evt', idMs, this.#random.bytes(8)),
      atMs: nowMs,
      severity: EVENT_TYPES[event.type].severity,
      rings: EVENT_TYPES[event.type].rings,
      occurrences: event.occurrences ?? 1,
    };
  }
}
