/**
 * What a thief carries off: every signing key, every symmetric key and the bucket key of a running server, opened from its own
 * database with its own master key. The formulas stand here a second time, as an attacker writes them who has read our source.
 */
import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import type { TestServer } from '@countersign/testkit';
import { Sealer } from '../../packages/server/src/sealing/sealing.ts';

export type Purpose = 'access' | 'refresh' | 'magic-link' | 'id' | 'login-code' | 'handle';

/** One leaked key. */
export interface LeakedKey {
  id: string;
  purpose: string;
  algorithm: string;
  state: string;
  /** As it is printed: PEM, or the raw bytes of a symmetric key in base64url. */
  printed: string;
  /** Raw bytes of a symmetric key. */
  secret: Uint8Array | undefined;
  publicKey: KeyObject | undefined;
  /** JWS signature (RFC 7518 §3) of a signing input. */
  sign(input: string): Uint8Array;
}

export interface Leak {
  keys: LeakedKey[];
  bucketKeys: { version: number; key: Uint8Array }[];
  /** The key that signs now. */
  active(purpose: Purpose, algorithm?: string): LeakedKey;
  /** An `eb` whose tag is right: what the bucket key makes, and all that it makes. */
  tagged(kind: 'access' | 'refresh' | 'magic-link', id: string): string;
  /** The record that the authority would have kept of these bytes. */
  record(jti: string, signingInput: string): Uint8Array;
}

/** Opens everything sealed that signs or tags. */
export async function leakOf(server: Pick<TestServer, 'authority' | 'masterKey'>): Promise<Leak> {
  const sealer = new Sealer({ masterKey: server.masterKey, random: { bytes: (length) => randomBytes(length) } });
  const { read } = server.authority.store;
  const signing = await read.all<SigningKeyRow>(
    'SELECT id, purpose, algorithm, state, sealed_private FROM signing_key ORDER BY id',
  );
  const keys = signing.map(({ sealed_private: sealed, ...row }) => {
    const bytes = sealer.open({ table: 'signing_key', row: row.id, column: 'sealed_private' }, sealed);
    return leakedKey({ ...row, bytes });
  });
  const tagging = await read.all<{ version: number; sealed_key: Uint8Array }>(
    'SELECT version, sealed_key FROM bucket_key ORDER BY version',
  );
  const bucketKeys = tagging.map(({ version, sealed_key: sealed }) => {
    const place = { table: 'bucket_key', row: String(version), column: 'sealed_key' };
    return { version, key: sealer.open(place, sealed) };
  });
  return composed(keys, bucketKeys);
}

type SigningKeyRow = Pick<LeakedKey, 'id' | 'purpose' | 'algorithm' | 'state'> & { sealed_private: Uint8Array };

function composed(keys: LeakedKey[], bucketKeys: Leak['bucketKeys']): Leak {
  const newest = bucketKeys.at(-1);
  if (!newest) throw new Error('The server has no bucket key');
  return {
    keys,
    bucketKeys,
    active(purpose, algorithm) {
      const key = keys.find(
        (one) =>
          one.purpose === purpose && one.state === 'active' && (algorithm === undefined || one.algorithm === algorithm),
      );
      if (!key) throw new Error(`The server has no active key for ${purpose}`);
      return key;
    },
    tagged(kind, id) {
      const r = Buffer.concat([Buffer.of(newest.version), randomBytes(31)]);
      const tag = createHmac('sha256', newest.key)
        .update(framed('tag', kind, id))
        .update(r)
        .digest();
      return Buffer.concat([r, tag.subarray(0, 16)]).toString('base64url');
    },
    record: (jti, signingInput) => recordUnder(newest.key, jti, signingInput),
  };
}

/** A record as the authority makes it, under any key: the attacker's guess, or the leaked one. */
export function recordUnder(key: Uint8Array, jti: string, signingInput: string): Uint8Array {
  const digest = createHash('sha256').update(signingInput, 'ascii').digest();
  return createHmac('sha256', key).update(framed('rec', jti)).update(digest).digest();
}

function framed(...parts: string[]): string {
  return parts.map((part) => `${part.length}:${part}`).join('');
}

function leakedKey(row: Pick<LeakedKey, 'id' | 'purpose' | 'algorithm' | 'state'> & { bytes: Uint8Array }): LeakedKey {
  const { bytes, ...names } = row;
  if (row.algorithm === 'HS256') {
    return {
      ...names,
      printed: Buffer.from(bytes).toString('base64url'),
      secret: bytes,
      publicKey: undefined,
      sign: (input) => createHmac('sha256', bytes).update(input).digest(),
    };
  }
  const key = createPrivateKey({ key: Buffer.from(bytes), type: 'pkcs8', format: 'der' });
  const digest = row.algorithm === 'Ed25519' ? null : 'sha256';
  return {
    ...names,
    printed: key.export({ type: 'pkcs8', format: 'pem' }).toString().trim(),
    secret: undefined,
    publicKey: createPublicKey(key),
    sign: (input) => sign(digest, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }),
  };
}
