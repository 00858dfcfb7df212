import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StoreUnavailable } from '../store/store.ts';
import { startTestApp } from './test-app.ts';

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
    const failing = { isPage: () => true, onCredential: () => Promise.reject(new StoreUnavailable('gone')) };
    const { http } = startTestApp({ cleartext: failing });
    const response = await http.plaintextHandler()(new Request('http://x/login?token=a'), { address: '203.0.113.5' });
    assert.equal(response.status, 503);
  });
});
