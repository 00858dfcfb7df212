import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StoreUnavailable } from '../store/store.ts';
import { startTestApp } from './testing/app.ts';

describe('plain http', () => {
  test('HD-04 OA-01 HD-02 pages are redirected to the issuer, everything else refused; never with HSTS', async () => {
    const { http } = startTestApp();
    const plain = http.plaintextHandler();
    const send = (path: string, init: RequestInit = {}) =>
      plain(new Request(`http://evil.example:8080${path}`, init), { address: '203.0.113.5' });
    const page = await send('//login?client_id=a');
    assert.equal(page.status, 301);
    assert.equal(page.headers.get('location'), 'https://login.example/login?client_id=a');
    for (const [path, method] of [
      ['/token', 'POST'],
      ['/login', 'POST'],
      ['/userinfo', 'GET'],
    ] as const) {
      const response = await send(path, { method });
      assert.equal(response.status, 403);
      assert.equal(response.headers.get('location'), null);
      assert.equal(((await response.json()) as { code: string }).code, 'forbidden.cleartext');
      assert.equal(response.headers.get('strict-transport-security'), null);
    }
    assert.equal(page.headers.get('strict-transport-security'), null);
  });

  test('credentials that came over plain http are handed on before the answer, and not into the redirect', async () => {
    const { http, sightings } = startTestApp();
    const plain = http.plaintextHandler();
    const basic = `Basic ${Buffer.from('a%3Ab:s%2Bcret').toString('base64')}`;
    await plain(
      new Request('http://login.example/token', {
        method: 'POST',
        headers: {
          authorization: basic,
          'content-type': 'application/x-www-form-urlencoded',
          cookie: '__Host-session=s; x=y',
        },
        body: 'grant_type=refresh_token&refresh_token=r1',
      }),
      { address: '203.0.113.5' },
    );
    assert.deepEqual(sightings[0]?.candidates, [
      { kind: 'basic', clientId: 'a:b', clientSecret: 's+cret' },
      { kind: 'parameter', name: 'refresh_token', value: 'r1' },
      { kind: 'cookie', name: '__Host-session', value: 's' },
    ]);
    const link = await plain(new Request('http://login.example/login?token=abc'), { address: '203.0.113.5' });
    assert.equal(link.headers.get('location'), 'https://login.example/login');
    assert.deepEqual(sightings[1]?.candidates, [{ kind: 'parameter', name: 'token', value: 'abc' }]);
    await plain(new Request('http://login.example/login'), { address: '203.0.113.5' });
    assert.equal(sightings.length, 2, 'no candidates, nothing to tell');
  });

  test('many cookies hide no token, neither from the alarm nor from the redirect', async () => {
    const { http, sightings } = startTestApp();
    const cookie = Array.from({ length: 20 }, (_, at) => `__Host-x${at}=1`).join('; ');
    const request = new Request('http://login.example/login?token=abc', { headers: { cookie } });
    const answer = await http.plaintextHandler()(request, { address: '203.0.113.5' });
    assert.equal(answer.headers.get('location'), 'https://login.example/login');
    assert.deepEqual(sightings[0]?.candidates[0], { kind: 'parameter', name: 'token', value: 'abc' });
  });

  test('a session is hidden neither by cookies of others on this host nor by many parameters', async () => {
    const { http, sightings } = startTestApp();
    const others = Array.from({ length: 20 }, (_, at) => `__Host-x${at}=1`).join('; ');
    const query = Array.from({ length: 20 }, (_, at) => `code=${at}`).join('&');
    const headers = { cookie: `${others}; __Host-session=s` };
    const request = new Request(`http://login.example/login?${query}`, { headers });
    await http.plaintextHandler()(request, { address: '203.0.113.5' });
    const candidates = sightings[0]?.candidates ?? [];
    assert.deepEqual(candidates.at(-1), { kind: 'cookie', name: '__Host-session', value: 's' });
    assert.equal(candidates.length, 9);
  });

  test('a token beside a body that is too large, or a URL that is too long, is handed on all the same', async () => {
    const { http, sightings } = startTestApp();
    const plain = http.plaintextHandler();
    const headers = { authorization: 'Bearer abc', 'content-type': 'application/x-www-form-urlencoded' };
    const large = 'x'.repeat(70_000);
    const stream = () => new Blob([large]).stream();
    const requests = [
      new Request('http://login.example/a', {
        method: 'POST',
        headers: { ...headers, 'content-length': '70000' },
        body: large,
      }),
      new Request('http://login.example/a', { method: 'POST', headers, body: stream(), duplex: 'half' } as RequestInit), // Fetch has `duplex`, its types not yet
      new Request(`http://login.example/login?a=${'x'.repeat(11_000)}`, { headers }),
    ];
    for (const [at, request] of requests.entries()) {
      const answer = await plain(request, { address: '203.0.113.5' });
      assert.ok([403, 413, 414].includes(answer.status), String(answer.status));
      assert.deepEqual(sightings[at]?.candidates, [{ kind: 'bearer', token: 'abc' }]);
    }
  });

  test('a token in a JSON body is handed on', async () => {
    const { http, sightings } = startTestApp();
    const plain = http.plaintextHandler();
    const send = (body: string) => {
      const headers = { 'content-type': 'application/json; charset=utf-8' };
      return plain(new Request('http://login.example/a', { method: 'POST', headers, body }), {
        address: '203.0.113.5',
      });
    };
    assert.equal((await send('{"token": "abc", "more": [1], "code": 5}')).status, 403);
    assert.deepEqual(sightings[0]?.candidates, [{ kind: 'parameter', name: 'token', value: 'abc' }]);
    for (const body of ['{"token": "abc"', 'null', '"token"', '['.repeat(60_000)])
      assert.equal((await send(body)).status, 403);
    assert.equal(sightings.length, 1);
  });

  test('a client secret in form or query is handed on together with its client, and not into the redirect', async () => {
    const { http, sightings } = startTestApp();
    const plain = http.plaintextHandler();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const body = 'client_id=a&client_secret=s';
    const peer = { address: '203.0.113.5' };
    await plain(new Request('http://login.example/token', { method: 'POST', headers, body }), peer);
    assert.deepEqual(sightings[0]?.candidates[0], { kind: 'secret', clientId: 'a', clientSecret: 's' });
    const page = await plain(new Request(`http://login.example/login?${body}`), peer);
    assert.equal(page.headers.get('location'), 'https://login.example/login');
    assert.deepEqual(sightings[1]?.candidates[0], { kind: 'secret', clientId: 'a', clientSecret: 's' });
  });

  test('a request that a trusted proxy marks as http is treated the same; from elsewhere the mark means nothing', async () => {
    const { fetch, sightings } = startTestApp();
    const headers = { 'x-forwarded-proto': 'http', 'x-forwarded-for': '1.1.1.1', authorization: 'Bearer abc' };
    const marked = await fetch('/whoami', { headers }, '10.0.0.1');
    assert.equal(marked.status, 403);
    assert.equal(marked.headers.get('strict-transport-security'), null);
    assert.deepEqual(sightings[0]?.candidates, [{ kind: 'bearer', token: 'abc' }]);
    assert.equal(sightings[0]?.peerNetwork, '10.0.0.1');
    assert.equal((await fetch('/whoami', { headers }, '203.0.113.5')).status, 200);
  });

  test('an alarm that cannot be written closes the door instead of opening it', async () => {
    const failing = {
      isPage: () => true,
      credentialCookies: [],
      onCredential: () => Promise.reject(new StoreUnavailable('gone')),
    };
    const { http } = startTestApp({ cleartext: failing });
    const response = await http.plaintextHandler()(new Request('http://x/login?token=a'), { address: '203.0.113.5' });
    assert.equal(response.status, 503);
  });
});
