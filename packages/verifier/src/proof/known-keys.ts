import type { KeyObject } from 'node:crypto';
import type { ProofAlgorithm } from './algorithms.ts';

/** Keys remembered, each with its header two or three kilobytes. One that is pushed out is read again: 60 µs. */
const MAX_KEYS = 5000;

export interface ProofKey {
  alg: ProofAlgorithm;
  key: KeyObject;
}

/**
 * Keys that have made a good proof, by thumbprint. A client's proofs begin with the same header each time; where it is the very
 * one seen before, all that follows from it stands. One header per key, so that nobody can crowd out others by spelling his own
 * in many ways. The one longest unused goes first.
 */
export class KnownKeys {
  readonly #byThumbprint = new Map<string, { header: string; known: ProofKey }>();

  get(jkt: string, header: string): ProofKey | undefined {
    const entry = this.#byThumbprint.get(jkt);
    if (entry?.header !== header) return undefined;
    this.#byThumbprint.delete(jkt);
    this.#byThumbprint.set(jkt, entry);
    return entry.known;
  }

  /** Only for a key whose signature was verified, and whose thumbprint is `jkt`. */
  put(jkt: string, header: string, known: ProofKey): void {
    this.#byThumbprint.delete(jkt);
    // Copied: a part of a string keeps the whole, here the first proof, in memory.
    this.#byThumbprint.set(jkt, { header: Buffer.from(header, 'latin1').toString('latin1'), known });
    const [oldest] = this.#byThumbprint.keys();
    if (oldest !== undefined && this.#byThumbprint.size > MAX_KEYS) this.#byThumbprint.delete(oldest);
  }
}
