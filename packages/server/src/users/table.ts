import type { Sql, Step, Transaction } from '../store/store.ts';
import type { User } from './users.ts';

/** A user as it is stored, not yet known to be ours. */
export interface StoredUser extends User {
  proof: Uint8Array;
}

interface Row {
  proof: Uint8Array;
  id: string;
  email: string;
  created_at_ms: number;
  disabled_at_ms: number | null;
  dead_before_ms: number;
}

const COLUMNS = 'proof, id, email, created_at_ms, disabled_at_ms, dead_before_ms';

export async function byId(sql: Sql, id: string): Promise<StoredUser | undefined> {
  const row = await sql.get<Row>(`SELECT ${COLUMNS} FROM app_user WHERE id = $1`, id);
  return row && toUser(row);
}

export async function byEmail(sql: Sql, email: string): Promise<StoredUser | undefined> {
  const row = await sql.get<Row>(`SELECT ${COLUMNS} FROM app_user WHERE email = $1`, email);
  return row && toUser(row);
}

/** In order of creation, for ids sort by time. */
export async function after(sql: Sql, page: { afterId: string; limit: number }): Promise<StoredUser[]> {
  const rows = await sql.all<Row>(
    `SELECT ${COLUMNS} FROM app_user WHERE id > $1 ORDER BY id LIMIT $2`,
    page.afterId,
    page.limit,
  );
  return rows.map(toUser);
}

/** Refused where somebody has the address already, however close he was. */
export function inserting(user: StoredUser): Step {
  return {
    text: `INSERT INTO app_user (proof, id, email, created_at_ms, disabled_at_ms, dead_before_ms)
     VALUES ($1, $2, $3, $4, NULL, 0) ON CONFLICT (email) DO NOTHING`,
    values: [user.proof, user.id, user.email, user.createdAtMs],
    must: { rows: 1, why: 'user' },
  };
}

/** Refused unless what was issued to the user at `sinceMs` is alive. */
export function askingInForce(id: string, sinceMs: number): Step {
  return {
    text: 'SELECT id FROM app_user WHERE id = $1 AND disabled_at_ms IS NULL AND dead_before_ms < $2',
    values: [id, sinceMs],
    must: { rows: 1, why: 'user' },
  };
}

/**
 * Returns the moment that the disabling got, undefined if there is no such user. The first time of disabling stays; `dead_before_ms` only
 * ever rises. The moment lies after every one that was dead by then, whatever clocks say: so a restore can tell by the row whether
 * somebody enabled the user since.
 */
export async function markDisabled(
  tx: Transaction,
  disabled: { id: string; atMs: number },
): Promise<number | undefined> {
  const row = await tx.get<{ dead_before_ms: number }>(
    `UPDATE app_user SET disabled_at_ms = COALESCE(disabled_at_ms, $2),
       dead_before_ms = CASE WHEN dead_before_ms < $2 THEN $2 WHEN disabled_at_ms IS NULL THEN dead_before_ms + 1 ELSE dead_before_ms END
     WHERE id = $1 RETURNING dead_before_ms`,
    disabled.id,
    disabled.atMs,
  );
  return row?.dead_before_ms;
}

/** The same from the journal; nothing where the user was enabled after that moment, which raised `dead_before_ms` to it or above. */
export async function markDisabledAgain(tx: Transaction, disabled: { id: string; atMs: number }): Promise<void> {
  await tx.run(
    `UPDATE app_user SET disabled_at_ms = COALESCE(disabled_at_ms, $2),
       dead_before_ms = CASE WHEN dead_before_ms < $2 THEN $2 ELSE dead_before_ms END
     WHERE id = $1 AND NOT (disabled_at_ms IS NULL AND dead_before_ms >= $2)`,
    disabled.id,
    disabled.atMs,
  );
}

/** Returns whether there is such a user. One who is in force keeps what he has. */
export async function markEnabled(tx: Transaction, enabled: { id: string; deadBeforeMs: number }): Promise<boolean> {
  const changed = await tx.run(
    `UPDATE app_user SET disabled_at_ms = NULL,
       dead_before_ms = CASE WHEN disabled_at_ms IS NOT NULL AND dead_before_ms < $2 THEN $2 ELSE dead_before_ms END
     WHERE id = $1`,
    enabled.id,
    enabled.deadBeforeMs,
  );
  return changed === 1;
}

function toUser(row: Row): StoredUser {
  return {
    proof: row.proof,
    id: row.id,
    email: row.email,
    createdAtMs: row.created_at_ms,
    disabledAtMs: row.disabled_at_ms ?? undefined,
    deadBeforeMs: row.dead_before_ms,
  };
}
