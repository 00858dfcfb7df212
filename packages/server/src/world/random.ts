import { randomBytes } from 'node:crypto';

/** Bytes from a CSPRNG. Every secret of the product comes through here. */
export interface Random {
  bytes(length: number): Uint8Array<ArrayBuffer>;
}

/** Drawn at once and handed out piece by piece: a call to the generator costs as much for 8 bytes as for some thousand. */
const POOL_BYTES = 4096;

export const systemRandom: Random = pooledRandom();

function pooledRandom(): Random {
  let pool = new Uint8Array(0);
  let used = 0;
  return {
    bytes(length) {
      if (length > POOL_BYTES / 8) return new Uint8Array(randomBytes(length));
      if (used + length > pool.length) {
        pool = new Uint8Array(randomBytes(POOL_BYTES));
        used = 0;
      }
      const piece = pool.slice(used, used + length);
      pool.fill(0, used, used + length); // what was given out exists once
      used += length;
      return piece;
    },
  };
}
