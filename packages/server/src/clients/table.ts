import type { Sql, Step, Transaction } from '../store/store.ts';
import type { AuthMethod, Client, GrantType } from './clients.ts';

/** A client as it is stored, not yet known to be ours. */
export interface StoredClient extends Client {
  proof: Uint8Array;
}

export interface StoredSecret {
  id: string;
  clientId: string;
  digest: Uint8Array;
  createdAtMs: number;
  proof: Uint8Array;
}

interface Row {
  proof: Uint8Array;
  id: string;
  name: string;
  confidential: number;
  auth_method: string;
  redirect_uris: string;
  grant_types: string;
  scopes: string;
  audience: string;
  resource_server_for: string;
  allowed_origins: string;
  single_active: string;
  access_lifetime_seconds: number;
  refresh_idle_seconds: number;
  refresh_absolute_seconds: number;
  grace_seconds: number;
  overlap_seconds: number;
  max_live_tokens: number;
  pkce_required: number;
  created_at_ms: number;
  disabled_at_ms: number | null;
  dead_before_ms: number;
}

export async function selectClient(sql: Sql, id: string): Promise<StoredClient | undefined> {
  const row = await sql.get<Row>('SELECT * FROM client WHERE id = $1', id);
  return row && fromRow(row);
}

/** Refused unless what was issued to the client at `sinceMs` is alive. */
export function askingInForce(id: string, sinceMs: number): Step {
  return {
    text: 'SELECT id FROM client WHERE id = $1 AND disabled_at_ms IS NULL AND dead_before_ms < $2',
    values: [id, sinceMs],
    must: { rows: 1, why: 'client' },
  };
}

export async function selectClients(sql: Sql, page: { after: string; limit: number }): Promise<StoredClient[]> {
  const rows = await sql.all<Row>('SELECT * FROM client WHERE id > $1 ORDER BY id LIMIT $2', page.after, page.limit);
  return rows.map(fromRow);
}

export async function selectOrigins(sql: Sql): Promise<string[]> {
  const rows = await sql.all<{ allowed_origins: string }>(
    "SELECT DISTINCT allowed_origins FROM client WHERE disabled_at_ms IS NULL AND allowed_origins <> '[]'",
  );
  return rows.flatMap((row) => JSON.parse(row.allowed_origins) as string[]); // only insertClient writes it
}

export async function insertClient(tx: Transaction, client: StoredClient): Promise<void> {
  await tx.run(
    `INSERT INTO client (proof, id, name, confidential, auth_method, redirect_uris, grant_types, scopes, audience,
       resource_server_for, allowed_origins, single_active, access_lifetime_seconds, refresh_idle_seconds,
       refresh_absolute_seconds, grace_seconds, overlap_seconds, max_live_tokens, pkce_required, created_at_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
    client.proof,
    client.id,
    client.name,
    client.isConfidential ? 1 : 0,
    client.authMethod,
    JSON.stringify(client.redirectUris),
    JSON.stringify(client.grantTypes),
    client.scopes.join(' '),
    client.audience,
    JSON.stringify(client.resourceServerFor),
    JSON.stringify(client.allowedOrigins),
    client.singleActive,
    client.accessLifetimeSeconds,
    client.refreshIdleSeconds,
    client.refreshAbsoluteSeconds,
    client.graceSeconds,
    client.overlapSeconds,
    client.maxLiveTokens,
    client.isPkceRequired ? 1 : 0,
    client.createdAtMs,
  );
}

/**
 * Returns the moment that the disabling got, undefined if there is no such client. The first time of disabling stays; `dead_before_ms` only
 * ever rises. The moment lies after every one that was dead by then, whatever clocks say: so a restore can tell by the row whether
 * somebody enabled the client since.
 */
export async function markDisabled(
  tx: Transaction,
  disabled: { id: string; atMs: number },
): Promise<number | undefined> {
  const row = await tx.get<{ dead_before_ms: number }>(
    `UPDATE client SET disabled_at_ms = COALESCE(disabled_at_ms, $2),
       dead_before_ms = CASE WHEN dead_before_ms < $2 THEN $2 WHEN disabled_at_ms IS NULL THEN dead_before_ms + 1 ELSE dead_before_ms END
     WHERE id = $1 RETURNING dead_before_ms`,
    disabled.id,
    disabled.atMs,
  );
  return row?.dead_before_ms;
}

/** The same from the journal; nothing where the client was enabled after that moment, which raised `dead_before_ms` to it or above. */
export async function markDisabledAgain(tx: Transaction, disabled: { id: string; atMs: number }): Promise<void> {
  await tx.run(
    `UPDATE client SET disabled_at_ms = COALESCE(disabled_at_ms, $2),
       dead_before_ms = CASE WHEN dead_before_ms < $2 THEN $2 ELSE dead_before_ms END
     WHERE id = $1 AND NOT (disabled_at_ms IS NULL AND dead_before_ms >= $2)`,
    disabled.id,
    disabled.atMs,
  );
}

/** Returns whether there is such a client. One that is in force keeps what it has. */
export async function markEnabled(tx: Transaction, enabled: { id: string; deadBeforeMs: number }): Promise<boolean> {
  const changed = await tx.run(
    `UPDATE client SET disabled_at_ms = NULL,
       dead_before_ms = CASE WHEN disabled_at_ms IS NOT NULL AND dead_before_ms < $2 THEN $2 ELSE dead_before_ms END
     WHERE id = $1`,
    enabled.id,
    enabled.deadBeforeMs,
  );
  return changed === 1;
}

/** The secrets that are good now: one, or two during an overlap. */
export async function selectSecrets(sql: Sql, clientId: string, nowMs: number): Promise<StoredSecret[]> {
  return sql.all<StoredSecret>(
    `SELECT id, client_id AS "clientId", digest, created_at_ms AS "createdAtMs", proof FROM client_secret
     WHERE client_id = $1 AND (expires_at_ms IS NULL OR expires_at_ms > $2)`,
    clientId,
    nowMs,
  );
}

export async function insertSecret(tx: Transaction, secret: StoredSecret): Promise<void> {
  await tx.run(
    'INSERT INTO client_secret (id, client_id, digest, created_at_ms, proof) VALUES ($1, $2, $3, $4, $5)',
    secret.id,
    secret.clientId,
    secret.digest,
    secret.createdAtMs,
    secret.proof,
  );
}

/** Ends a running overlap at once and begins one for the secret in force, so that at most two are ever good. */
export async function expireSecrets(
  tx: Transaction,
  change: { clientId: string; nowMs: number; overlapMs: number },
): Promise<void> {
  await tx.run(
    'UPDATE client_secret SET expires_at_ms = $2 WHERE client_id = $1 AND expires_at_ms > $2',
    change.clientId,
    change.nowMs,
  );
  await tx.run(
    'UPDATE client_secret SET expires_at_ms = $2 WHERE client_id = $1 AND expires_at_ms IS NULL',
    change.clientId,
    change.nowMs + change.overlapMs,
  );
}

function fromRow(row: Row): StoredClient {
  // Only insertClient writes these columns, so what it wrote is what is read.
  return {
    proof: row.proof,
    id: row.id,
    name: row.name,
    isConfidential: row.confidential === 1,
    authMethod: row.auth_method as AuthMethod,
    redirectUris: JSON.parse(row.redirect_uris) as string[],
    grantTypes: JSON.parse(row.grant_types) as GrantType[],
    scopes: row.scopes.split(' ').filter((scope) => scope !== ''),
    audience: row.audience,
    resourceServerFor: JSON.parse(row.resource_server_for) as string[],
    allowedOrigins: JSON.parse(row.allowed_origins) as string[],
    singleActive: row.single_active as 'grant' | 'off',
    accessLifetimeSeconds: row.access_lifetime_seconds,
    refreshIdleSeconds: row.refresh_idle_seconds,
    refreshAbsoluteSeconds: row.refresh_absolute_seconds,
    graceSeconds: row.grace_seconds,
    overlapSeconds: row.overlap_seconds,
    maxLiveTokens: row.max_live_tokens,
    isPkceRequired: row.pkce_required === 1,
    createdAtMs: row.created_at_ms,
    disabledAtMs: row.disabled_at_ms ?? undefined,
    deadBeforeMs: row.dead_before_ms,
  };
}
