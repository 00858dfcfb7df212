import type { Sql, Transaction } from '../store/store.ts';

/** What a user agreed to, once and for good: agreeing anew makes another. */
export interface Consent {
  userId: string;
  clientId: string;
  /** As in the parameter: words with spaces between. */
  scope: string;
  givenAtMs: number;
}

/** A consent as it is stored, not yet known to be ours. */
export type StoredConsent = Consent & { proof: Uint8Array };

export async function selectConsent(
  sql: Sql,
  of: { userId: string; clientId: string },
): Promise<StoredConsent | undefined> {
  return sql.get<StoredConsent>(
    `SELECT user_id AS "userId", client_id AS "clientId", scope, given_at_ms AS "givenAtMs", proof FROM consent
     WHERE user_id = $1 AND client_id = $2`,
    of.userId,
    of.clientId,
  );
}

export async function upsertConsent(tx: Transaction, consent: StoredConsent): Promise<void> {
  await tx.run(
    `INSERT INTO consent (proof, user_id, client_id, scope, given_at_ms) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (user_id, client_id)
     DO UPDATE SET proof = excluded.proof, scope = excluded.scope, given_at_ms = excluded.given_at_ms`,
    consent.proof,
    consent.userId,
    consent.clientId,
    consent.scope,
    consent.givenAtMs,
  );
}

export async function deleteConsent(tx: Transaction, of: { userId: string; clientId: string }): Promise<void> {
  await tx.run('DELETE FROM consent WHERE user_id = $1 AND client_id = $2', of.userId, of.clientId);
}

export async function deleteAllConsents(tx: Transaction): Promise<number> {
  return tx.run('DELETE FROM consent');
}
