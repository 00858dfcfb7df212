import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRandom } from '../world/random.ts';
import { makeCode, readCode, spacedCode } from './code.ts';

test('ML-07 codes have six of 31 characters, and all of them occur', () => {
  const seen = new Set<string>();
  for (let i = 0; i < 500; i++) {
    const code = makeCode(systemRandom);
    assert.match(code, /^[2-9A-HJKMNP-Z]{6}$/);
    for (const character of code) seen.add(character);
  }
  assert.equal(seen.size, 31);
});

test('bytes that would favour some characters are drawn again', () => {
  const draws = [new Uint8Array(12).fill(255), new Uint8Array(12).fill(248), new Uint8Array(12).fill(247)];
  const random = { bytes: () => draws.shift() ?? new Uint8Array(12) };
  assert.equal(makeCode(random), 'ZZZZZZ');
});

test('a code is read however it was typed', () => {
  for (const text of ['ABC-DEF', 'abcdef', ' abc def ', 'ABC\u2013DEF', 'a-b-c-d-e-f']) {
    assert.equal(readCode(text), 'ABCDEF', text);
  }
  assert.equal(spacedCode('ABCDEF'), 'ABC-DEF');
});

test('what cannot be a code is not one', () => {
  for (const text of ['', 'ABCDE', 'ABCDEFG', 'ABCDE0', 'ABCDEI', 'ABCDE\u017f', 'ABCDE\u0130', 'ABCDE%']) {
    assert.equal(readCode(text), undefined, text);
  }
});
