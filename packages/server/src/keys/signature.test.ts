import assert from 'node:assert/strict';
import { createSecretKey, sign, verify } from 'node:crypto';
import { describe, test } from 'node:test';
import { parseCompact } from '@countersign/protocol';
import { CompactSign, compactVerify } from 'jose';
import { systemRandom } from '../world/random.ts';
import { derFromJose, joseFromDer } from './ecdsa-form.ts';
import { generateKey, openMaterial } from './material.ts';
import type { KeyAlgorithm } from './rotation.ts';
import { isSignedBy, signCompact } from './signature.ts';

const CLAIMS = { iss: 'https://login.example', note: 'gültig' };

async function materialOf(algorithm: KeyAlgorithm) {
  const { privateBytes } = await generateKey({ id: 'key_1', algorithm, random: systemRandom });
  return openMaterial({ id: 'key_1', algorithm }, privateBytes);
}

function partsOf(token: string) {
  const parsed = parseCompact(token);
  assert.ok(parsed.kind === 'compact');
  return parsed;
}

for (const algorithm of ['ES256', 'Ed25519', 'RS256', 'HS256'] as const) {
  describe(algorithm, async () => {
    const material = await materialOf(algorithm);
    const header = { alg: algorithm, typ: 'at+jwt', kid: 'key_1' };

    test('another implementation reads what is signed here', async () => {
      const token = await signCompact(material, { header, claims: CLAIMS });
      const verified = await compactVerify(token, material.verifyingKey, { algorithms: [algorithm] });
      assert.deepEqual(verified.protectedHeader, header);
      assert.deepEqual(JSON.parse(new TextDecoder().decode(verified.payload)), CLAIMS);
    });

    test('what another implementation signs is read here, and nothing changed about it', async () => {
      const token = await new CompactSign(new TextEncoder().encode(JSON.stringify(CLAIMS)))
        .setProtectedHeader(header)
        .sign(material.signingKey);
      const { signingInput, signature } = partsOf(token);
      assert.equal(isSignedBy(material, { algorithm, signingInput, signature }), true);
      assert.equal(isSignedBy(material, { algorithm, signingInput: `${signingInput}A`, signature }), false);
      for (const changed of [
        flipped(signature),
        signature.slice(1),
        new Uint8Array([...signature, 0]),
        new Uint8Array(64),
      ]) {
        assert.equal(isSignedBy(material, { algorithm, signingInput, signature: changed }), false);
      }
      const other = await materialOf(algorithm);
      assert.equal(isSignedBy(other, { algorithm, signingInput, signature }), false);
    });
  });
}

test('an ES256 signature in DER is none: a token has one spelling', async () => {
  const material = await materialOf('ES256');
  const signingInput = 'e30.e30';
  const der = sign('sha256', Buffer.from(signingInput), material.signingKey);
  const parts = { algorithm: 'ES256', signingInput } as const;
  assert.equal(isSignedBy(material, { ...parts, signature: joseFromDer(der) }), true);
  assert.equal(isSignedBy(material, { ...parts, signature: der }), false);
});

test('both spellings of a signature say the same, with leading zeros and high bits in its numbers', async () => {
  const material = await materialOf('ES256');
  for (let tried = 0; tried < 600; tried++) {
    const data = Buffer.from(String(tried));
    const der = sign('sha256', data, material.signingKey);
    const jose = joseFromDer(der);
    assert.equal(jose.length, 64);
    assert.deepEqual(derFromJose(jose), der);
    if (tried % 50 > 0) continue;
    assert.equal(verify('sha256', data, { key: material.verifyingKey, dsaEncoding: 'ieee-p1363' }, jose), true);
  }
  const small = Buffer.concat([Buffer.alloc(31), Buffer.from([1]), Buffer.alloc(30), Buffer.from([0x80, 0])]);
  assert.deepEqual(derFromJose(small), Buffer.from([0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 0]));
  assert.deepEqual(joseFromDer(Buffer.from([0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 0])), small);
});

test('bytes that are no DER of two integers are a bug and not a signature', () => {
  const good = [0x30, 6, 2, 1, 1, 2, 1, 1];
  assert.equal(joseFromDer(Buffer.from(good)).length, 64);
  for (let index = 0; index < 7; index++) {
    if (index === 4) continue; // the first number itself
    const bad = good.map((byte, at) => (at === index ? byte ^ 0x41 : byte));
    assert.throws(() => joseFromDer(Buffer.from(bad)), /not the DER/);
  }
  assert.throws(() => joseFromDer(createSecretKey(Buffer.alloc(8)).export()), /not the DER/);
  const long = [0x30, 38, 2, 33, ...Array.from({ length: 33 }, () => 1), 2, 1, 1];
  assert.throws(() => joseFromDer(Buffer.from(long)), /longer than the curve/);
});

function flipped(signature: Uint8Array): Uint8Array {
  const changed = signature.slice();
  changed[10] = (changed[10] ?? 0) ^ 1;
  return changed;
}
