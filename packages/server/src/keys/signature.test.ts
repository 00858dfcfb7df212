import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { describe, test } from 'node:test';
import { parseCompact } from '@countersign/protocol';
import { CompactSign, compactVerify } from 'jose';
import { systemRandom } from '../world/random.ts';
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
  const data = Buffer.from(signingInput);
  const parts = { algorithm: 'ES256', signingInput } as const;
  const jose = sign('sha256', data, { key: material.signingKey, dsaEncoding: 'ieee-p1363' });
  assert.equal(isSignedBy(material, { ...parts, signature: jose }), true);
  assert.equal(isSignedBy(material, { ...parts, signature: sign('sha256', data, material.signingKey) }), false);
});

function flipped(signature: Uint8Array): Uint8Array {
  const changed = signature.slice();
  changed[10] = (changed[10] ?? 0) ^ 1;
  return changed;
}
