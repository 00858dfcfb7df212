/** Tokens as an attacker writes them: any header, any claims, any signature. */
import { randomBytes } from 'node:crypto';
import { createId, type IdPrefix } from '@countersign/protocol';
import type { LeakedKey } from './leak.ts';

export type Json = Record<string, unknown>;

/** `typ` that the authority writes for each purpose. */
export const TYP = { access: 'at+jwt', refresh: 'rt+jwt', 'magic-link': 'ml+jwt', id: 'JWT' } as const;

export function encoded(value: Json | string | Uint8Array): string {
  const bytes = typeof value === 'object' && !(value instanceof Uint8Array) ? JSON.stringify(value) : value;
  return Buffer.from(bytes).toString('base64url');
}

/** A JWS of these parts under a key. `header` and `claims` may be text, to be spelled as no library would. */
export function signed(key: Pick<LeakedKey, 'sign'>, header: Json | string, claims: Json | string): string {
  const input = `${encoded(header)}.${encoded(claims)}`;
  return `${input}.${encoded(key.sign(input))}`;
}

export function headerFor(key: LeakedKey, typ: string): Json {
  return { alg: key.algorithm, typ, kid: key.id };
}

export function partsOf(token: string): { header: Json; claims: Json; input: string; signature: Buffer } {
  const [header = '', claims = '', signature = ''] = token.split('.');
  return {
    header: JSON.parse(Buffer.from(header, 'base64url').toString('utf8')),
    claims: JSON.parse(Buffer.from(claims, 'base64url').toString('utf8')),
    input: `${header}.${claims}`,
    signature: Buffer.from(signature, 'base64url'),
  };
}

export function claimsWithout(claims: Json, name: string): Json {
  return Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));
}

/** An id that the authority never gave. */
export function inventedId(prefix: IdPrefix, nowMs: number): string {
  return createId(prefix, nowMs, randomBytes(8));
}

/** 48 random bytes, of the right form and worth nothing. */
export function inventedBucket(): string {
  return Buffer.concat([Buffer.of(1), randomBytes(47)]).toString('base64url');
}

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The same ECDSA signature spelled with n − s: just as valid, and anybody can make it without any key. */
export function respelled(token: string): string {
  const { input, signature } = partsOf(token);
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`);
  const other = Buffer.from((P256_ORDER - s).toString(16).padStart(64, '0'), 'hex');
  return `${input}.${encoded(Buffer.concat([signature.subarray(0, 32), other]))}`;
}
