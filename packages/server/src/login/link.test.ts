import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createId, encodeBase64url } from '@countersign/protocol';
import { LINK_LIFETIME_MS, linkClaims, linkExpiresAtMs, linkState, REPEAT_WINDOW_MS, repeatedUse } from './link.ts';

const NOW_MS = 1_800_000_000_123;
const ISSUER = 'https://auth.example';
const claims = {
  iss: ISSUER,
  jti: createId('maglnk', NOW_MS, new Uint8Array(8)),
  eb: encodeBase64url(new Uint8Array(48)),
  exp: linkExpiresAtMs(NOW_MS) / 1000,
};
const expected = { issuer: ISSUER, nowMs: NOW_MS };

test('the claims that the authority writes are read', () => {
  assert.deepEqual(linkClaims(claims, expected), { kind: 'claims', claims });
});

test('claims that are never written are impossible', () => {
  const { eb: _, ...withoutBucket } = claims;
  const wrong: Record<string, unknown>[] = [
    withoutBucket,
    { ...claims, eb: '' },
    { ...claims, eb: encodeBase64url(new Uint8Array(32)) },
    { ...claims, eb: [claims.eb] },
    { ...claims, iss: 'https://other.example' },
    { ...claims, jti: createId('acctok', NOW_MS, new Uint8Array(8)) },
    { ...claims, exp: claims.exp + 1 },
    { ...claims, exp: String(claims.exp) },
    { ...claims, exp: claims.exp - 0.5 },
    { ...claims, sub: 'user_x' },
  ];
  for (const each of wrong) assert.deepEqual(linkClaims(each, expected), { kind: 'impossible' }, JSON.stringify(each));
});

test('ML-05 a link ends after ten minutes at most, quietly', () => {
  const endMs = claims.exp * 1000;
  assert.ok(endMs <= NOW_MS + LINK_LIFETIME_MS && endMs > NOW_MS + LINK_LIFETIME_MS - 1000);
  assert.equal(linkClaims(claims, { issuer: ISSUER, nowMs: endMs - 1 }).kind, 'claims');
  assert.equal(linkClaims(claims, { issuer: ISSUER, nowMs: endMs }).kind, 'expired');
});

test('states: used and superseded stay what they are past the end', () => {
  const link = { usedAtMs: undefined, supersededAtMs: undefined, expiresAtMs: NOW_MS };
  assert.equal(linkState(link, NOW_MS - 1), 'open');
  assert.equal(linkState(link, NOW_MS), 'expired');
  assert.equal(linkState({ ...link, usedAtMs: 1 }, NOW_MS), 'used');
  assert.equal(linkState({ ...link, supersededAtMs: 1 }, NOW_MS), 'superseded');
});

test('only a used link from another network, later than any retry, was replayed', () => {
  const link = { usedAtMs: NOW_MS, network: '192.0.2.1' };
  const later = NOW_MS + REPEAT_WINDOW_MS + 1;
  assert.equal(repeatedUse(link, { atMs: NOW_MS + REPEAT_WINDOW_MS, network: '198.51.100.1' }), 'repeated');
  assert.equal(repeatedUse(link, { atMs: later, network: '192.0.2.1' }), 'repeated');
  assert.equal(repeatedUse(link, { atMs: later, network: '198.51.100.1' }), 'replayed');
});
