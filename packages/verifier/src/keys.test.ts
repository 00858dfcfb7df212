import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { importKeys } from './keys.ts';
import { newSigningKey, publish } from './testing/fake-authority.ts';

const invalid = { code: 'authority_answer_invalid' };
const good = publish(newSigningKey('ES256'));

test('keys of the three algorithms are read, with what the authority says of them', async () => {
  const keys = [good, publish(newSigningKey('Ed25519')), publish(newSigningKey('RS256', 'compromised'))];
  const read = await importKeys({ keys });
  assert.deepEqual(
    [...read.values()].map(({ kid, alg, status }) => ({ kid, alg, status })),
    keys.map(({ kid, alg, status }) => ({ kid, alg, status })),
  );
});

test('an algorithm of a later version is passed over', async () => {
  const read = await importKeys({ keys: [good, { ...good, kid: 'later', alg: 'ML-DSA-65', jwk: { kty: 'AKP' } }] });
  assert.deepEqual([...read.keys()], [good.kid]);
});

test('a document that is none is refused', async () => {
  for (const answer of [null, [], {}, { keys: {} }, { keys: [null] }, { keys: Array(101).fill(good) }]) {
    await assert.rejects(importKeys(answer), invalid);
  }
});

test('JT-14 private members and repeated kids are refused', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await assert.rejects(importKeys({ keys: [{ ...good, jwk: privateKey.export({ format: 'jwk' }) }] }), invalid);
  await assert.rejects(importKeys({ keys: [{ ...good, jwk: { kty: 'oct', k: 'AAAA' } }] }), invalid);
  await assert.rejects(importKeys({ keys: [good, good] }), invalid);
});

test('JT-05 a key that is not for the algorithm it names is refused', async () => {
  const rsa = publish(newSigningKey('RS256'));
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' });
  for (const entry of [
    { ...good, alg: 'RS256' },
    { ...rsa, alg: 'ES256' },
    { ...rsa, jwk: { ...rsa.jwk, alg: 'PS256' } },
    { ...rsa, jwk: { ...rsa.jwk, use: 'enc' } },
    { ...good, jwk: p384 },
    { ...good, jwk: { ...good.jwk, x: 'AAAA' } },
    { ...good, status: 'fine' },
    { ...good, kid: '' },
    { ...good, jwk: 'x' },
  ]) {
    await assert.rejects(importKeys({ keys: [entry] }), invalid);
  }
});

test('JT-15 an RSA key below 2048 bits is refused', async () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const entry = { kid: 'k', alg: 'RS256', status: 'good', jwk: publicKey.export({ format: 'jwk' }) };
  await assert.rejects(importKeys({ keys: [entry] }), invalid);
});
