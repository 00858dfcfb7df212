import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  accessTokenClaims,
  CLOCK_LEEWAY_SECONDS,
  isAccessTokenType,
  MAX_ACCESS_TOKEN_LIFETIME_SECONDS,
} from './tokens.ts';
import { isVerdict, VERDICTS } from './verdicts.ts';

const ISSUER = 'https://auth.example';
const AUDIENCE = 'https://api.example';
const IAT = 1_800_000_000;
const CLAIMS = {
  iss: ISSUER,
  sub: 'user_1',
  aud: AUDIENCE,
  client_id: 'oauth2client_1',
  jti: 'acctok_0000BClZAZ5nrFV6w8sQbq',
  iat: IAT,
  exp: IAT + 900,
  eb: 'A'.repeat(64),
  scope: 'accounts:read',
};

function read(claims: Record<string, unknown>, nowSeconds = IAT + 1): string {
  return accessTokenClaims(claims, { issuer: ISSUER, audiences: [AUDIENCE], nowMs: nowSeconds * 1_000 }).kind;
}

test('JT-02 the claims of a token as it is issued are read', () => {
  assert.deepEqual(accessTokenClaims(CLAIMS, { issuer: ISSUER, audiences: ['x', AUDIENCE], nowMs: IAT * 1_000 }), {
    kind: 'claims',
    claims: CLAIMS,
  });
});

for (const name of Object.keys(CLAIMS)) {
  test(`JT-02 without ${name}, or with another type in it, nobody issued it`, () => {
    assert.equal(read(CLAIMS), 'claims');
    const { [name as keyof typeof CLAIMS]: _, ...rest } = CLAIMS;
    assert.equal(read(rest), 'impossible');
    for (const value of [null, [], {}, true, '', '1800000000', 1.5, -1]) {
      if (typeof value === 'string' && typeof CLAIMS[name as keyof typeof CLAIMS] === 'string') continue;
      if (value === -1 && name === 'iat') continue; // a number, and the life it makes is too long: said below
      assert.equal(read({ ...CLAIMS, [name]: value }), 'impossible', `${name}: ${JSON.stringify(value)}`);
    }
  });
}

for (const [what, changed, expected] of [
  ['another issuer under our key', { iss: 'https://evil.example' }, 'impossible'],
  ['the issuer in another spelling', { iss: `${ISSUER}/` }, 'impossible'],
  ['a life longer than any', { exp: IAT + MAX_ACCESS_TOKEN_LIFETIME_SECONDS + 1 }, 'impossible'],
  ['the longest life there is', { exp: IAT + MAX_ACCESS_TOKEN_LIFETIME_SECONDS }, 'claims'],
  ['an issue before 1970', { iat: -1 }, 'impossible'],
  ['an end at its beginning', { exp: IAT }, 'impossible'],
  ['an nbf, which is never written', { nbf: IAT }, 'impossible'],
  ['several audiences', { aud: [AUDIENCE] }, 'impossible'],
  ['a key it is bound to', { cnf: { jkt: 'thumbprint' } }, 'claims'],
  ['a binding of another kind', { cnf: {} }, 'claims'],
  ['null as its binding', { cnf: null }, 'impossible'],
  ['text as its binding', { cnf: 'thumbprint' }, 'impossible'],
  ['a list as its binding', { cnf: [] }, 'impossible'],
  ['a thumbprint that is a number', { cnf: { jkt: 5 } }, 'impossible'],
  ['a thumbprint that is null', { cnf: { jkt: null } }, 'impossible'],
  ['another audience', { aud: 'https://other.example' }, 'wrong_audience'],
] as const) {
  test(`JT-03 JT-12 ${what}: ${expected}`, () => assert.equal(read({ ...CLAIMS, ...changed }), expected));
}

test('JT-12 exp and iat hold to the second, with the leeway and no more', () => {
  const until = CLAIMS.exp + CLOCK_LEEWAY_SECONDS;
  assert.equal(read(CLAIMS, until - 0.001), 'claims');
  assert.equal(read(CLAIMS, until), 'expired');
  assert.equal(read(CLAIMS, IAT - CLOCK_LEEWAY_SECONDS), 'claims');
  assert.equal(read(CLAIMS, IAT - CLOCK_LEEWAY_SECONDS - 0.001), 'not_yet_valid');
  assert.ok(CLOCK_LEEWAY_SECONDS <= 60);
});

test('JT-12 once expired, a token stays expired', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000 }), fc.nat(1_000_000), (first, later) => {
      if (read(CLAIMS, IAT + first) === 'expired') assert.equal(read(CLAIMS, IAT + first + later), 'expired');
    }),
  );
});

test('JT-01 at+jwt is a media type: any case, with or without application/; nothing else is one', () => {
  for (const typ of ['at+jwt', 'AT+JWT', 'at+JWT', 'application/at+jwt', 'Application/AT+jwt']) {
    assert.equal(isAccessTokenType(typ), true, typ);
  }
  for (const typ of [
    undefined,
    null,
    '',
    'JWT',
    'jwt',
    'rt+jwt',
    'ml+jwt',
    'at+jwt ',
    'at+jwt\n',
    'text/at+jwt',
    ['at+jwt'],
  ]) {
    assert.equal(isAccessTokenType(typ), false, JSON.stringify(typ));
  }
});

test('a verdict is one of seven words', () => {
  for (const verdict of VERDICTS) assert.equal(isVerdict(verdict), true);
  for (const word of ['', 'Live', 'toString', undefined, null, 0, ['live']]) assert.equal(isVerdict(word), false);
  assert.equal(VERDICTS.length, 7);
});
