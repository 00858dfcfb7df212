import type { Sql, Transaction } from '../store/store.ts';

export async function selectConsent(
  sql: Sql,
  of: { userId: string; clientId: string },
): Promise<readonly string[] | undefined> {
  const row = await sql.get<{ scope: string }>(
    'SELECT scope FROM consent WHERE user_id = $1 AND client_id = $2',
    of.userId,
    of.clientId,
  );
  return row?.scope.split(' ');
}

export async function upsertConsent(
  tx: Transaction,
  consent: { userId: string; clientId: string; scope: readonly string[]; nowMs: number },
): Promise<void> {
  await tx.run(
    `INSERT INTO consent (user_id, client_id, scope, given_at_ms) VALUES ($1, $2, $3, $4)
     ON CONFLICT (user_id, client_id) DO UPDATE SET scope = excluded.scope, given_at_ms = excluded.given_at_ms`,
    consent.userId,
    consent.clientId,
    consent.scope.join(' '),
    consent.nowMs,
  );
}

export async function deleteConsent(tx: Transaction, of: { userId: string; clientId: string }): Promise<void> {
  await tx.run('DELETE FROM consent WHERE user_id = $1 AND client_id = $2', of.userId, of.clientId);
}
