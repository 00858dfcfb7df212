import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_BODY_BYTES } from './http.ts';
import { SECRET, startTestApp } from './testing/app.ts';

describe('methods and paths', () => {
  test('HT-02 OA-02 a known path with another method is 405 with Allow; an unknown one 404; TRACE is refused', async () => {
    const { fetch, app } = startTestApp();
    const allow = async (path: string, method: string) => {
      const response = await fetch(path, { method });
      return [response.status, response.headers.get('allow')];
    };
    assert.deepEqual(await allow('/token', 'GET'), [405, 'POST']);
    assert.deepEqual(await allow('/token', 'PUT'), [405, 'POST']);
    assert.deepEqual(await allow('/token', 'OPTIONS'), [405, 'POST']);
    assert.deepEqual(await allow('/whoami', 'POST'), [405, 'GET, HEAD']);
    assert.deepEqual(await allow('/throw/page', 'DELETE'), [405, 'GET, HEAD']);
    assert.deepEqual(await allow('/nothing', 'POST'), [404, null]);
    const head = await fetch('/whoami', { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), '');
    const trace = Object.defineProperty(new Request('https://login.example/whoami'), 'method', { value: 'TRACE' });
    assert.equal((await app.fetch(trace, {})).status, 405);
  });

  test('double and trailing slashes mean the same path, without a redirect', async () => {
    const { fetch } = startTestApp();
    for (const path of ['//whoami', '/whoami/', '//whoami//', '/whoami/?x=1']) {
      assert.equal((await fetch(path)).status, 200, path);
    }
  });

  test('an issuer with a path is reached with and without it', async () => {
    const { fetch } = startTestApp({ issuer: 'https://login.example/auth' });
    assert.equal((await fetch('/auth/whoami')).status, 200);
    assert.equal((await fetch('/whoami')).status, 200);
    assert.equal((await fetch('/authwhoami')).status, 404);
    assert.match(await (await fetch('/auth/page')).text(), /href="\/auth\/assets/);
  });

  test('DP-04 HT-02 a URL or body that is too long is refused', async () => {
    const { fetch } = startTestApp();
    assert.equal((await fetch(`/whoami?${'x'.repeat(11_000)}`)).status, 414);
    const body = `a=${'x'.repeat(MAX_BODY_BYTES)}`;
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const declared = await fetch('/token', {
      method: 'POST',
      body,
      headers: { ...headers, 'content-length': String(body.length) },
    });
    assert.equal(declared.status, 413);
    const stream = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(16_384).fill(97)),
    });
    const chunked = await fetch('/token', { method: 'POST', body: stream, headers, duplex: 'half' } as RequestInit);
    assert.equal(chunked.status, 413);
    assert.equal(((await chunked.json()) as { code: string }).code, 'bad_request.body_too_large');
  });
});

describe('who asks', () => {
  const context = async (response: Response) => (await response.json()) as Record<string, unknown>;

  test('DP-05 SC-08 X-Forwarded-For counts only from a trusted proxy, and only its right-most untrusted hop', async () => {
    const { fetch } = startTestApp();
    const from = async (address: string, forwarded: string) =>
      (await context(await fetch('/whoami', { headers: { 'x-forwarded-for': forwarded } }, address))).address;
    assert.equal(await from('203.0.113.5', '1.1.1.1'), '203.0.113.5');
    assert.equal(await from('10.0.0.1', '1.1.1.1'), '1.1.1.1');
    assert.equal(await from('::ffff:10.0.0.1', '9.9.9.9, 1.1.1.1, 10.2.2.2'), '1.1.1.1');
    assert.equal(await from('10.0.0.1', '1.1.1.1:4711'), '1.1.1.1');
    assert.equal(await from('10.0.0.1', '[2001:DB8::1]:4711'), '2001:db8::1');
    assert.equal(await from('10.0.0.1', '1.1.1.1, garbage'), '10.0.0.1');
    assert.equal(await from('10.0.0.1', ''), '10.0.0.1');
  });

  test('SC-08 no header moves the issuer: Host and X-Forwarded-Host are never used', async () => {
    const { http, app } = startTestApp();
    const headers = { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'http', host: 'evil.example' };
    const request = new Request('https://evil.example/login?x=1', { headers });
    const response = await http.handler(app)(request, { address: '10.0.0.1' });
    assert.equal(response.headers.get('location'), 'https://login.example/login?x=1');
  });

  test('LG-04 the user agent is printable and short', async () => {
    const { fetch } = startTestApp();
    const { userAgent } = await context(
      await fetch('/whoami', { headers: { 'user-agent': `a\tb${'x'.repeat(500)}` } }),
    );
    assert.match(String(userAgent), /^[ -~]{1,200}$/);
  });

  test('a request log line has the route and no query, no path and no address of one host', async () => {
    const { fetch, lines } = startTestApp();
    await fetch(`/throw/page?token=${SECRET}`, {}, '2001:db8::5');
    await fetch(`/${SECRET}`);
    const requests = lines.filter(({ message }) => message === 'request').map(({ fields }) => fields);
    assert.deepEqual(
      requests.map(({ route }) => route),
      ['/throw/:what', 'unmatched'],
    );
    assert.equal(requests[0]?.network, '2001:db8::/64');
    assert.doesNotMatch(JSON.stringify(lines), new RegExp(SECRET));
  });
});
