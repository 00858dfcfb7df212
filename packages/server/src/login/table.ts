import type { Sql, Step, Transaction } from '../store/store.ts';
import { MAX_OPEN_ROWS, type MagicLink } from './link.ts';

/** A link as it is stored, not yet known to be ours. */
export interface StoredLink extends MagicLink {
  proof: Uint8Array;
}

interface Row {
  proof: Uint8Array;
  id: string;
  email: string;
  user_id: string | null;
  can_finish: number;
  mailed: number;
  browser_digest: Uint8Array;
  bucket_version: number;
  record: Uint8Array;
  code_key_id: string;
  code_mac: Uint8Array;
  code_tries: number;
  return_to: string;
  client_id: string | null;
  user_agent: string;
  network: string;
  created_at_ms: number;
  expires_at_ms: number;
  used_at_ms: number | null;
  superseded_at_ms: number | null;
}

const COLUMNS = `proof, id, email, user_id, can_finish, mailed, browser_digest, bucket_version, record, code_key_id, code_mac,
  code_tries, return_to, client_id, user_agent, network, created_at_ms, expires_at_ms, used_at_ms, superseded_at_ms`;

export async function byId(sql: Sql, id: string): Promise<StoredLink | undefined> {
  const row = await sql.get<Row>(`SELECT ${COLUMNS} FROM magic_link WHERE id = $1`, id);
  return row && toLink(row);
}

/** Links of an address that were sent and can still be used, newest first. */
export async function openOfAddress(sql: Sql, which: { email: string; nowMs: number }): Promise<StoredLink[]> {
  const rows = await sql.all<Row>(
    `SELECT ${COLUMNS} FROM magic_link
     WHERE email = $1 AND expires_at_ms > $2 AND mailed = 1 AND used_at_ms IS NULL AND superseded_at_ms IS NULL
     ORDER BY id DESC LIMIT $3`,
    which.email,
    which.nowMs,
    MAX_OPEN_ROWS,
  );
  return rows.map(toLink);
}

export async function insert(tx: Transaction, link: StoredLink): Promise<void> {
  await tx.run(
    `INSERT INTO magic_link (${COLUMNS})
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $14, $15, $16, $17, NULL, NULL)`,
    link.proof,
    link.id,
    link.email,
    link.userId ?? null,
    link.canFinish ? 1 : 0,
    link.mailed ? 1 : 0,
    link.browserDigest,
    link.bucketVersion,
    link.record,
    link.codeKeyId,
    link.codeMac,
    link.returnTo,
    link.clientId ?? null,
    link.userAgent,
    link.network,
    link.createdAtMs,
    link.expiresAtMs,
  );
}

/** The single use: of any number of callers, one is not refused. */
export function markingUsed(used: { id: string; atMs: number; network: string }): Step {
  return {
    text: `UPDATE magic_link SET used_at_ms = $2, network = $3
     WHERE id = $1 AND used_at_ms IS NULL AND superseded_at_ms IS NULL AND expires_at_ms > $2
       AND can_finish = 1 AND mailed = 1`,
    values: [used.id, used.atMs, used.network],
    must: { rows: 1, why: 'link' },
  };
}

/** Returns whether it was open until now. */
export async function markSuperseded(tx: Transaction, superseded: { id: string; atMs: number }): Promise<boolean> {
  const changed = await tx.run(
    'UPDATE magic_link SET superseded_at_ms = $2 WHERE id = $1 AND used_at_ms IS NULL AND superseded_at_ms IS NULL',
    superseded.id,
    superseded.atMs,
  );
  return changed === 1;
}

/** Counts a try of the code before anything is compared. False: there were `maxTries` already. */
export async function countTry(tx: Transaction, tried: { id: string; maxTries: number }): Promise<boolean> {
  const changed = await tx.run(
    'UPDATE magic_link SET code_tries = code_tries + 1 WHERE id = $1 AND code_tries < $2',
    tried.id,
    tried.maxTries,
  );
  return changed === 1;
}

/** Ends every link that is still open: what a restore of the store asks for. */
export async function supersedeAll(tx: Transaction, atMs: number): Promise<number> {
  return await tx.run(
    'UPDATE magic_link SET superseded_at_ms = $1 WHERE used_at_ms IS NULL AND superseded_at_ms IS NULL',
    atMs,
  );
}

/** Removes at most `limit` links that ended before `beforeMs`. */
export async function removeOver(tx: Transaction, old: { beforeMs: number; limit: number }): Promise<number> {
  return await tx.run(
    'DELETE FROM magic_link WHERE id IN (SELECT id FROM magic_link WHERE expires_at_ms < $1 LIMIT $2)',
    old.beforeMs,
    old.limit,
  );
}

function toLink(row: Row): StoredLink {
  return {
    proof: row.proof,
    id: row.id,
    email: row.email,
    userId: row.user_id ?? undefined,
    canFinish: row.can_finish === 1,
    mailed: row.mailed === 1,
    browserDigest: row.browser_digest,
    bucketVersion: row.bucket_version,
    record: row.record,
    codeKeyId: row.code_key_id,
    codeMac: row.code_mac,
    codeTries: row.code_tries,
    returnTo: row.return_to,
    clientId: row.client_id ?? undefined,
    userAgent: row.user_agent,
    network: row.network,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
    usedAtMs: row.used_at_ms ?? undefined,
    supersededAtMs: row.superseded_at_ms ?? undefined,
  };
}
