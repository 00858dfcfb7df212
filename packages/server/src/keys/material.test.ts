import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRandom } from '../world/random.ts';
import { generateKey, openMaterial } from './material.ts';

test('JT-15 a symmetric key has the size of its hash, 256 random bits, and nothing of it is published', async () => {
  const make = () => generateKey({ id: 'key_1', algorithm: 'HS256', random: systemRandom });
  const [one, other] = [await make(), await make()];
  assert.equal(one.privateBytes.length, 32);
  assert.notDeepEqual(one.privateBytes, other.privateBytes);
  assert.equal(one.publicJwk, undefined);
  assert.equal(openMaterial({ id: 'key_1', algorithm: 'HS256' }, one.privateBytes).signingKey.symmetricKeySize, 32);
});

test('JT-15 an RSA key has at least 2048 bits', async () => {
  const { privateBytes } = await generateKey({ id: 'key_1', algorithm: 'RS256', random: systemRandom });
  const { signingKey } = openMaterial({ id: 'key_1', algorithm: 'RS256' }, privateBytes);
  assert.ok((signingKey.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048);
});
