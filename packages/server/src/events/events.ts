/**
 * Events: the append-only record of what happened. A domain appends in the transaction that makes the thing true; outlets
 * (alarms now; webhooks and feed later) read afterwards and can neither delay nor break the request.
 *
 * Owns the tables `event` and `alarm_untold`, the list of event types with their severities, and the cap on what a stranger can cause.
 * Leaves to the outlets whom to tell. An event is never changed, and forgotten after half a year unless it is an alarm; except that capped ones
 * beyond the cap of their minute are counted on one row (a flood of forgeries must not fill the disk; how many there were must
 * still be true).
 */
import { createId } from '@countersign/protocol';
import { type Act, onlyDone, type Step, type Store, type Transaction, type Writes } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import { CountedTogether } from './counted-together.ts';
import {
  countingEvent,
  deleteEventsBefore,
  findingEvent,
  insertingEachEvent,
  insertingEvent,
  leavingUntold,
  listAlarms,
  removingUntold,
  selectUntoldAlarms,
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

/** Of which each has a row of its own, and nobody has to be told. */
type PlainEventType = {
  [T in EventType]: (typeof EVENT_TYPES)[T] extends { rings: false; isCapped: false } ? T : never;
}[EventType];

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
  readonly #counters = new Map<string, Counter>();
  readonly #counting: CountedTogether;
  #newestIdMs = 0;

  constructor(given: { store: Store; clock: Clock; random: Random }) {
    this.#store = given.store;
    this.#clock = given.clock;
    this.#random = given.random;
    this.#counting = new CountedTogether((row) => this.#store.commit(this.#appendingTo(row, 'shared')));
  }

  /**
   * What appends an event, for the act that makes it true. An act is made for one use: each that is made of a capped event counts
   * towards the cap, so that one which is not done makes the cap come sooner and never later.
   */
  appending(event: NewEvent): Act {
    const { row, use } = this.#rowFor(event);
    return this.#appendingTo(row, use);
  }

  /**
   * What appends an event for each of so many rows that a question finds, and is refused where it finds another number: it selects what
   * `insertingEachEvent` wants.
   */
  appendingEach(type: PlainEventType, found: { selected: Step; rows: number }): Act {
    const ids = Array.from({ length: found.rows }, () => this.#newId());
    const { severity } = EVENT_TYPES[type];
    return { steps: [insertingEachEvent(found.selected, { ids, atMs: this.#clock.now(), type, severity })] };
  }

  /** The same as `appending` within a transaction. */
  async append(tx: Transaction, event: NewEvent): Promise<void> {
    onlyDone(await tx.do(this.appending(event)));
  }

  /** Records an event that is true by itself (a refusal that rings changes nothing else). */
  async record(event: NewEvent): Promise<void> {
    const { row, use } = this.#rowFor(event);
    if (use === 'shared') return this.#counting.add(row);
    onlyDone(await this.#store.commit(this.#appendingTo(row, use)));
  }

  /** Newest alarms first. `limit` at most 1,000. */
  async alarms(options: { limit: number; type?: EventType }): Promise<RecordedEvent[]> {
    return listAlarms(this.#store.read, { limit: Math.min(options.limit, 1_000), type: options.type });
  }

  /** Alarms that nobody was told yet, oldest first. */
  async untoldAlarms(limit: number): Promise<RecordedEvent[]> {
    return selectUntoldAlarms(this.#store.read, limit);
  }

  /** They were told: no outlet hears of them again. */
  async markTold(alarms: readonly Pick<RecordedEvent, 'id'>[], writes: Writes = this.#store): Promise<void> {
    if (alarms.length === 0) return;
    onlyDone(await writes.commit({ steps: alarms.map(({ id }) => removingUntold(id)) }));
  }

  /** One bounded step of forgetting what is too old to be asked about. Alarms stay. */
  async sweep(limit: number, writes: Writes = this.#store): Promise<{ deleted: number }> {
    const beforeMs = this.#clock.now() - EVENT_KEPT_MS;
    return { deleted: await writes.write((tx) => deleteEventsBefore(tx, { beforeMs, limit })) };
  }

  /** The row that an event is written on: one of its own, or past the cap the last that its kind got in this minute. */
  #rowFor(event: NewEvent): { row: RecordedEvent; use: RowUse } {
    if (!EVENT_TYPES[event.type].isCapped) return { row: this.#recorded(event, this.#newId()), use: 'own' };
    const name = [event.type, event.keyId, event.clientId, event.userId].join(' ');
    const minute = Math.floor(this.#clock.now() / MINUTE_MS);
    const seen = this.#counters.get(name);
    const rows = seen?.minute === minute ? seen.rows : 0;
    if (seen && rows >= CAPPED_ROWS_PER_KEY_AND_MINUTE) {
      return { row: this.#recorded(event, seen.lastRowId), use: 'shared' };
    }
    const row = this.#recorded(event, this.#newId());
    this.#counters.delete(name); // so that insertion order is the order of age
    const [oldest] = this.#counters.keys();
    if (oldest !== undefined && this.#counters.size >= MAX_COUNTERS) this.#counters.delete(oldest);
    this.#counters.set(name, { minute, rows: rows + 1, lastRowId: row.id });
    // Others will be counted on the last one, perhaps before it is there.
    return { row, use: rows + 1 < CAPPED_ROWS_PER_KEY_AND_MINUTE ? 'own' : 'shared' };
  }

  /** A row of one event shows that its act was done; one that several count on shows nothing. */
  #appendingTo(row: RecordedEvent, use: RowUse): Act {
    const untold = row.rings ? [leavingUntold(row.id)] : [];
    if (use === 'shared') return { steps: [...untold, countingEvent(row)] };
    return { steps: [...untold, insertingEvent(row)], footprint: findingEvent(row.id) };
  }

  #recorded(event: NewEvent, id: string): RecordedEvent {
    const { severity, rings } = EVENT_TYPES[event.type];
    return { ...event, id, atMs: this.#clock.now(), severity, rings, occurrences: event.occurrences ?? 1 };
  }

  /** Ids of one node rise, also within a millisecond and when the clock steps back: a list by id is a list by time. */
  #newId(): string {
    this.#newestIdMs = Math.max(this.#clock.now(), this.#newestIdMs + 1);
    return createId('evt', this.#newestIdMs, this.#random.bytes(8));
  }
}

type RowUse = 'own' | 'shared';

interface Counter {
  minute: number;
  rows: number;
  lastRowId: string;
}
