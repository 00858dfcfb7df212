import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bearerChallenge, bothChallenges, dpopChallenge } from './challenge.ts';
import { PROOF_ALGORITHMS } from './proof/algorithms.ts';

const ALGS = 'algs="ES256 Ed25519 EdDSA PS256 RS256"';

test('attributes stand in a fixed order, only those given', () => {
  assert.equal(bearerChallenge({ realm: 'r' }), 'Bearer realm="r"');
  assert.equal(
    bearerChallenge({ realm: 'r', error: 'insufficient_scope', description: 'No.', scopes: ['a', 'b:c'] }),
    'Bearer realm="r", error="insufficient_scope", error_description="No.", scope="a b:c"',
  );
  assert.equal(bearerChallenge({ realm: 'r', scopes: [] }), 'Bearer realm="r"');
});

test('BR-06 no value can end its quotes, add an attribute or break the header', () => {
  const anything = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(anything, anything, fc.array(anything), (realm, description, scopes) => {
      const challenge = bearerChallenge({ realm, error: 'invalid_token', description, scopes });
      const attribute = '"[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*"';
      assert.match(
        challenge,
        new RegExp(
          `^Bearer realm=${attribute}, error="invalid_token"(, error_description=${attribute})?(, scope=${attribute})?$`,
        ),
      );
    }),
  );
});

test('SC-01 the DPoP challenge names the algorithms of proofs, all of them asymmetric', () => {
  assert.equal(dpopChallenge({ realm: 'r' }), `DPoP realm="r", ${ALGS}`);
  assert.equal(
    dpopChallenge({ realm: 'r', error: 'invalid_dpop_proof', description: 'No.' }),
    `DPoP realm="r", error="invalid_dpop_proof", error_description="No.", ${ALGS}`,
  );
  assert.ok(PROOF_ALGORITHMS.every((alg) => /^(?:ES|PS|RS)\d{3}$|^Ed/.test(alg)));
});

test('the login that a resource asks for stands in the challenge (RFC 9470 §3)', () => {
  const asked = { error: 'insufficient_user_authentication', acrValues: ['a', 'urn:b'], maxAgeSeconds: 5 } as const;
  const attributes = 'error="insufficient_user_authentication", acr_values="a urn:b", max_age="5"';
  assert.equal(bearerChallenge({ realm: 'r', ...asked }), `Bearer realm="r", ${attributes}`);
  assert.equal(dpopChallenge({ realm: 'r', ...asked }), `DPoP realm="r", ${attributes}, ${ALGS}`);
  assert.equal(bearerChallenge({ realm: 'r', acrValues: [], maxAgeSeconds: 0 }), 'Bearer realm="r", max_age="0"');
});

test('both challenges stand in one value, the error with the scheme that was tried (RFC 9449 §7.2)', () => {
  const dpop = `DPoP realm="r", ${ALGS}`;
  const invalid = { realm: 'r', error: 'invalid_token' } as const;
  assert.equal(bothChallenges({ realm: 'r' }), `Bearer realm="r", ${dpop}`);
  assert.equal(bothChallenges(invalid, 'Bearer'), `Bearer realm="r", error="invalid_token", ${dpop}`);
  const dpopError = `DPoP realm="r", error="invalid_token", ${ALGS}`;
  assert.equal(bothChallenges(invalid, 'DPoP'), `Bearer realm="r", ${dpopError}`);
  assert.equal(bothChallenges(invalid), `Bearer realm="r", error="invalid_token", ${dpopError}`);
});

test('BR-06 no value can end its quotes or add a challenge beside it', () => {
  const anything = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(anything, fc.array(anything, { minLength: 1 }), (realm, acrValues) => {
      const attribute = '"[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*"';
      const challenge = bothChallenges({ realm, acrValues }, 'DPoP');
      const shape = `^Bearer realm=${attribute}, DPoP realm=${attribute}, acr_values=${attribute}, algs=${attribute}$`;
      assert.match(challenge, new RegExp(shape));
    }),
  );
});
