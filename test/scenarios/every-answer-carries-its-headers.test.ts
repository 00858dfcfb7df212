import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { connect } from 'node:tls';
import { startTestServer, type TestServer } from '@countersign/testkit';
import { EventStream } from './event-stream.ts';
import { linesOf, type RawAnswer, rawRequest } from './raw-request.ts';

const LOOPBACK_HSTS = 'max-age=60';
const HSTS = 'max-age=31536000; includeSubDomains';
/** What anybody may keep: it holds nothing of anyone. */
const PUBLIC = /^\/(\.well-known\/|assets\/)/;

const server = await startTestServer();
after(() => server.close());
const { client, secret } = await server.addClient({ allowedOrigins: ['https://app.example'] });
const browser = await server.logIn('ada@example.com');
const tokens = await server.obtainTokens({ browser, client, secret, scope: 'openid offline_access' });
const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');

interface Seen {
  what: string;
  path: string;
  answer: RawAnswer;
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

/** Every route as nobody, as somebody, with nonsense, by a wrong method, from another origin; and what is no route at all. */
async function crawl(of: TestServer): Promise<Seen[]> {
  const seen: Seen[] = [];
  const ask = async (what: string, asked: Parameters<typeof rawRequest>[1]) => {
    const path = asked.path.split('?')[0] ?? '';
    seen.push({
      what: `${what}: ${asked.method ?? 'GET'} ${path}`,
      path,
      answer: await rawRequest(of.tlsOrigin, asked),
    });
  };
  const own = {
    cookie,
    authorization: `Bearer ${tokens.access_token}`,
    origin: of.issuer,
    'sec-fetch-site': 'same-origin',
  };
  for (const { method, path: pattern } of of.routes) {
    const path = pattern.replace(/:\w+/g, 'x');
    const body = method === 'GET' ? {} : { body: 'csrf=x' };
    await ask('nobody', { method, path });
    await ask('somebody', { method, path, headers: { ...own, ...FORM }, ...body });
    await ask('text', { method, path, headers: { ...own, 'content-type': 'text/plain' }, ...body });
    await ask('nonsense', { method, path: `${path}?token=x&token=y&%ff=%ff`, headers: own });
    await ask('elsewhere', { method, path, headers: { ...own, origin: 'https://evil.example' } });
    await ask('preflight', {
      method: 'OPTIONS',
      path,
      headers: { origin: 'https://app.example', 'access-control-request-method': method },
    });
    await ask('wrong method', { method: 'DELETE', path });
    if (method === 'GET') await ask('head', { method: 'HEAD', path });
  }
  for (const path of ['/nowhere', '/account/x.css', '/login/x.js', '/oauth2/authorize/x.png', '/%2e%2e/etc/passwd']) {
    await ask('no route', { path, headers: own });
    await ask('no route, for a person', { path, headers: { ...own, accept: 'text/html' } });
  }
  await ask('too long', { path: `/login?x=${'x'.repeat(11_000)}` });
  await ask('too large', { method: 'POST', path: '/oauth2/token', headers: FORM, body: `x=${'x'.repeat(70_000)}` });
  return seen;
}

const seen = await crawl(server);
const valuesOf = ({ answer }: Seen, name: string) => linesOf(answer, name);
const isPage = ({ answer }: Seen) => linesOf(answer, 'content-type')[0]?.startsWith('text/html') ?? false;

test('the crawl meets all kinds of answers', () => {
  const statuses = new Set(seen.map(({ answer }) => answer.status));
  for (const status of [200, 204, 303, 400, 401, 403, 404, 405, 413, 414])
    assert.ok(statuses.has(status), String(status));
  assert.ok(server.routes.length >= 25, 'the routes are those of the router');
  assert.ok(seen.filter(isPage).length > 50);
  for (const each of seen.filter(({ answer }) => answer.status === 405)) {
    assert.match(valuesOf(each, 'allow')[0] ?? '', /GET|POST/, each.what);
  }
});

test('HD-01 on a loopback name HSTS is short and spares the subdomains, once on every answer', () => {
  for (const each of seen) assert.deepEqual(valuesOf(each, 'strict-transport-security'), [LOOPBACK_HSTS], each.what);
});

test('HD-01 HD-03 on any other name HSTS lasts a year with subdomains, without preload, once on every answer', async (t) => {
  const other = await startTestServer({ settings: { issuer: 'https://auth.example' }, jobs: false });
  t.after(() => other.close());
  const answers = await crawl(other);
  for (const each of answers) assert.deepEqual(valuesOf(each, 'strict-transport-security'), [HSTS], each.what);
});

test('HD-01 HD-07 HD-08 HD-11 a stream carries the headers of every answer, once', async (t) => {
  const other = await startTestServer({ jobs: false });
  t.after(() => other.close());
  const resourceServer = await other.addResourceServer();
  const stream = await EventStream.open(other.issuer, resourceServer);
  t.after(() => stream.close());
  await stream.hello();
  const { rawHeaders } = stream.response;
  const names = rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  const valuesFor = (wanted: string) => rawHeaders.filter((_, at) => at % 2 === 1 && names[(at - 1) / 2] === wanted);
  assert.deepEqual(valuesFor('strict-transport-security'), [LOOPBACK_HSTS]);
  assert.deepEqual(valuesFor('x-content-type-options'), ['nosniff']);
  assert.deepEqual(valuesFor('referrer-policy'), ['no-referrer']);
  assert.deepEqual(valuesFor('cache-control'), ['no-store']);
  assert.deepEqual(valuesFor('content-type'), ['text/event-stream']);
  for (const none of ['server', 'x-powered-by', 'access-control-allow-origin', 'content-encoding', 'set-cookie']) {
    assert.deepEqual(valuesFor(none), [], none);
  }
});

test('HD-03 preload is sent to whoever asks for it', async (t) => {
  const settings = { issuer: 'https://auth.example', hstsPreload: true };
  const other = await startTestServer({ settings, jobs: false });
  t.after(() => other.close());
  const answer = await rawRequest(other.tlsOrigin, { path: '/login' });
  assert.deepEqual(linesOf(answer, 'strict-transport-security'), [`${HSTS}; preload`]);
});

test('HD-01 HD-07 what is no HTTP at all is refused with the same headers', async () => {
  const { port } = new URL(server.tlsOrigin);
  for (const bytes of ['nonsense\r\n\r\n', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`]) {
    const socket = connect({ host: 'localhost', port: Number(port), servername: 'localhost' });
    socket.end(bytes);
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    assert.match(text, /^HTTP\/1\.1 4\d\d /);
    assert.deepEqual(
      [...text.matchAll(/^strict-transport-security: (.*)\r$/gim)].map(([, value]) => value),
      [LOOPBACK_HSTS],
    );
    assert.match(text, /^x-content-type-options: nosniff\r$/im);
    assert.match(text, /^cache-control: no-store\r$/im);
  }
});

test('HD-07 nosniff on every answer, and a content type with charset that fits the body', () => {
  for (const each of seen) {
    assert.deepEqual(valuesOf(each, 'x-content-type-options'), ['nosniff'], each.what);
    const { body } = each.answer;
    if (body === '') continue;
    const [type = 'none', ...more] = valuesOf(each, 'content-type');
    assert.equal(more.length, 0);
    if (body.startsWith('{')) {
      assert.match(type, /^application\/json$/, each.what); // RFC 8259 §11: JSON has no charset parameter
      JSON.parse(body);
    } else if (body.startsWith('<!doctype html>')) assert.match(type, /^text\/html; charset=utf-8$/i, each.what);
    else assert.match(type, /^text\/css; charset=utf-8$/, each.what);
  }
});

test('HD-05 BC-09 every page has one CSP that allows nothing from elsewhere and no script, and stands in no frame', () => {
  for (const each of seen.filter(isPage)) {
    const [csp = '', ...more] = valuesOf(each, 'content-security-policy');
    assert.equal(more.length, 0);
    const directives = csp.split('; ');
    for (const wanted of ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'self'"]) {
      assert.ok(directives.includes(wanted), `${each.what}: ${wanted}`);
    }
    assert.doesNotMatch(csp, /unsafe|script-src|\*/, each.what);
    assert.deepEqual(valuesOf(each, 'x-frame-options'), ['DENY'], each.what);
    assert.deepEqual(valuesOf(each, 'cross-origin-opener-policy'), ['same-origin'], each.what);
    assert.equal(valuesOf(each, 'permissions-policy').length, 1, each.what);
  }
});

test('BC-13 no page runs a script, styles itself inline or loads anything from elsewhere', () => {
  for (const { what, answer } of seen.filter(isPage)) {
    assert.doesNotMatch(answer.body, /<script|<iframe|<object|<img|<style| style=| on[a-z]+=|javascript:/i, what);
    const references = [...answer.body.matchAll(/(?:href|src|action)="([^"]*)"/g)].map(([, value = '']) => value);
    for (const reference of references) assert.match(reference, /^(\/|data:,$)/, what);
  }
});

test('HD-08 Referrer-Policy no-referrer on every answer', () => {
  for (const each of seen) assert.deepEqual(valuesOf(each, 'referrer-policy'), ['no-referrer'], each.what);
});

test('HD-11 nothing is kept but metadata, keys and the stylesheet, and of these no error', () => {
  let kept = 0;
  for (const each of seen) {
    const [value = '', ...more] = valuesOf(each, 'cache-control');
    assert.equal(more.length, 0, each.what);
    const mayBeKept = PUBLIC.test(each.path) && each.answer.status < 400;
    if (value !== 'no-store') assert.ok(mayBeKept && /^public, max-age=\d+$/.test(value), `${each.what}: ${value}`);
    if (value !== 'no-store') kept++;
  }
  assert.ok(kept >= 4);
});

test('HD-11 a path that looks like a file of the account is no page of it', () => {
  const deceptions = seen.filter(({ path }) => /\.(css|js|png)$/.test(path) && !path.startsWith('/assets/'));
  assert.ok(deceptions.length >= 6);
  for (const { answer, what } of deceptions) {
    assert.equal(answer.status, 404, what);
    assert.ok(!answer.body.includes('ada@'), what);
  }
});

test('HD-13 no answer names the software', () => {
  for (const each of seen) {
    assert.deepEqual([...valuesOf(each, 'server'), ...valuesOf(each, 'x-powered-by')], [], each.what);
  }
});

test('HD-09 BC-05 CORS: public documents for all, the API for registered origins, pages and authorization for none; never with credentials', async () => {
  const origins = [
    'https://app.example',
    'https://evil.example',
    'null',
    'https://app.example.evil',
    'http://app.example',
  ];
  const api = /^\/(oauth2\/(token|revoke|logout)|userinfo|ping\/whoami)$/;
  for (const { method, path: pattern } of server.routes) {
    const path = pattern.replace(/:\w+/g, 'x');
    for (const origin of origins) {
      for (const asked of [method, 'OPTIONS']) {
        const headers = { origin, ...(asked === 'OPTIONS' && { 'access-control-request-method': method }) };
        const answer = await rawRequest(server.tlsOrigin, { method: asked, path, headers });
        const what = `${asked} ${path} from ${origin}`;
        const isRegistered = api.test(path) && origin === 'https://app.example';
        const wanted = path.startsWith('/.well-known/') ? ['*'] : isRegistered ? [origin] : [];
        assert.deepEqual(linesOf(answer, 'access-control-allow-origin'), wanted, what);
        assert.deepEqual(linesOf(answer, 'access-control-allow-credentials'), [], what);
        if (api.test(path))
          assert.ok(
            linesOf(answer, 'vary').some((value) => /\bOrigin\b/.test(value)),
            what,
          );
      }
    }
  }
});

test('HD-01 HD-11 LG-04 a fault inside is an opaque 500 with every header, as page and as JSON', async (t) => {
  const broken = await startTestServer({ jobs: false });
  t.after(() => broken.close());
  broken.authority.sessions.find = async () => {
    throw new Error('a secret detail');
  };
  broken.authority.clients.authenticate = async () => {
    throw new Error('a secret detail');
  };
  const asked = [
    { path: '/account', headers: { cookie } },
    { method: 'POST', path: '/oauth2/token', headers: FORM, body: 'grant_type=x' },
  ];
  for (const each of asked) {
    const answer = await rawRequest(broken.tlsOrigin, each);
    assert.equal(answer.status, 500);
    assert.deepEqual(linesOf(answer, 'strict-transport-security'), [LOOPBACK_HSTS]);
    assert.deepEqual(linesOf(answer, 'cache-control'), ['no-store']);
    assert.deepEqual(linesOf(answer, 'x-content-type-options'), ['nosniff']);
    assert.ok(
      !answer.body.includes('secret detail') && answer.body.includes(linesOf(answer, 'x-request-id')[0] ?? '?'),
    );
  }
  await broken.authority.store.close();
  const away = await rawRequest(broken.tlsOrigin, { path: '/readyz' });
  assert.equal(away.status, 503);
  assert.deepEqual(linesOf(away, 'strict-transport-security'), [LOOPBACK_HSTS]);
});
