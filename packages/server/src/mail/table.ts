import type { Transaction } from '../store/store.ts';

export interface DueMail {
  id: string;
  sealedMail: Uint8Array;
  attempts: number;
  giveUpAtMs: number;
}

interface Row {
  id: string;
  sealed_mail: Uint8Array;
  attempts: number;
  give_up_at_ms: number;
}

interface NewMail {
  id: string;
  sealedMail: Uint8Array;
  createdAtMs: number;
  giveUpAtMs: number;
}

/** Due at once. */
export function insert(tx: Transaction, mail: NewMail): Promise<void> {
  return insertDueAt(tx, mail, mail.createdAtMs);
}

/** Done from the start: never due. */
export function insertDone(tx: Transaction, mail: NewMail): Promise<void> {
  return insertDueAt(tx, mail, null);
}

async function insertDueAt(tx: Transaction, mail: NewMail, nextAttemptMs: number | null): Promise<void> {
  await tx.run(
    `INSERT INTO mail (id, sealed_mail, created_at_ms, next_attempt_ms, attempts, give_up_at_ms)
     VALUES ($1, $2, $3, $4, 0, $5)`,
    mail.id,
    mail.sealedMail,
    mail.createdAtMs,
    nextAttemptMs,
    mail.giveUpAtMs,
  );
}

/**
 * Takes up to `limit` due mails for this node: none of them is due again before `leaseUntilMs`, so another node, or the next
 * step, leaves them alone, and after a crash they become due by themselves.
 */
export async function claimDue(
  tx: Transaction,
  claim: { nowMs: number; leaseUntilMs: number; limit: number },
): Promise<DueMail[]> {
  const rows = await tx.all<Row>(
    `SELECT id, sealed_mail, attempts, give_up_at_ms FROM mail
     WHERE next_attempt_ms <= $1 AND sealed_mail IS NOT NULL ORDER BY next_attempt_ms, id LIMIT $2`,
    claim.nowMs,
    claim.limit,
  );
  for (const row of rows) {
    await tx.run(
      'UPDATE mail SET next_attempt_ms = $2, attempts = attempts + 1 WHERE id = $1',
      row.id,
      claim.leaseUntilMs,
    );
  }
  return rows.map((row) => ({
    id: row.id,
    sealedMail: row.sealed_mail,
    attempts: row.attempts + 1,
    giveUpAtMs: row.give_up_at_ms,
  }));
}

/** The body goes with the sending: it holds a link, and nobody needs it any more. */
export async function markSent(tx: Transaction, id: string, atMs: number): Promise<void> {
  await tx.run('UPDATE mail SET sealed_mail = NULL, next_attempt_ms = NULL, sent_at_ms = $2 WHERE id = $1', id, atMs);
}

export async function markGivenUp(tx: Transaction, id: string, atMs: number): Promise<void> {
  await tx.run(
    'UPDATE mail SET sealed_mail = NULL, next_attempt_ms = NULL, failed_at_ms = $2 WHERE id = $1 AND sent_at_ms IS NULL',
    id,
    atMs,
  );
}

export async function markDueAt(tx: Transaction, id: string, atMs: number): Promise<void> {
  await tx.run('UPDATE mail SET next_attempt_ms = $2 WHERE id = $1 AND sealed_mail IS NOT NULL', id, atMs);
}

/** Erases the zeros of at most `limit` mails that never were one: they are large, and have done their work with the commit. */
export async function erasePretended(tx: Transaction, limit: number): Promise<void> {
  await tx.run(
    `UPDATE mail SET sealed_mail = NULL WHERE id IN (
       SELECT id FROM mail WHERE next_attempt_ms IS NULL AND sealed_mail IS NOT NULL LIMIT $1)`,
    limit,
  );
}

/**
 * Removes rows that are done and older than `beforeMs`, among the `limit` oldest: however many mails a week has, a step looks at no
 * more, and none waits so long that it would stand in the way.
 */
export async function removeDone(tx: Transaction, old: { beforeMs: number; limit: number }): Promise<number> {
  return await tx.run(
    `DELETE FROM mail WHERE id IN (
       SELECT id FROM (SELECT id, next_attempt_ms, created_at_ms FROM mail ORDER BY id LIMIT $2) AS oldest
       WHERE next_attempt_ms IS NULL AND created_at_ms < $1)`,
    old.beforeMs,
    old.limit,
  );
}
