/**
 * Entropy buckets: the second proof. Makes the `eb` claim of a token, the record kept of it, and compares them.
 *
 *     eb     = r ‖ HMAC-SHA-256(bucket key, "tag" ‖ kind ‖ id ‖ r)[0..15]      r: key version, then 248 random bits
 *              where `id` is what the tag names: the jti, and what else must not change (`endingId`)
 *     digest = SHA-256(signing input)                                          covers everything that was signed, eb included
 *     record = HMAC-SHA-256(bucket key, "rec" ‖ jti ‖ digest)
 *
 * Owns the table `bucket_key`; the keys are sealed, versioned, and used for nothing but what stands here. Leaves the records to the domains whose
 * rows hold them. A record accepts; a tag never does: it only tells a token of ours without a record from a forgery.
 *
 *     proof  = key version ‖ HMAC-SHA-256(bucket key, "row" ‖ table ‖ id ‖ terms)       of rows that are not tokens but grant power
 *
 * What the HMAC inputs hold is length-prefixed, so that no two different inputs spell alike.
 */
import { createHmac, createSecretKey, hash, type KeyObject, timingSafeEqual } from 'node:crypto';
import { decodeBase64url, encodeBase64url, hasEntropyBucketForm } from '@countersign/protocol';
import type { Sealer } from '../sealing/sealing.ts';
import type { Sql, Store } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import { insertBucketKey, selectBucketKeys } from './table.ts';
import { type RowName, type RowTerm, spellRow } from './terms.ts';

export type { RowName, RowTerm } from './terms.ts';

export type BucketKind = 'access' | 'refresh' | 'magic-link';

/** What a row keeps of a token: enough to recognise its bytes, nothing to make them from. */
export interface BucketRecord {
  version: number;
  record: Uint8Array;
}

const BUCKET_KEY_BYTES = 32; // 256 bits
const RANDOM_BYTES = 31; // 248 bits; the 32nd byte of r is the key version
const TAG_BYTES = 16; // 128 bits
const PROOF_BYTES = 33; // 1 byte key version, 256 bits

export class Buckets {
  readonly #store: Store;
  readonly #sealer: Sealer;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #onForeignRow: (row: RowName) => void;
  readonly #keys = new Map<number, KeyObject>();
  #newest = 0;

  /** `onForeignRow` hears of rows that somebody else wrote; the composition root lets it ring. */
  constructor(given: {
    store: Store;
    sealer: Sealer;
    clock: Clock;
    random: Random;
    onForeignRow?: (row: RowName) => void;
  }) {
    this.#onForeignRow = given.onForeignRow ?? (() => {});
    this.#store = given.store;
    this.#sealer = given.sealer;
    this.#clock = given.clock;
    this.#random = given.random;
  }

  /** Loads the bucket keys, making the first one in a new store. @throws SealBroken under a wrong master key */
  async prepare(): Promise<void> {
    await this.#store.write(async (tx) => {
      if ((await selectBucketKeys(tx)).length > 0) return;
      const sealedKey = this.#sealer.seal(place(1), this.#random.bytes(BUCKET_KEY_BYTES));
      await insertBucketKey(tx, { version: 1, sealedKey, createdAtMs: this.#clock.now() });
    });
    await this.#load();
  }

  /**
   * A fresh `eb`: unique, unguessable, and good for nothing but the token that `id` names: of an access token `endingId`, of a
   * refresh token jti, family and generation, of a magic link the jti.
   */
  mint(kind: BucketKind, id: string): string {
    const r = new Uint8Array(1 + RANDOM_BYTES);
    r[0] = this.#newest;
    r.set(this.#random.bytes(RANDOM_BYTES), 1);
    return encodeBase64url(Buffer.concat([r, this.#tag(this.#key(this.#newest), kind, id, r)]));
  }

  /** Whether this authority minted `eb` for this kind and id. Accepts nothing: it only words the verdict. */
  isOurs(kind: BucketKind, id: string, eb: unknown): boolean {
    if (!hasEntropyBucketForm(eb)) return false;
    const bytes = decodeBase64url(eb);
    const r = bytes?.subarray(0, 1 + RANDOM_BYTES);
    const key = this.#keys.get(r?.[0] ?? 0);
    if (!bytes || !r || !key) return false;
    return timingSafeEqual(this.#tag(key, kind, id, r), bytes.subarray(1 + RANDOM_BYTES));
  }

  /** The record of a token about to be issued. `signingInput` is the token without its signature. */
  record(jti: string, signingInput: string): BucketRecord {
    const version = this.#newest;
    return { version, record: this.#record(this.#key(version), jti, digestOf(signingInput)) };
  }

  /** Whether a record was made of these bytes (`digest` = SHA-256 of the signing input). Constant time. */
  matches(stored: BucketRecord, jti: string, digest: Uint8Array): boolean {
    const key = this.#keys.get(stored.version);
    if (!key || stored.record.length !== 32 || digest.length !== 32) return false;
    return timingSafeEqual(this.#record(key, jti, digest), stored.record);
  }

  /** The proof that this authority wrote a row: over its name and whatever it says for good. */
  prove(row: RowName, terms: readonly RowTerm[]): Uint8Array {
    return Buffer.concat([Buffer.of(this.#newest), this.#proof(this.#key(this.#newest), row, terms)]);
  }

  /**
   * Whether this authority wrote the row. Whoever asks treats any other row as absent: a session, a code, a client or a user's
   * address that was written into the database by somebody else must be worth nothing.
   */
  isProven(row: RowName, terms: readonly RowTerm[], proof: Uint8Array): boolean {
    const key = this.#keys.get(proof[0] ?? 0);
    const isOurs =
      key !== undefined &&
      proof.length === PROOF_BYTES &&
      timingSafeEqual(this.#proof(key, row, terms), proof.subarray(1));
    if (!isOurs) this.#onForeignRow(row);
    return isOurs;
  }

  async #load(): Promise<void> {
    for (const [version, key] of await openBucketKeys(this.#store.read, this.#sealer)) {
      this.#keys.set(version, key);
      this.#newest = Math.max(this.#newest, version);
    }
  }

  #key(version: number): KeyObject {
    const key = this.#keys.get(version);
    if (!key) throw new Error(`Bucket key ${version} is not loaded; prepare() comes first`);
    return key;
  }

  #tag(key: KeyObject, kind: BucketKind, id: string, r: Uint8Array): Uint8Array {
    return createHmac('sha256', key)
      .update(framed('tag', kind, id))
      .update(r)
      .digest()
      .subarray(0, TAG_BYTES);
  }

  #proof(key: KeyObject, row: RowName, terms: readonly RowTerm[]): Uint8Array {
    return createHmac('sha256', key).update(framed('row')).update(spellRow(row, terms)).digest();
  }

  #record(key: KeyObject, jti: string, digest: Uint8Array): Uint8Array {
    return createHmac('sha256', key).update(framed('rec', jti)).update(digest).digest();
  }
}

/**
 * What the tag of an access token names: the token and its end. Rows are swept after that end; with the jti alone, a thief of the key
 * could give an old token of his own a new life, and be *unknown*, which does not ring (docs/decisions/0013).
 */
export function endingId(jti: string, exp: number): string {
  return `${jti}.${exp}`;
}

/** SHA-256 of a token's signing input, the identity of its bytes. */
export function digestOf(signingInput: string): Uint8Array {
  return hash('sha256', signingInput, 'buffer');
}

/** A bucket key as its row holds it. @throws SealBroken where it was sealed under another master key */
export function openBucketKey(sealer: Sealer, row: { version: number; sealedKey: Uint8Array }): KeyObject {
  return createSecretKey(sealer.open(place(row.version), row.sealedKey));
}

/** All of them, by version; reads only. @throws SealBroken */
export async function openBucketKeys(sql: Sql, sealer: Sealer): Promise<Map<number, KeyObject>> {
  const rows = await selectBucketKeys(sql);
  return new Map(rows.map((row) => [row.version, openBucketKey(sealer, row)]));
}

function framed(...parts: string[]): string {
  return parts.map((part) => `${part.length}:${part}`).join('');
}

function place(version: number) {
  return { table: 'bucket_key', row: String(version), column: 'sealed_key' };
}
