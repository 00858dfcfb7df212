import { randomFillSync } from 'node:crypto';

/** Bytes from a CSPRNG. Every secret of the product comes through here. */
export interface Random {
  bytes(length: number): Uint8Array<ArrayBuffer>;
}

export const systemRandom: Random = { bytes: (length) => randomFillSync(new Uint8Array(length)) };
