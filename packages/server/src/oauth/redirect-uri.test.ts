import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isSameRedirectUri, redirectUriProblem, withParameters } from './redirect-uri.ts';

const REGISTERED = 'https://app.example/cb/done?tenant=1';

test('OA-06 the registered URI itself is the registered URI', () => {
  assert.equal(isSameRedirectUri(REGISTERED, REGISTERED), true);
});

for (const [what, requested] of [
  ['a trailing slash', 'https://app.example/cb/done/?tenant=1'],
  ['no query', 'https://app.example/cb/done'],
  ['an extra query parameter', `${REGISTERED}&next=evil`],
  ['a fragment', `${REGISTERED}#x`],
  ['an empty fragment', `${REGISTERED}#`],
  ['upper case in the path', 'https://app.example/CB/done?tenant=1'],
  ['upper case in the host', 'https://APP.example/cb/done?tenant=1'],
  ['upper case in the scheme', 'HTTPS://app.example/cb/done?tenant=1'],
  ['http', 'http://app.example/cb/done?tenant=1'],
  ['the default port', 'https://app.example:443/cb/done?tenant=1'],
  ['another port', 'https://app.example:8443/cb/done?tenant=1'],
  ['a dot segment', 'https://app.example/cb/./done?tenant=1'],
  ['path traversal', 'https://app.example/cb/x/../done?tenant=1'],
  ['an encoded letter', 'https://app.example/cb/%64one?tenant=1'],
  ['an encoded slash', 'https://app.example/cb%2Fdone?tenant=1'],
  ['user information', 'https://app.example@evil.example/cb/done?tenant=1'],
  ['a host that begins alike', 'https://app.example.evil.example/cb/done?tenant=1'],
  ['a subdomain', 'https://x.app.example/cb/done?tenant=1'],
  ['a trailing dot in the host', 'https://app.example./cb/done?tenant=1'],
  ['a backslash', 'https://app.example\\@evil.example/cb/done?tenant=1'],
  ['white space behind it', `${REGISTERED} `],
  ['a line break behind it', `${REGISTERED}\n`],
  ['nothing at all', ''],
] as const) {
  test(`OA-06 ${what}: another URI`, () => assert.equal(isSameRedirectUri(requested, REGISTERED), false));
}

test('OA-06 one changed character, wherever, is another URI', () => {
  const character = fc.string({ unit: 'binary-ascii', maxLength: 2 });
  fc.assert(
    fc.property(fc.nat(REGISTERED.length), fc.nat(2), character, (at, removed, inserted) => {
      const requested = REGISTERED.slice(0, at) + inserted + REGISTERED.slice(at + removed);
      assert.equal(isSameRedirectUri(requested, REGISTERED), requested === REGISTERED);
    }),
    { numRuns: 1_000 },
  );
});

test('ND-01 a loopback registration meets any port', () => {
  for (const host of ['127.0.0.1', '[::1]', 'localhost']) {
    for (const registered of [`http://${host}/cb?x=1`, `http://${host}:5000/cb?x=1`]) {
      for (const port of ['', ':1', ':5000', ':65535']) {
        assert.equal(isSameRedirectUri(`http://${host}${port}/cb?x=1`, registered), true, `${registered} ${port}`);
      }
    }
  }
});

for (const [what, requested] of [
  ['another path', 'http://127.0.0.1:5000/cb2'],
  ['a longer path', 'http://127.0.0.1:5000/cb/'],
  ['no path', 'http://127.0.0.1:5000'],
  ['a query', 'http://127.0.0.1:5000/cb?x=1'],
  ['a fragment', 'http://127.0.0.1:5000/cb#x'],
  ['another loopback name', 'http://localhost:5000/cb'],
  ['another spelling of the address', 'http://127.1:5000/cb'],
  ['another loopback address', 'http://127.0.0.2:5000/cb'],
  ['https', 'https://127.0.0.1:5000/cb'],
  ['a port beyond all', 'http://127.0.0.1:99999/cb'],
  ['a port that is none', 'http://127.0.0.1:x/cb'],
  ['user information that looks like a port', 'http://127.0.0.1:5000@evil.example/cb'],
  ['a host that begins alike', 'http://127.0.0.1.evil.example/cb'],
] as const) {
  test(`ND-01 beside the port nothing is free: ${what}`, () => {
    assert.equal(isSameRedirectUri('http://127.0.0.1:5001/cb', 'http://127.0.0.1:1234/cb'), true);
    assert.equal(isSameRedirectUri(requested, 'http://127.0.0.1:1234/cb'), false);
  });
}

test('ND-01 no other host has a free port', () => {
  assert.equal(isSameRedirectUri('https://app.example:1/cb', 'https://app.example/cb'), false);
  assert.equal(isSameRedirectUri('http://192.168.0.1:1/cb', 'http://192.168.0.1/cb'), false);
});

for (const uri of [
  'https://app.example/cb',
  'https://app.example',
  'https://app.example:8443/cb?a=1&b=%20',
  'http://127.0.0.1/cb',
  'http://127.0.0.1:8080/cb',
  'http://[::1]/cb',
  'http://localhost:3000/cb',
  'com.example.app:/cb',
]) {
  test(`OA-07 ${uri} can be registered`, () => assert.equal(redirectUriProblem(uri), undefined));
}

for (const [what, uri] of [
  ['plain http', 'http://app.example/cb'],
  ['plain http to a private address', 'http://192.168.0.1/cb'],
  ['a host that only looks like loopback', 'http://localhost.evil.example/cb'],
  ['a fragment', 'https://app.example/cb#f'],
  ['an empty fragment', 'https://app.example/cb#'],
  ['javascript', 'javascript:alert(1)'],
  ['javascript with a period in it', 'javascript:a.b()'],
  ['data', 'data:text/html,x'],
  ['file', 'file:///etc/passwd'],
  ['ftp', 'ftp://app.example/cb'],
  ['a scheme of its own without a domain', 'myapp:/cb'],
  ['nothing', ''],
  ['a path', '/cb'],
  ['a network path', '//app.example/cb'],
  ['no slashes', 'https:app.example/cb'],
  ['one slash', 'https:/app.example/cb'],
  ['a backslash', 'https://app.example\\cb'],
  ['a user', 'https://user@app.example/cb'],
  ['a user with a password', 'https://user:password@app.example/cb'],
  ['a wildcard host', 'https://*.app.example/cb'],
  ['a wildcard path', 'https://app.example/*'],
  ['path traversal', 'https://app.example/a/../cb'],
  ['white space', 'https://app.example/c b'],
  ['a line break', 'https://app.example/cb\nX-Header: 1'],
  ['a control character', 'https://app.example/cb\u0001'],
  ['a letter past ASCII, which no Location header can hold', 'https://app.example/→'],
  ['an upper-case scheme', 'HTTPS://app.example/cb'],
  ['2,001 characters', `https://app.example/${'a'.repeat(1_981)}`],
] as const) {
  test(`OA-07 ${what}: cannot be registered`, () => assert.equal(typeof redirectUriProblem(uri), 'string'));
}

test('OA-07 whatever can be registered goes into a Location header, and back as the same URI', () => {
  const anything = fc.oneof(fc.webUrl({ withQueryParameters: true }), fc.string({ unit: 'binary' }));
  const tail = anything.map((text) => `https://app.example/${text}`);
  fc.assert(
    fc.property(fc.oneof(tail, anything), (uri) => {
      if (redirectUriProblem(uri) !== undefined) return;
      const location = withParameters(uri, { code: 'c', iss: 'https://auth.example' });
      assert.equal(new Headers({ location }).get('location'), location);
      assert.equal(isSameRedirectUri(uri, uri), true);
      assert.equal(new URL(location).origin, new URL(uri).origin);
    }),
    { numRuns: 500 },
  );
});

test('OA-07 an existing query is kept as it is, and what is added is encoded', () => {
  assert.equal(
    withParameters('https://x.example/cb?a=1', { code: 'c d&e', state: undefined }),
    'https://x.example/cb?a=1&code=c+d%26e',
  );
  assert.equal(withParameters('https://x.example/cb', { state: '#\r\n' }), 'https://x.example/cb?state=%23%0D%0A');
});
