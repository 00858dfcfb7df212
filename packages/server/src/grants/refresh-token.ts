import { createId, hasEntropyBucketForm, isId, TOKEN_TYPES } from '@countersign/protocol';
import type { BucketRecord } from '../buckets/buckets.ts';
import type { Client } from '../clients/clients.ts';
import type { GrantParts } from './grants.ts';

/** Claims of a refresh token. Only the authority reads it, so it carries what the look-up needs and nothing of the user's. */
export interface RefreshClaims {
  iss: string;
  sub: string;
  client_id: string;
  jti: string;
  /** The grant: its family. */
  gid: string;
  /** Generation within the family, from 1. */
  gen: number;
  iat: number;
  eb: string;
}

/** Signs the refresh token of a generation. It is worth nothing until its record is committed with the grant's row. */
export async function mintRefreshToken(
  given: Pick<GrantParts, 'keys' | 'buckets' | 'clock' | 'random' | 'issuer'>,
  of: { client: Client; userId: string; grantId: string; generation: number },
): Promise<{ token: string; record: BucketRecord }> {
  const { keys, buckets, clock, random, issuer } = given;
  const nowMs = clock.now();
  const jti = createId('reftok', nowMs, random.bytes(8));
  const claims: RefreshClaims = {
    iss: issuer,
    sub: of.userId,
    client_id: of.client.id,
    jti,
    gid: of.grantId,
    gen: of.generation,
    iat: Math.floor(nowMs / 1_000),
    eb: buckets.mint('refresh', taggedId(jti, of.grantId, of.generation)),
  };
  const { token } = await keys.sign({ purpose: 'refresh', typ: TOKEN_TYPES.refresh, claims });
  return { token, record: buckets.record(jti, token.slice(0, token.lastIndexOf('.'))) };
}

/** Undefined for claims the authority never writes: under a good signature that is a forgery. */
export function readRefreshClaims(claims: Record<string, unknown>, issuer: string): RefreshClaims | undefined {
  const { iss, sub, client_id, jti, gid, gen, iat, eb } = claims;
  if (iss !== issuer || !isId('user', sub) || !isId('oauth2client', client_id)) return undefined;
  if (!isId('reftok', jti) || !isId('grant', gid) || !hasEntropyBucketForm(eb)) return undefined;
  if (!isPositiveInteger(gen) || !isPositiveInteger(iat)) return undefined;
  return { iss: issuer, sub, client_id, jti, gid, gen, iat, eb };
}

function isPositiveInteger(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0;
}

/**
 * What the tag of a refresh token names: the token, its family and its generation. With the jti alone, a thief of the key could
 * put the `eb` of a token of his own under another family, as an old generation, and so end that family.
 */
export function taggedId(jti: string, grantId: string, generation: number): string {
  return `${jti}.${grantId}.${generation}`;
}
