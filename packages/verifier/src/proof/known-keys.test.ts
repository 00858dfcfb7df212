import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KnownKeys, type ProofKey } from './known-keys.ts';
import { ProofClient } from './testing/proofs.ts';

const known: ProofKey = { alg: 'ES256', key: new ProofClient().publicKey };

test('a key is known by thumbprint and by the very header that it came with', () => {
  const keys = new KnownKeys();
  keys.put('a', 'header', known);
  assert.equal(keys.get('a', 'header'), known);
  assert.equal(keys.get('a', 'header2'), undefined);
  assert.equal(keys.get('b', 'header'), undefined);
  keys.put('a', 'header2', known);
  assert.equal(keys.get('a', 'header'), undefined);
});

test('five thousand are known; the one longest unused goes first', () => {
  const keys = new KnownKeys();
  for (let i = 0; i < 5000; i++) keys.put(`key ${i}`, 'h', known);
  keys.get('key 0', 'h');
  keys.put('new', 'h', known);
  assert.equal(keys.get('key 0', 'h'), known);
  assert.equal(keys.get('key 1', 'h'), undefined);
  assert.equal(keys.get('new', 'h'), known);
});
