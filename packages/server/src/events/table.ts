import { createId } from '@countersign/protocol';
import type { Sql, Step, Transaction } from '../store/store.ts';
import type { EventType, RecordedEvent, Severity } from './events.ts';

interface Row {
  id: string;
  at_ms: number;
  type: string;
  severity: string;
  rings: number;
  key_id: string | null;
  client_id: string | null;
  user_id: string | null;
  token_id: string | null;
  address: string | null;
  occurrences: number;
  detail: string;
}

const INSERT = `INSERT INTO event (id, at_ms, type, severity, rings, key_id, client_id, user_id, token_id, address, detail,
    occurrences) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`;

export function insertingEvent(event: RecordedEvent): Step {
  return { text: INSERT, values: valuesOf(event) };
}

/** Characters of an event's id. */
const ID_LENGTH = createId('evt', 0, new Uint8Array(8)).length;

/**
 * One for each row that `selected` finds, which are as many as `events.ids`: it selects `number` (from 1 on), `client_id`, `user_id` and
 * `detail`. One statement however many there are; the ids are one text, of which each row takes its own.
 */
export function insertingEachEvent(
  selected: Step,
  events: { ids: readonly string[]; atMs: number; type: EventType; severity: Severity },
): Step {
  const { ids, atMs, type, severity } = events;
  const [at, kind, weight, all] = [1, 2, 3, 4].map((place) => `$${selected.values.length + place}`);
  return {
    text: `INSERT INTO event (id, at_ms, type, severity, rings, client_id, user_id, detail)
     SELECT substr(CAST(${all} AS TEXT), CAST((number - 1) * ${ID_LENGTH} + 1 AS INTEGER), ${ID_LENGTH}), CAST(${at} AS BIGINT),
       CAST(${kind} AS TEXT), CAST(${weight} AS TEXT), 0, client_id, user_id, detail
     FROM (${selected.text}) AS found`,
    values: [...selected.values, atMs, type, severity, ids.join('')],
    must: { rows: ids.length, why: 'events' },
  };
}

/**
 * Where the row may be there already: then it counts on it. One statement for the first and the last of them, because they
 * arrive in any order, and the first may have been taken back.
 */
export function countingEvent(event: RecordedEvent): Step {
  return {
    text: `${INSERT} ON CONFLICT (id) DO UPDATE SET occurrences = event.occurrences + excluded.occurrences`,
    values: valuesOf(event),
  };
}

/** Stands before the step that makes the row: what is counted on a row that is there was told with it. */
export function leavingUntold(id: string): Step {
  return {
    text: `INSERT INTO alarm_untold (event_id)
     SELECT CAST($1 AS TEXT) WHERE NOT EXISTS (SELECT 1 FROM event WHERE id = $1) ON CONFLICT DO NOTHING`,
    values: [id],
  };
}

export function removingUntold(id: string): Step {
  return { text: 'DELETE FROM alarm_untold WHERE event_id = $1', values: [id] };
}

export function findingEvent(id: string): Step {
  return { text: 'SELECT id FROM event WHERE id = $1', values: [id] };
}

function valuesOf(event: RecordedEvent): Step['values'] {
  return [
    event.id,
    event.atMs,
    event.type,
    event.severity,
    event.rings ? 1 : 0,
    event.keyId ?? null,
    event.clientId ?? null,
    event.userId ?? null,
    event.tokenId ?? null,
    event.address ?? null,
    JSON.stringify(event.detail ?? {}),
    event.occurrences,
  ];
}

/** Looks at the `limit` oldest and no further, so that a step costs the same however many events there are. */
export async function deleteEventsBefore(tx: Transaction, old: { beforeMs: number; limit: number }): Promise<number> {
  return tx.run(
    `DELETE FROM event WHERE id IN (
       SELECT id FROM (SELECT id, at_ms FROM event WHERE rings = 0 ORDER BY rings, id LIMIT $2) AS oldest WHERE at_ms < $1)`,
    old.beforeMs,
    old.limit,
  );
}

export async function listAlarms(
  sql: Sql,
  wanted: { limit: number; type: EventType | undefined },
): Promise<RecordedEvent[]> {
  const rows = wanted.type
    ? await sql.all<Row>(
        'SELECT * FROM event WHERE rings = 1 AND type = $1 ORDER BY id DESC LIMIT $2',
        wanted.type,
        wanted.limit,
      )
    : await sql.all<Row>('SELECT * FROM event WHERE rings = 1 ORDER BY id DESC LIMIT $1', wanted.limit);
  return rows.map(fromRow);
}

/** Oldest first, as far as ids tell. */
export async function selectUntoldAlarms(sql: Sql, limit: number): Promise<RecordedEvent[]> {
  const rows = await sql.all<Row>(
    `SELECT event.* FROM alarm_untold JOIN event ON event.id = alarm_untold.event_id
     ORDER BY alarm_untold.event_id LIMIT $1`,
    limit,
  );
  return rows.map(fromRow);
}

function fromRow(row: Row): RecordedEvent {
  return {
    id: row.id,
    atMs: row.at_ms,
    type: row.type as EventType, // only insertingEvent and countingEvent write this column
    severity: row.severity as Severity,
    rings: row.rings === 1,
    occurrences: row.occurrences,
    detail: JSON.parse(row.detail),
    keyId: row.key_id ?? undefined,
    clientId: row.client_id ?? undefined,
    userId: row.user_id ?? undefined,
    tokenId: row.token_id ?? undefined,
    address: row.address ?? undefined,
  };
}
