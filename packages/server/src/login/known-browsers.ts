import { createHash } from 'node:crypto';
import { decodeBase64url, encodeBase64url } from '@countersign/protocol';
import type { Sealer } from '../sealing/sealing.ts';

const PURPOSE = 'known-browser';
/** Addresses that one browser is remembered for, newest first: a household, not an office. */
const MAX_ADDRESSES = 5;
/** Enough to tell addresses apart (128 bits). */
const DIGEST_BYTES = 16;

/**
 * Browsers that have logged in before, remembered by a cookie of theirs: sealed, so that nobody makes one and nobody reads from it
 * who used this computer. It proves nothing about whoever sits there and logs nobody in. It only says that this browser need not
 * queue behind strangers who ask for mails to the same address (ML-09).
 */
export class KnownBrowsers {
  readonly #sealer: Pick<Sealer, 'sealForTravel' | 'openFromTravel'>;

  constructor(sealer: Pick<Sealer, 'sealForTravel' | 'openFromTravel'>) {
    this.#sealer = sealer;
  }

  /** Whether this cookie's browser has logged in with this address. */
  knows(cookie: string | undefined, email: string): boolean {
    return this.#open(cookie).includes(digestOf(email));
  }

  /** The cookie after a login with this address. */
  remember(cookie: string | undefined, email: string): string {
    const digests = new Set([digestOf(email), ...this.#open(cookie)]);
    const text = [...digests].slice(0, MAX_ADDRESSES).join(' ');
    return encodeBase64url(this.#sealer.sealForTravel(PURPOSE, Buffer.from(text, 'ascii')));
  }

  #open(cookie: string | undefined): string[] {
    const sealed = cookie === undefined ? undefined : decodeBase64url(cookie);
    if (!sealed) return [];
    try {
      return Buffer.from(this.#sealer.openFromTravel(PURPOSE, sealed)).toString('ascii').split(' ');
    } catch {
      return []; // not ours, or sealed under another master key: a browser like any other
    }
  }
}

function digestOf(email: string): string {
  return encodeBase64url(createHash('sha256').update(email).digest().subarray(0, DIGEST_BYTES));
}
