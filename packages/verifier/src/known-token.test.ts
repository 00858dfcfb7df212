import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessTokenClaims, Handles } from '@countersign/protocol';
import { KnownTokens } from './known-token.ts';

/** As JSON gives them: no two claim sets share an object. */
function claimsWith(members: object = {}): AccessTokenClaims {
  const claims = {
    ...{ iss: 'https://login.example', sub: 'user_1', aud: 'https://api.example', client_id: 'oauth2client_app' },
    ...{ jti: 'acctok_1', iat: 1, exp: 901, eb: 'bucket', scope: 'accounts:read', amr: ['email'] },
    ...members,
  };
  return JSON.parse(JSON.stringify(claims)) as AccessTokenClaims;
}

test('claims that callers see are without the entropy bucket and read-only all the way down', () => {
  const { eb: _, ...expected } = claimsWith();
  const claims = new KnownTokens().publicClaims(claimsWith());
  assert.deepEqual(claims, expected);
  assert.ok(Object.isFrozen(claims) && Object.isFrozen(claims.amr));
});

test('ways of logging in are kept once for all tokens that name the same ones in the same order', () => {
  const tokens = new KnownTokens();
  const [first, second] = [tokens.publicClaims(claimsWith()), tokens.publicClaims(claimsWith())];
  assert.equal(first.amr, second.amr);
  const both = tokens.publicClaims(claimsWith({ amr: ['email', 'otp'] }));
  assert.deepEqual(both.amr, ['email', 'otp']);
  assert.deepEqual(tokens.publicClaims(claimsWith({ amr: ['otp', 'email'] })).amr, ['otp', 'email']);
  assert.deepEqual(tokens.publicClaims(claimsWith({ amr: ['email,otp'] })).amr, ['email,otp']);
});

test('a list that is too long, or holds something else than texts, is the token’s own', () => {
  const tokens = new KnownTokens();
  for (const amr of [['x'.repeat(2_000)], [{ email: true }], 'email']) {
    const [first, second] = [tokens.publicClaims(claimsWith({ amr })), tokens.publicClaims(claimsWith({ amr }))];
    assert.deepEqual(first.amr, amr);
    if (typeof amr !== 'string') assert.notEqual(first.amr, second.amr);
  }
});

test('scopes are kept once for all tokens that have the same ones, unless they are long: a key’s thief chooses them', () => {
  const tokens = new KnownTokens();
  const scopesOf = (scope: string) => {
    const claims = tokens.publicClaims(claimsWith({ scope }));
    return tokens.known({ kind: 'accepted', basis: 'signature', claims, expiresAtMs: 1 }).scopes;
  };
  assert.equal(scopesOf('accounts:read pay'), scopesOf('accounts:read pay'));
  assert.deepEqual([...scopesOf('accounts:read pay')], ['accounts:read', 'pay']);
  const [longest, longer] = ['x'.repeat(1_024), 'x'.repeat(1_025)];
  assert.equal(scopesOf(longest), scopesOf(longest));
  assert.notEqual(scopesOf(longer), scopesOf(longer));
  assert.deepEqual([...scopesOf(longer)], [longer]);
});

test('handles are the given ones, those left out stay out, and nobody can change them', () => {
  const tokens = new KnownTokens();
  const all: Handles = { token: 't', grant: 'g', client: 'c', user: 'u', key: 'k' };
  const some: Handles[] = [
    all,
    { token: 't', client: 'c', key: 'k' },
    { token: 't', client: 'c', key: 'k', user: 'u' },
  ];
  for (const handles of some) {
    const shared = tokens.sharedHandles(handles);
    assert.deepEqual(shared, handles);
    assert.deepEqual(Object.keys(shared).sort(), Object.keys(handles).sort());
    assert.ok(Object.isFrozen(shared));
  }
});
