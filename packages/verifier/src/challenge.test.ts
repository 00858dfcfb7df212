import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assertScopes, bearerChallenge } from './challenge.ts';

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

test('scopes no token can carry are refused', () => {
  assertScopes([]);
  assertScopes(['accounts:read', 'a/b', '!']);
  for (const scope of ['', 'a b', 'a"', 'a\\', 'é', 'a\n']) assert.throws(() => assertScopes([scope]), TypeError);
});
