import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPair as generateKeyPairWithCallback,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { Random } from '../world/random.ts';
import type { KeyAlgorithm } from './rotation.ts';

/** A public JWK as it is published (RFC 7517): public members only, with `kid`, `alg` and `use`. */
export interface PublicJwk {
  kty: string;
  kid: string;
  alg: string;
  use: 'sig';
  crv?: string;
  x?: string;
  y?: string;
  n?: string;
  e?: string;
}

/** A key unsealed, ready for use. `publicJwk` is undefined for symmetric keys: there is nothing to publish. */
export interface KeyMaterial {
  signingKey: KeyObject;
  verifyingKey: KeyObject;
  publicJwk: PublicJwk | undefined;
}

const RSA_MODULUS_BITS = 2048; // RFC 7518 §3.3 minimum; such keys sign ID tokens for three months
const SYMMETRIC_KEY_BYTES = 32; // 256 bits, the size of the hash (RFC 7518 §3.2)

const generateKeyPair = promisify(generateKeyPairWithCallback);

/** Makes a key: the bytes to seal (PKCS #8 DER, or the raw symmetric key) and what may be published. */
export async function generateKey(given: {
  id: string;
  algorithm: KeyAlgorithm;
  random: Random;
}): Promise<{ privateBytes: Uint8Array; publicJwk: PublicJwk | undefined }> {
  if (given.algorithm === 'HS256') {
    return { privateBytes: given.random.bytes(SYMMETRIC_KEY_BYTES), publicJwk: undefined };
  }
  const { privateKey, publicKey } = await generatePair(given.algorithm);
  return {
    privateBytes: privateKey.export({ type: 'pkcs8', format: 'der' }),
    publicJwk: publicJwkOf(given.id, given.algorithm, publicKey),
  };
}

/** Takes unsealed bytes into use. */
export function openMaterial(key: { id: string; algorithm: KeyAlgorithm }, privateBytes: Uint8Array): KeyMaterial {
  if (key.algorithm === 'HS256') {
    const secret = createSecretKey(privateBytes);
    return { signingKey: secret, verifyingKey: secret, publicJwk: undefined };
  }
  const signingKey = createPrivateKey({ key: Buffer.from(privateBytes), type: 'pkcs8', format: 'der' });
  const verifyingKey = createPublicKey(signingKey);
  return { signingKey, verifyingKey, publicJwk: publicJwkOf(key.id, key.algorithm, verifyingKey) };
}

async function generatePair(algorithm: KeyAlgorithm): Promise<{ privateKey: KeyObject; publicKey: KeyObject }> {
  switch (algorithm) {
    case 'ES256':
      return generateKeyPair('ec', { namedCurve: 'P-256' });
    case 'Ed25519':
      return generateKeyPair('ed25519');
    case 'RS256':
      return generateKeyPair('rsa', { modulusLength: RSA_MODULUS_BITS });
    case 'HS256':
      throw new TypeError('A symmetric key is not a pair');
  }
}

function publicJwkOf(kid: string, alg: KeyAlgorithm, publicKey: KeyObject): PublicJwk {
  const { kty, crv, x, y, n, e } = publicKey.export({ format: 'jwk' });
  if (kty === undefined) throw new Error('A public key was exported without its type');
  const members = Object.entries({ crv, x, y, n, e }).filter(([, value]) => value !== undefined);
  return { kty, kid, alg, use: 'sig', ...Object.fromEntries(members) };
}
