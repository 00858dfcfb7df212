import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeBase64url } from './base64url.ts';
import { MAX_TOKEN_LENGTH, parseCompact } from './compact.ts';

const HEADER = '{"alg":"ES256","typ":"at+jwt"}';
const CLAIMS = '{"sub":"user_1"}';
const spell = (text: string) => encodeBase64url(new TextEncoder().encode(text));
const token = (header = HEADER, claims = CLAIMS, signature = 'c2ln') =>
  `${spell(header)}.${spell(claims)}.${signature}`;

test('JT-10 a token in its canonical spelling is taken apart', () => {
  const parsed = parseCompact(token());
  assert.deepEqual(parsed, {
    kind: 'compact',
    header: { alg: 'ES256', typ: 'at+jwt' },
    claims: { sub: 'user_1' },
    signingInput: `${spell(HEADER)}.${spell(CLAIMS)}`,
    signature: new TextEncoder().encode('sig'),
  });
});

const plain = fc.dictionary(fc.string(), fc.jsonValue());

test('JT-10 every header and payload that JSON.stringify writes is read back as it was', () => {
  fc.assert(
    fc.property(plain, plain, (header, claims) => {
      const [headerText, claimsText] = [JSON.stringify(header), JSON.stringify(claims)];
      const parsed = parseCompact(token(headerText, claimsText));
      assert.equal(parsed.kind, 'compact');
      assert.equal(parsed.kind === 'compact' && JSON.stringify(parsed.header), headerText);
      assert.equal(parsed.kind === 'compact' && JSON.stringify(parsed.claims), claimsText);
    }),
  );
});

test('JT-10 no other string than the original means the same: one changed character is another token or none', () => {
  const original = token();
  const parsed = parseCompact(original);
  assert.equal(parsed.kind, 'compact');
  const character = fc.constantFrom(...'AQgw-_=. \n+/é0');
  fc.assert(
    fc.property(fc.nat(original.length), fc.nat(2), character, (at, removed, inserted) => {
      const changed = original.slice(0, at) + inserted + original.slice(at + removed);
      if (changed === original) return;
      const other = parseCompact(changed);
      if (other.kind === 'compact') assert.notDeepEqual(other, parsed);
    }),
    { numRuns: 2_000 },
  );
});

const hexToken = (bytes: number[]) => `${encodeBase64url(Uint8Array.from(bytes))}.${spell(CLAIMS)}.c2ln`;

for (const [what, text, why] of [
  ['an empty string', '', 'not_three_segments'],
  ['two segments', 'e30.e30', 'not_three_segments'],
  ['four segments', `${token()}.c2ln`, 'not_three_segments'],
  ['five segments, as an encrypted token has', 'e30.e30.e30.e30.e30', 'not_three_segments'],
  ['an empty signature', 'e30.e30.', 'not_three_segments'],
  ['an empty header', '.e30.c2ln', 'not_three_segments'],
  ['padding', `${token()}=`, 'not_canonical_base64url'],
  ['white space around it', ` ${token()}`, 'not_canonical_base64url'],
  ['a line break behind it', `${token()}\n`, 'not_canonical_base64url'],
  ['a signature with trailing bits', token(HEADER, CLAIMS, 'AB'), 'not_canonical_base64url'],
  ['a duplicate member', token('{"alg":"none","alg":"ES256"}'), 'not_canonical_json'],
  ['white space inside the JSON', token('{ "alg":"ES256"}'), 'not_canonical_json'],
  ['trailing bytes after the JSON', token(`${HEADER}x`), 'not_canonical_json'],
  ['an escaped letter', token('{"al\\u0067":"ES256"}'), 'not_canonical_json'],
  ['another spelling of a number', token(HEADER, '{"exp":1e3}'), 'not_canonical_json'],
  ['an array for a payload', token(HEADER, '[]'), 'not_canonical_json'],
  ['null for a payload', token(HEADER, 'null'), 'not_canonical_json'],
  ['a string for a header', token('"x"'), 'not_canonical_json'],
  ['a byte order mark', token(`\ufeff${HEADER}`), 'not_canonical_json'],
  ['bytes that are not UTF-8', hexToken([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'not_canonical_json'],
  ['the JSON serialization', '{"payload":"e30","signatures":[]}', 'not_three_segments'],
] as const) {
  test(`JT-10 JT-18 ${what} is malformed: ${why}`, () =>
    assert.deepEqual(parseCompact(text), { kind: 'malformed', why }));
}

test('JT-10 length is judged before anything else is done with a token', () => {
  const fitting = token(HEADER, CLAIMS, 'A'.repeat(MAX_TOKEN_LENGTH - token(HEADER, CLAIMS, '').length));
  assert.equal(fitting.length, MAX_TOKEN_LENGTH);
  assert.notDeepEqual(parseCompact(fitting), { kind: 'malformed', why: 'too_long' });
  assert.deepEqual(parseCompact(`${fitting}A`), { kind: 'malformed', why: 'too_long' });
  assert.deepEqual(parseCompact('x'.repeat(1_000_000)), { kind: 'malformed', why: 'too_long' });
});

test('a member named __proto__ is a member like any other', () => {
  const parsed = parseCompact(token('{"__proto__":{"alg":"none"}}'));
  assert.equal(parsed.kind === 'compact' && parsed.header.alg, undefined);
  assert.deepEqual(parsed.kind === 'compact' && Object.keys(parsed.header), ['__proto__']);
});
