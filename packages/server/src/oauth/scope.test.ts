import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isScopeToken, isSubset, parseScope } from './scope.ts';

test('a scope is words with single spaces between, repeats dropped, order kept', () => {
  assert.deepEqual(parseScope('openid accounts:read openid'), ['openid', 'accounts:read']);
  for (const bad of ['', ' ', 'a  b', ' a', 'a ', 'a\tb', 'a\nb', 'é', '"a"', 'a\\b', 'x'.repeat(101)]) {
    assert.equal(parseScope(bad), undefined, JSON.stringify(bad));
  }
});

test('whatever is parsed is made of scope words and spells the same again', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const words = parseScope(text);
      if (!words) return;
      assert.ok(words.every(isScopeToken));
      assert.deepEqual(parseScope(words.join(' ')), words);
      assert.equal(isSubset(words, [...words].reverse()), true);
    }),
  );
});

test('one word beyond what was granted is beyond what was granted', () => {
  assert.equal(isSubset(['a', 'b'], ['a', 'b', 'c']), true);
  assert.equal(isSubset([], []), true);
  assert.equal(isSubset(['a', 'd'], ['a', 'b', 'c']), false);
  assert.equal(isSubset(['A'], ['a']), false);
});
