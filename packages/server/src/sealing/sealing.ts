/**
 * Sealing: every reversible secret at rest (private keys, the bucket key, queued mails, the last refresh answer) is AES-256-GCM
 * under a key derived from the master key. The place of a value (table, row, column) is authenticated with it, so whoever can
 * write the database cannot move a sealed value to another row and have it opened there.
 *
 * Owns: the derivation of keys from the master key and the format of a sealed value. Leaves to the domains what they seal.
 * A wrong master key, a moved or an altered value is `SealBroken`, never garbage.
 *
 * Format: 1 byte version (1), 12 bytes nonce, ciphertext, 16 bytes tag. A random 96-bit nonce under one key is safe to 2^32
 * values (NIST SP 800-38D §8.3); each use below has a key of its own.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  type Hmac,
  hash,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import type { Random } from '../world/random.ts';

const FORMAT_VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const MASTER_KEY_BYTES = 32; // 256 bits

/** Where a sealed value stands. `row` is the row's primary key. */
export interface SealedPlace {
  table: string;
  row: string;
  column: string;
}

/** A sealed value did not open: another master key, another place, or altered bytes. The cause is not told apart. */
export class SealBroken extends Error {
  readonly code = 'seal_broken';
  constructor(what: string) {
    super(
      `Opening ${what}: the seal does not fit. Either the master key is not the one it was sealed with, or it was altered.`,
    );
    this.name = 'SealBroken';
  }
}

export class Sealer {
  readonly #masterKey: KeyObject;
  readonly #random: Random;
  readonly #columnKey: KeyObject;

  constructor(given: { masterKey: Uint8Array; random: Random }) {
    if (given.masterKey.length !== MASTER_KEY_BYTES) {
      throw new TypeError(`The master key must be ${MASTER_KEY_BYTES} bytes`);
    }
    this.#masterKey = createSecretKey(given.masterKey);
    this.#random = given.random;
    this.#columnKey = this.#derive('column', '');
  }

  /** Seals a column's value to its place. */
  seal(place: SealedPlace, plain: Uint8Array): Uint8Array {
    return this.#encrypt(this.#columnKey, placeName(place), plain);
  }

  /** Opens what `seal` made for this very place. @throws SealBroken */
  open(place: SealedPlace, sealed: Uint8Array): Uint8Array {
    return decrypt(this.#columnKey, placeName(place), sealed);
  }

  /**
   * Seals so that the server alone cannot open it again: the key also needs `secret`, which only its holder presents (the
   * predecessor of a refresh token). `secret` must have at least 128 bits of entropy.
   */
  sealToHolder(place: SealedPlace, secret: string, plain: Uint8Array): Uint8Array {
    return this.#encrypt(this.#derive('holder', secret), placeName(place), plain);
  }

  /** Opens what `sealToHolder` made, when the holder presents the same secret. @throws SealBroken */
  openFromHolder(place: SealedPlace, secret: string, sealed: Uint8Array): Uint8Array {
    return decrypt(this.#derive('holder', secret), placeName(place), sealed);
  }

  /** Seals a value that travels through a browser and comes back, for one purpose. */
  sealForTravel(purpose: string, plain: Uint8Array): Uint8Array {
    return this.#encrypt(this.#derive('travel', purpose), purpose, plain);
  }

  /** Opens what `sealForTravel` made for this purpose. @throws SealBroken */
  openFromTravel(purpose: string, sealed: Uint8Array): Uint8Array {
    return decrypt(this.#derive('travel', purpose), purpose, sealed);
  }

  /** Begins an HMAC-SHA-256, under a key of this purpose alone, over what goes out in the open and has to come back as it was. */
  mac(purpose: string): Hmac {
    return createHmac('sha256', this.#derive('mac', purpose));
  }

  #derive(use: string, context: string): KeyObject {
    // The context may be a whole token and HKDF's info is limited to 1,024 bytes: it enters as its hash.
    const info = Buffer.concat([Buffer.from(`${use}\0`), hash('sha256', context, 'buffer')]);
    return createSecretKey(new Uint8Array(hkdfSync('sha256', this.#masterKey, 'countersign', info, 32)));
  }

  #encrypt(key: KeyObject, additionalData: string, plain: Uint8Array): Uint8Array {
    const nonce = this.#random.bytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(additionalData, 'utf8'));
    return Buffer.concat([Buffer.of(FORMAT_VERSION), nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }
}

function decrypt(key: KeyObject, additionalData: string, sealed: Uint8Array): Uint8Array {
  const what = `a sealed value of ${additionalData}`;
  if (sealed[0] !== FORMAT_VERSION || sealed.length < 1 + NONCE_BYTES + TAG_BYTES) throw new SealBroken(what);
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 1 + NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(additionalData, 'utf8'));
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    const ciphertext = sealed.subarray(1 + NONCE_BYTES, sealed.length - TAG_BYTES);
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
  } catch {
    throw new SealBroken(what);
  }
}

/** JSON, so that no choice of names can make two places spell alike. */
function placeName(place: SealedPlace): string {
  return JSON.stringify([place.table, place.row, place.column]);
}
