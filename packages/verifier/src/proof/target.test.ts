import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSameTarget } from './target.ts';

test('SC-02 addresses that mean the same are the same (RFC 3986 §6.2.2, §6.2.3)', () => {
  for (const [htu, url] of [
    ['HTTPS://API.Example/a', 'https://api.example/a'],
    ['https://api.example:443/a', 'https://api.example/a'],
    ['http://api.example:80', 'http://api.example/'],
    ['https://api.example', 'https://api.example/?q'],
    ['https://api.example/a/./b/../c', 'https://api.example/a/c'],
    ['https://api.example/%7euser/%3a%3A', 'https://api.example/~user/%3A%3a'],
    ['https://api.example/a#f', 'https://api.example/a?x=1'],
    ['https://[2001:DB8::0:1]/', 'https://[2001:db8::1]/'],
    ['https://api.example/100%', 'https://api.example/100%'],
  ] as const) {
    assert.equal(isSameTarget(htu, url), true, htu);
    assert.equal(isSameTarget(url, htu), true, url);
  }
});

test('SC-02 addresses that mean something else are not', () => {
  for (const [htu, url] of [
    ['http://api.example/a', 'https://api.example/a'],
    ['https://api.example:8443/a', 'https://api.example/a'],
    ['https://api.example/A', 'https://api.example/a'],
    ['https://api.example/a/', 'https://api.example/a'],
    ['https://api.example/a%2Fb', 'https://api.example/a/b'],
    ['https://api.example//a', 'https://api.example/a'],
    ['https://api.example./a', 'https://api.example/a'],
    ['https://user@api.example/a', 'https://api.example/a'],
    ['https://api.example\\@evil.example/a', 'https://evil.example/a'],
    ['https://api.example\\a', 'https://api.example/a'],
    [' https://api.example/a', 'https://api.example/a'],
    ['https://api.exa\tmple/a', 'https://api.example/a'],
    ['https:api.example/a', 'https://api.example/a'],
    ['ws://api.example/a', 'ws://api.example/a'],
    ['/a', '/a'],
    ['https://', 'https://'],
  ] as const) {
    assert.equal(isSameTarget(htu, url), false, htu);
    assert.equal(isSameTarget(url, htu), false, url);
  }
});

test('long addresses are compared in linear time', () => {
  const long = `https://api.example/${'%7e'.repeat(1_000_000)}`;
  const startedAtMs = performance.now();
  assert.equal(isSameTarget(long, `https://api.example/${'~'.repeat(1_000_000)}`), true);
  assert.ok(performance.now() - startedAtMs < 5_000);
});
