/** Proofs as a client makes them, and as nobody should: each part can be replaced. */
import { constants, generateKeyPairSync, hash, type KeyObject, randomUUID, sign } from 'node:crypto';
import type { VerifierClock } from '../../world.ts';
import type { ProofAlgorithm } from '../algorithms.ts';

export const TOKEN = 'Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU';
export const URL_OF_REQUEST = 'https://api.example/accounts';

/** A clock that stands still until it is told, each hand by itself. */
export class SteeredClock implements VerifierClock {
  wallMs = Date.UTC(2026, 0, 1);
  steadyMs = 5_000;
  now = (): number => this.wallMs;
  monotonicMs = (): number => this.steadyMs;

  pass(seconds: number): void {
    this.wallMs += seconds * 1000;
    this.steadyMs += seconds * 1000;
  }
}

export class ProofClient {
  readonly alg: ProofAlgorithm;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;

  constructor(alg: ProofAlgorithm = 'ES256', pair = pairFor(alg)) {
    this.alg = alg;
    this.publicKey = pair.publicKey;
    this.privateKey = pair.privateKey;
  }

  get jwk(): Record<string, unknown> {
    return { ...this.publicKey.export({ format: 'jwk' }) };
  }

  get jkt(): string {
    return thumbprintOf(this.jwk);
  }

  header(): Record<string, unknown> {
    return { typ: 'dpop+jwt', alg: this.alg, jwk: this.jwk };
  }

  claims(clock: VerifierClock): Record<string, unknown> {
    return {
      jti: randomUUID(),
      htm: 'GET',
      htu: URL_OF_REQUEST,
      iat: Math.floor(clock.now() / 1000),
      ath: hash('sha256', TOKEN, 'base64url'),
    };
  }

  /** A good proof, but for the members given; `undefined` leaves one out. */
  prove(clock: VerifierClock, change: { header?: object; claims?: object } = {}): string {
    return this.sign({ ...this.header(), ...change.header }, { ...this.claims(clock), ...change.claims });
  }

  /** Signs whatever it is; text and bytes are taken as they stand. */
  sign(header: object | string, claims: object | string): string {
    const input = [header, claims].map(segment).join('.');
    return `${input}.${this.signature(input).toString('base64url')}`;
  }

  signature(input: string): Buffer {
    const data = Buffer.from(input);
    switch (this.alg) {
      case 'ES256':
        return sign('sha256', data, { key: this.privateKey, dsaEncoding: 'ieee-p1363' });
      case 'PS256':
        return sign('sha256', data, { key: this.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 });
      case 'RS256':
        return sign('sha256', data, this.privateKey);
      default:
        return sign(null, data, this.privateKey);
    }
  }
}

/** By RFC 7638, written out apart from the code under test. */
export function thumbprintOf(jwk: Record<string, unknown>): string {
  const names = Object.keys(jwk).sort();
  return hash('sha256', JSON.stringify(Object.fromEntries(names.map((name) => [name, jwk[name]]))), 'base64url');
}

function segment(part: object | string): string {
  if (Buffer.isBuffer(part)) return part.toString('base64url');
  return Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');
}

function pairFor(alg: ProofAlgorithm): { publicKey: KeyObject; privateKey: KeyObject } {
  if (alg === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return alg === 'PS256' || alg === 'RS256'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ed25519');
}
