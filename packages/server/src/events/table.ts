import type { Id } from '@countersign/protocol';
import type { Sql, Transaction } from '../store/store.ts';
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

export async function insertEvent(tx: Transaction, event: RecordedEvent): Promise<void> {
  await tx.run(
    `INSERT INTO event (id, at_ms, type, severity, rings, key_id, client_id, user_id, token_id, address, detail, occurrences)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
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
  );
}

export async function selectNewestId(tx: Transaction): Promise<Id<'evt'> | undefined> {
  const row = await tx.get<{ id: Id<'evt'> }>('SELECT id FROM event ORDER BY id DESC LIMIT 1');
  return row?.id;
}

export async function countOnOpenRow(tx: Transaction, id: string, more: number): Promise<number> {
  return tx.run('UPDATE event SET occurrences = occurrences + $2 WHERE id = $1', id, more);
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

export async function selectAlarmsAfter(sql: Sql, after: { id: string; limit: number }): Promise<RecordedEvent[]> {
  const rows = await sql.all<Row>(
    'SELECT * FROM event WHERE rings = 1 AND id > $1 ORDER BY id LIMIT $2',
    after.id,
    after.limit,
  );
  return rows.map(fromRow);
}

export async function selectNewestAtMs(sql: Sql): Promise<number | undefined> {
  return (await sql.get<{ at_ms: number }>('SELECT at_ms FROM event ORDER BY id DESC LIMIT 1'))?.at_ms;
}

function fromRow(row: Row): RecordedEvent {
  return {
    id: row.id,
    atMs: row.at_ms,
    type: row.type as EventType, // only insertEvent writes this column
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
