import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browserName, placeName } from './requester.ts';

test('browsers are named by words of ours', () => {
  const named: [string, string][] = [
    ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'Firefox on Linux'],
    [
      'Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36',
      'Chrome on Windows',
    ],
    ['Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0', 'Edge on Windows'],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605 Version/19.0 Safari/604.1',
      'Safari on iPhone',
    ],
    ['curl/8.5.0', 'an unknown browser'],
    ['Your account is locked, call 555', 'an unknown browser'],
  ];
  for (const [userAgent, name] of named) assert.equal(browserName(userAgent), name);
});

test('ML-14 places are networks, not addresses', () => {
  assert.equal(placeName('203.0.113.77'), '203.0.113.0/24');
  assert.equal(placeName('2001:db8:1:2::/64'), '2001:db8:1::/48');
  assert.equal(placeName('::ffff:203.0.113.77'), '203.0.113.0/24');
  assert.equal(placeName('unknown'), 'an unknown network');
});
