/**
 * Who is measured: the verifier by its public face, and what else one would take, each set up as its documentation recommends, with
 * the same key, algorithm, issuer and audience, and where two ways are documented, by the quicker one: keys are imported before
 * the clock starts, and who can answer without a promise does.
 */
import { JwtVerifier } from 'aws-jwt-verify';
import { createVerifier as createFastVerifier } from 'fast-jwt';
import { importJWK, jwtVerify } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
import { createVerifier } from '../packages/verifier/src/index.ts';
import { AUDIENCE, ISSUER, type TokenSigner, verifierOptions } from './verify-tokens.ts';

export interface Subject {
  readonly name: string;
  /** Verifies one token after the other, each awaited as a request would. Throws unless all are good. */
  verifyAll(tokens: readonly string[]): Promise<void>;
  /** It verifies each signature anew, so that it is asked for fewer. */
  readonly isSlow: boolean;
}

export interface Countersign extends Subject {
  /** All at once, as requests that arrive together. */
  verifyTogether(tokens: readonly string[]): Promise<void>;
  hits(): number;
  entries(): number;
  close(): Promise<void>;
}

export async function countersign(signer: TokenSigner, options: { maxEntries?: number } = {}): Promise<Countersign> {
  const verifier = createVerifier({ ...verifierOptions(signer), ...options });
  await verifier.ready();
  return {
    name: 'Countersign',
    isSlow: false,
    async verifyAll(tokens) {
      for (const token of tokens) if ((await verifier.verify(token)).kind !== 'accepted') throw notGood('Countersign');
    },
    async verifyTogether(tokens) {
      const results = await Promise.all(tokens.map((token) => verifier.verify(token)));
      if (!results.every(({ kind }) => kind === 'accepted')) throw notGood('Countersign');
    },
    hits: () => verifier.status().hits,
    entries: () => verifier.status().entries,
    close: () => verifier.close(),
  };
}

/** `atOnce`: how many verifications are under way; jose verifies on other threads, so that more at once use more cores. */
export async function jose(signer: TokenSigner, atOnce: number): Promise<Subject> {
  const key = await importJWK(signer.publicKey.export({ format: 'jwk' }), 'ES256');
  const options = { issuer: ISSUER, audience: AUDIENCE, typ: 'at+jwt', algorithms: ['ES256'] };
  return {
    name: atOnce === 1 ? 'jose' : `jose, ${atOnce} at once`,
    isSlow: true,
    async verifyAll(tokens) {
      for (let from = 0; from < tokens.length; from += atOnce) {
        const some = tokens.slice(from, from + atOnce);
        if (atOnce === 1) await jwtVerify(some[0] ?? '', key, options);
        else await Promise.all(some.map((token) => jwtVerify(token, key, options)));
      }
    },
  };
}

export function jsonWebToken(signer: TokenSigner): Subject {
  return {
    name: 'jsonwebtoken',
    isSlow: true,
    async verifyAll(tokens) {
      const options = { issuer: ISSUER, audience: AUDIENCE, algorithms: ['ES256' as const] };
      for (const token of tokens) jsonwebtoken.verify(token, signer.publicKey, options);
    },
  };
}

export function awsJwtVerify(signer: TokenSigner): Subject {
  const verifier = JwtVerifier.create({ issuer: ISSUER, audience: AUDIENCE, jwksUri: `${ISSUER}/jwks` });
  const { kty = 'EC', ...jwk } = signer.publicKey.export({ format: 'jwk' });
  verifier.cacheJwks({ keys: [{ kty, ...jwk, kid: signer.kid, alg: 'ES256', use: 'sig' }] });
  return {
    name: 'aws-jwt-verify',
    isSlow: true,
    async verifyAll(tokens) {
      for (const token of tokens) verifier.verifySync(token);
    },
  };
}

/** `cacheSize`: its cache, keyed as it is by default (a hash of the token), with room for all tokens; undefined: none. */
export function fastJwt(signer: TokenSigner, cacheSize?: number): Subject {
  const verify = createFastVerifier({
    key: String(signer.publicKey.export({ type: 'spki', format: 'pem' })),
    ...{ algorithms: ['ES256'], allowedIss: ISSUER, allowedAud: AUDIENCE, checkTyp: 'at+jwt' },
    ...(cacheSize !== undefined && { cache: cacheSize }),
  });
  return {
    name: cacheSize === undefined ? 'fast-jwt' : 'fast-jwt, its cache',
    isSlow: cacheSize === undefined,
    async verifyAll(tokens) {
      for (const token of tokens) verify(token);
    },
  };
}

function notGood(name: string): Error {
  return new Error(`${name} did not accept a good token.`);
}
