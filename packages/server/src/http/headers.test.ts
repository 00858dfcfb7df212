import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ALL_PATHS, HTML_PATHS, startTestApp, THROWS } from './testing/app.ts';

describe('headers of every answer', () => {
  test('HD-01 HD-07 HD-08 exactly one HSTS header for a year with subdomains, nosniff, no-referrer, on all of them', async () => {
    const { fetch } = startTestApp();
    for (const path of [...ALL_PATHS, ...THROWS]) {
      for (const method of ['GET', 'POST', 'HEAD', 'OPTIONS']) {
        const { headers } = await fetch(path, { method });
        assert.equal(
          headers.get('strict-transport-security'),
          'max-age=31536000; includeSubDomains',
          `${method} ${path}`,
        );
        assert.equal(headers.get('x-content-type-options'), 'nosniff');
        assert.equal(headers.get('referrer-policy'), 'no-referrer');
        assert.ok(headers.get('cross-origin-resource-policy'));
        assert.match(headers.get('x-request-id') ?? '', /^[\w-]{16}$/);
        assert.equal(headers.get('server') ?? headers.get('x-powered-by'), null);
      }
    }
  });

  test('HD-01 on loopback names HSTS lasts a minute and leaves subdomains alone; HD-03 preload is opt-in', async () => {
    for (const issuer of ['https://localhost:8443', 'https://127.0.0.1', 'https://[::1]:8443']) {
      const { fetch } = startTestApp({ issuer, hstsPreload: true });
      assert.equal((await fetch('/keys')).headers.get('strict-transport-security'), 'max-age=60');
    }
    const { fetch } = startTestApp({ hstsPreload: true });
    const header = (await fetch('/keys')).headers.get('strict-transport-security');
    assert.equal(header, 'max-age=31536000; includeSubDomains; preload');
  });

  test('HD-11 nothing is cached but what says so, and no error ever', async () => {
    const { fetch } = startTestApp();
    assert.equal((await fetch('/keys')).headers.get('cache-control'), 'public, max-age=300');
    for (const path of [...ALL_PATHS, ...THROWS].filter((path) => path !== '/keys')) {
      const { headers } = await fetch(path);
      assert.equal(headers.get('cache-control'), 'no-store', path);
      assert.equal(headers.get('pragma'), 'no-cache', path);
    }
  });

  test('BC-09 HD-05 pages and their errors cannot be framed and run nothing', async () => {
    const { fetch } = startTestApp();
    for (const path of HTML_PATHS) {
      const { headers } = await fetch(path);
      assert.match(headers.get('content-type') ?? '', /^text\/html; charset=utf-8$/i, path);
      const policy = headers.get('content-security-policy') ?? '';
      assert.match(policy, /default-src 'none'.*frame-ancestors 'none'; base-uri 'none'/, path);
      assert.doesNotMatch(policy, /unsafe|script-src/);
      assert.equal(headers.get('x-frame-options'), 'DENY');
      assert.equal(headers.get('cross-origin-opener-policy'), 'same-origin');
      assert.match(headers.get('permissions-policy') ?? '', /camera=\(\)/);
    }
  });

  test('HD-06 a page may let its form lead to its client, and only that page', async () => {
    const { fetch } = startTestApp();
    const policy = (await fetch('/page')).headers.get('content-security-policy') ?? '';
    assert.match(policy, /form-action 'self' https:\/\/client\.example com\.example\.app:;/);
    const other = (await fetch('/throw/page')).headers.get('content-security-policy') ?? '';
    assert.match(other, /form-action 'self';/);
  });

  test('values in pages are escaped', async () => {
    const { fetch } = startTestApp();
    const text = await (await fetch('/page')).text();
    assert.match(text, /&lt;script&gt;/);
    assert.match(text, /Example &lt;Org&gt;/);
    assert.match(text, /href="\/assets\/countersign\.css"/);
  });
});
