/**
 * The two spellings of a P-256 signature: JOSE writes r ‖ s (RFC 7518 §3.4), OpenSSL reads and writes DER (RFC 3279 §2.2.3).
 * node:crypto converts them too, but only for keys wrapped in an options object, which it takes 25 µs to look through.
 */

/** Of r and of s: the size of the curve's order. */
const NUMBER_BYTES = 32;
const SEQUENCE = 0x30;
const INTEGER = 0x02;

/** r ‖ s of a DER signature that OpenSSL wrote. @throws Error on anything else: that is a bug */
export function joseFromDer(der: Uint8Array): Buffer {
  const jose = Buffer.alloc(2 * NUMBER_BYTES);
  const rLength = der[3] ?? 0;
  const sLength = der[5 + rLength] ?? 0;
  const fits = der[0] === SEQUENCE && der[1] === der.length - 2 && der.length === 6 + rLength + sLength;
  if (!fits || der[2] !== INTEGER || der[4 + rLength] !== INTEGER) {
    throw new Error('Reading an ECDSA signature: it is not the DER of two integers.');
  }
  place(jose, der.subarray(4, 4 + rLength), NUMBER_BYTES);
  place(jose, der.subarray(6 + rLength), 2 * NUMBER_BYTES);
  return jose;
}

/** The DER of r ‖ s; undefined when the length is not that of two numbers. Whether they are in range is for the verification. */
export function derFromJose(jose: Uint8Array): Buffer | undefined {
  if (jose.length !== 2 * NUMBER_BYTES) return undefined;
  const r = integer(jose.subarray(0, NUMBER_BYTES));
  const s = integer(jose.subarray(NUMBER_BYTES));
  return Buffer.from([SEQUENCE, r.length + s.length, ...r, ...s]);
}

/** Puts a DER integer's bytes so that they end at `end`, without the zero that keeps them positive. */
function place(jose: Buffer, number: Uint8Array, end: number): void {
  const magnitude = number[0] === 0 ? number.subarray(1) : number;
  if (magnitude.length > NUMBER_BYTES)
    throw new Error('Reading an ECDSA signature: a number is longer than the curve.');
  jose.set(magnitude, end - magnitude.length);
}

/** Minimal and positive, as DER wants it (X.690 §8.3). */
function integer(magnitude: Uint8Array): number[] {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const minimal = [...magnitude.subarray(start)];
  if ((minimal[0] ?? 0) >= 0x80) minimal.unshift(0);
  return [INTEGER, minimal.length, ...minimal];
}
