import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { isCodeChallenge, isCodeVerifier, verifierFits } from './pkce.ts';

const challengeOf = (verifier: string) => createHash('sha256').update(verifier).digest('base64url');
const UNRESERVED = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~';
const verifierText = fc.string({ unit: fc.constantFrom(...UNRESERVED), minLength: 43, maxLength: 128 });

test('PK-05 the example of RFC 7636, appendix B', () => {
  const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
  assert.equal(verifierFits(verifier, 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'), true);
});

test('PK-05 a verifier fits its own challenge and, with one character changed, no longer', () => {
  fc.assert(
    fc.property(verifierText, fc.nat(127), fc.constantFrom(...UNRESERVED), (verifier, at, other) => {
      const challenge = challengeOf(verifier);
      assert.equal(isCodeChallenge(challenge), true);
      assert.equal(verifierFits(verifier, challenge), true);
      const index = at % verifier.length;
      const changed = verifier.slice(0, index) + other + verifier.slice(index + 1);
      assert.equal(verifierFits(changed, challenge), changed === verifier);
    }),
  );
});

test('PK-05 a challenge with one character changed is another one', () => {
  const verifier = 'v'.repeat(43);
  const challenge = challengeOf(verifier);
  // The last character carries two unused bits, so only the others are all significant.
  for (let at = 0; at < 42; at++) {
    const changed = challenge.slice(0, at) + (challenge[at] === 'A' ? 'B' : 'A') + challenge.slice(at + 1);
    assert.equal(verifierFits(verifier, changed), false);
  }
});

for (const [what, verifier] of [
  ['42 characters', 'a'.repeat(42)],
  ['129 characters', 'a'.repeat(129)],
  ['nothing', ''],
  ['padding', `${'a'.repeat(43)}=`],
  ['a plus', `${'a'.repeat(43)}+`],
  ['a slash', `${'a'.repeat(43)}/`],
  ['white space', `${'a'.repeat(43)} `],
  ['a line break behind it', `${'a'.repeat(43)}\n`],
  ['a letter past ASCII', `${'a'.repeat(43)}é`],
] as const) {
  test(`PK-06 ${what}: no verifier, even where its hash is right`, () => {
    assert.equal(isCodeVerifier(verifier), false);
    assert.equal(verifierFits(verifier, challengeOf(verifier)), false);
  });
}

test('PK-06 43 and 128 characters are verifiers', () => {
  for (const length of [43, 128]) {
    const verifier = UNRESERVED.repeat(2).slice(0, length);
    assert.equal(verifierFits(verifier, challengeOf(verifier)), true);
  }
});

for (const [what, challenge] of [
  ['42 characters', 'a'.repeat(42)],
  ['44 characters', 'a'.repeat(44)],
  ['padding', `${'a'.repeat(42)}=`],
  ['a plus', `${'a'.repeat(42)}+`],
  ['a tilde', `${'a'.repeat(42)}~`],
  ['a line break', `${'a'.repeat(42)}\n`],
  ['nothing', ''],
] as const) {
  test(`PK-06 ${what}: no challenge`, () => {
    assert.equal(isCodeChallenge(challenge), false);
    assert.equal(verifierFits('a'.repeat(43), challenge), false);
  });
}

test('PK-03 the plain method never fits: a verifier equal to the challenge', () => {
  assert.equal(verifierFits('a'.repeat(43), 'a'.repeat(43)), false);
});
