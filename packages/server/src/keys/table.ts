import type { Sql, Transaction } from '../store/store.ts';
import type { PublicJwk } from './material.ts';
import type { KeyAlgorithm, KeyLife, KeyPurpose, KeyState } from './rotation.ts';
import type { AccessAlgorithm, Whose } from './whose.ts';

export interface KeyRow extends KeyLife {
  publicJwk: PublicJwk | undefined;
  sealedPrivate: Uint8Array;
}

interface Row {
  id: string;
  purpose: string;
  algorithm: string;
  state: string;
  compromised_at_ms: number | null;
  public_jwk: string | null;
  sealed_private: Uint8Array;
  created_at_ms: number;
  activated_at_ms: number | null;
  retiring_at_ms: number | null;
}

/** Keys that sign, wait or are still read, oldest first: about two dozen rows, looked at every second. */
export async function selectLivingKeys(sql: Sql): Promise<KeyRow[]> {
  return (await sql.all<Row>("SELECT * FROM signing_key WHERE state <> 'retired' ORDER BY id")).map(fromRow);
}

/** All keys, oldest first, for people: the daily rotation of magic links leaves some hundred retired ones a year. */
export async function selectKeys(sql: Sql): Promise<KeyRow[]> {
  return (await sql.all<Row>('SELECT * FROM signing_key ORDER BY id')).map(fromRow);
}

export async function insertKey(tx: Transaction, key: KeyRow): Promise<void> {
  await tx.run(
    `INSERT INTO signing_key (id, purpose, algorithm, state, public_jwk, sealed_private, created_at_ms, activated_at_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    key.id,
    key.purpose,
    key.algorithm,
    key.state,
    key.publicJwk ? JSON.stringify(key.publicJwk) : null,
    key.sealedPrivate,
    key.createdAtMs,
    key.activatedAtMs ?? null,
  );
}

export async function markActive(tx: Transaction, id: string, nowMs: number): Promise<void> {
  await tx.run("UPDATE signing_key SET state = 'active', activated_at_ms = $2 WHERE id = $1", id, nowMs);
}

export async function markRetiring(tx: Transaction, id: string, nowMs: number): Promise<void> {
  await tx.run("UPDATE signing_key SET state = 'retiring', retiring_at_ms = $2 WHERE id = $1", id, nowMs);
}

/** A retired key verifies nothing any more, so its private half is erased. */
export async function markRetired(tx: Transaction, id: string, nowMs: number): Promise<void> {
  await tx.run(
    "UPDATE signing_key SET state = 'retired', retired_at_ms = $2, sealed_private = $3 WHERE id = $1",
    id,
    nowMs,
    new Uint8Array(0),
  );
}

export async function selectAuthority(sql: Sql): Promise<Whose | undefined> {
  const row = await sql.get<{ issuer: string; access_algorithm: AccessAlgorithm }>(
    'SELECT issuer, access_algorithm FROM authority WHERE singleton = 1',
  );
  return row && { issuer: row.issuer, accessAlgorithm: row.access_algorithm };
}

export async function insertAuthority(tx: Transaction, { issuer, accessAlgorithm }: Whose): Promise<void> {
  await tx.run(
    'INSERT INTO authority (singleton, issuer, access_algorithm) VALUES (1, $1, $2)',
    issuer,
    accessAlgorithm,
  );
}

export async function updateAuthority(tx: Transaction, { issuer, accessAlgorithm }: Whose): Promise<void> {
  await tx.run('UPDATE authority SET issuer = $1, access_algorithm = $2 WHERE singleton = 1', issuer, accessAlgorithm);
}

function fromRow(row: Row): KeyRow {
  return {
    id: row.id,
    purpose: row.purpose as KeyPurpose, // only insertKey writes these columns
    algorithm: row.algorithm as KeyAlgorithm,
    state: row.state as KeyState,
    compromisedAtMs: row.compromised_at_ms ?? undefined,
    publicJwk: row.public_jwk === null ? undefined : (JSON.parse(row.public_jwk) as PublicJwk),
    sealedPrivate: row.sealed_private,
    createdAtMs: row.created_at_ms,
    activatedAtMs: row.activated_at_ms ?? undefined,
    retiringAtMs: row.retiring_at_ms ?? undefined,
  };
}
