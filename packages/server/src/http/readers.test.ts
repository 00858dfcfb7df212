import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { OAuthError } from '../oauth/oauth.ts';
import { parseAuthorization } from './authorization-header.ts';
import { readForm, readJson, readQuery } from './body.ts';
import { type HttpEnv, siteOf } from './context.ts';
import { clearHostCookie, readCookie, setHostCookie } from './cookies.ts';
import { cors } from './cors.ts';
import { MAX_PARAMETERS, parseForm } from './form.ts';
import { PageError } from './refusals.ts';
import { assertCsrf, assertSameOrigin, csrfToken } from './same-origin.ts';

/** Runs `work` on a real context for a request. */
async function within<T>(work: (c: Context<HttpEnv>) => T | Promise<T>, path: string, init: RequestInit = {}) {
  const app = new Hono<HttpEnv>();
  let result: { value: T } | { error: unknown } | undefined;
  app.all('*', async (c) => {
    c.set('site', siteOf('https://login.example'));
    try {
      result = { value: await work(c) };
    } catch (error) {
      result = { error };
    }
    return c.body(null);
  });
  const response = await app.request(path, init);
  assert.ok(result);
  if ('error' in result) throw result.error;
  return { value: result.value, response };
}

const FORM = 'application/x-www-form-urlencoded';
const post = (body: string | Uint8Array<ArrayBuffer>, type: string | null = FORM): RequestInit => ({
  method: 'POST',
  body,
  headers: type === null ? {} : { 'content-type': type },
});
const code = (expected: string) => (error: unknown) => error instanceof OAuthError && error.code === expected;

describe('forms', () => {
  test('OA-03 a parameter sent twice is refused, also when equal or empty', () => {
    for (const text of ['client_id=a&client_id=a', 'client_id=&client_id=a', 'client_id=a&client%5Fid=b']) {
      assert.throws(() => parseForm(text), code('bad_request.duplicate_param.client_id'), text);
    }
    assert.throws(() => parseForm('<b>=1&<b>=2'), code('bad_request.duplicate_param'));
  });

  test('OA-03 query and body are not merged', async () => {
    const { value } = await within(readForm, '/?scope=evil&client_id=a', post('grant_type=x'));
    assert.deepEqual(value.names(), ['grant_type']);
  });

  test('OA-04 empty values are omitted, unknown ones simply not asked for', () => {
    const form = parseForm('scope=&foo=bar&flag&&x=1');
    assert.equal(form.get('scope'), undefined);
    assert.equal(form.get('flag'), undefined);
    assert.deepEqual(form.names(), ['foo', 'x']);
    assert.throws(() => form.require('scope'), code('bad_request.missing_param.scope'));
    assert.equal(form.require('foo'), 'bar');
  });

  test('plus and %20 are spaces, UTF-8 is decoded, malformed encodings are refused', () => {
    const form = parseForm('a=x+y%20z&params%5Btitle%5D=%C3%A9&__proto__=p');
    assert.equal(form.get('a'), 'x y z');
    assert.equal(form.get('params[title]'), 'é');
    assert.equal(form.get('__proto__'), 'p');
    assert.equal(form.get('constructor'), undefined);
    for (const text of ['a=%', 'a=%zz', 'a=%C3', 'a=%00', '%FF=1']) {
      assert.throws(() => parseForm(text), code('bad_request.malformed_form'), text);
    }
  });

  test('DP-04 numbers and lengths of parameters are bounded', () => {
    const many = (count: number) => Array.from({ length: count }, (_, at) => `p${at}=1`).join('&');
    assert.equal(parseForm(many(MAX_PARAMETERS)).names().length, MAX_PARAMETERS);
    assert.throws(() => parseForm(many(MAX_PARAMETERS + 1)), code('bad_request.too_many_params'));
    assert.throws(() => parseForm(`a=${'x'.repeat(16_385)}`), code('bad_request.param_too_long'));
    assert.throws(() => parseForm(`${'x'.repeat(129)}=1`), code('bad_request.param_too_long'));
  });

  test('OA-02 only form bodies are forms; an empty body needs no type', async () => {
    assert.equal((await within(readForm, '/', post('a=1', `${FORM}; charset=UTF-8`))).value.get('a'), '1');
    assert.deepEqual((await within(readForm, '/', { method: 'POST' })).value.names(), []);
    for (const type of [
      'application/json',
      'text/plain',
      'multipart/form-data; boundary=x',
      `${FORM}; charset=utf-16`,
    ]) {
      await assert.rejects(within(readForm, '/', post('a=1', type)), code('bad_request.content_type'), type);
    }
    await assert.rejects(
      within(readForm, '/', post(new Uint8Array([97, 61, 49]), null)),
      code('bad_request.content_type'),
    );
    await assert.rejects(
      within(readForm, '/', post(new Uint8Array([97, 61, 0xff]))),
      code('bad_request.malformed_form'),
    );
  });

  test('a second reader gets the same body', async () => {
    const { value } = await within(
      async (c) => [(await readForm(c)).get('a'), (await readForm(c)).get('a')],
      '/',
      post('a=1'),
    );
    assert.deepEqual(value, ['1', '1']);
  });

  test('OA-17 secrets in a URL are refused everywhere; an access_token there is only ignored (BR-02)', async () => {
    for (const name of ['client_secret', 'token', 'code', 'refresh_token', 'client%5Fsecret']) {
      await assert.rejects(within(readForm, `/?${name}=x`, post('a=1')), code('bad_request.secret_in_query'), name);
      await assert.rejects(
        within((c) => readQuery(c), `/?${name}=x`),
        code('bad_request.secret_in_query'),
        name,
      );
    }
    const { value } = await within((c) => readQuery(c), '/?access_token=x&a=1');
    assert.equal(value.get('a'), '1');
    const link = await within((c) => readQuery(c, { secrets: 'allowed' }), '/?token=x');
    assert.equal(link.value.get('token'), 'x');
  });
});

describe('JSON', () => {
  const schema = z.object({ jti: z.string() });

  test('HT-07 only application/json, valid, shallow and in the schema', async () => {
    const read = (body: string, type = 'application/json') => within((c) => readJson(c, schema), '/', post(body, type));
    assert.deepEqual((await read('{"jti":"a","__proto__":{"x":1}}')).value, { jti: 'a' });
    await assert.rejects(read('{"jti":"a"}', 'text/plain'), code('bad_request.content_type'));
    await assert.rejects(read('{"jti":'), code('bad_request.malformed_json'));
    await assert.rejects(read('['.repeat(10_000)), code('bad_request.json_depth'));
    await assert.rejects(read('{"jti":"[[[[[[[[[[[[[[[[[[[[[["'), code('bad_request.malformed_json'));
    await assert.rejects(read('{"jti":1}'), z.ZodError);
  });
});

describe('Authorization', () => {
  test('Basic is decoded as forms are (RFC 6749 §2.3.1); doubled and strange headers are malformed', () => {
    const basic = (pair: string) => parseAuthorization(`Basic ${Buffer.from(pair).toString('base64')}`);
    assert.deepEqual(basic('a%3Ab:p%2Bw+d'), { kind: 'basic', clientId: 'a:b', clientSecret: 'p+w d' });
    assert.deepEqual(basic('a:b:c'), { kind: 'basic', clientId: 'a', clientSecret: 'b:c' });
    assert.deepEqual(parseAuthorization('bearer abc.def-_~+/=='), { kind: 'bearer', token: 'abc.def-_~+/==' });
    assert.deepEqual(parseAuthorization(undefined), { kind: 'none' });
    for (const header of [
      '',
      'Basic',
      'Basic !!',
      'Bearer',
      'Bearer a b',
      'Bearer a, Bearer b',
      'Digest x',
      'Basic YQ==, Basic YQ==',
    ]) {
      assert.equal(parseAuthorization(header).kind, 'malformed', header);
    }
    for (const pair of ['nocolon', ':x', '%zz:x']) assert.equal(basic(pair).kind, 'malformed', pair);
  });
});

describe('cookies', () => {
  test('are __Host-, Secure, HttpOnly and Lax', async () => {
    const { response } = await within((c) => {
      setHostCookie(c, { name: 'session', value: 'abc', maxAgeSeconds: 60.9 });
      clearHostCookie(c, 'login');
      assert.throws(() => setHostCookie(c, { name: 'session', value: 'a;b' }), TypeError);
    }, '/');
    assert.deepEqual(response.headers.getSetCookie(), [
      '__Host-session=abc; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60',
      '__Host-login=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0',
    ]);
  });

  test('without prefix, twice or with foreign characters they are absent', async () => {
    const read = async (cookie: string) =>
      (await within((c) => readCookie(c, 's'), '/', { headers: { cookie } })).value;
    assert.equal(await read('x=1; __Host-s=abc'), 'abc');
    for (const header of ['s=abc', '__Host-s=a; __Host-s=b', '__Host-s=a; __Host-s=a', '__Host-s="a"', '__Host-s=']) {
      assert.equal(await read(header), undefined, header);
    }
  });
});

describe('forms of other sites', () => {
  const check = (headers: Record<string, string>) => within(assertSameOrigin, '/', { method: 'POST', headers });
  const refused = (error: unknown) => error instanceof PageError && error.status === 403;

  test('SE-07 Origin and Sec-Fetch-Site must say "from here", and one of them must say something', async () => {
    await check({ origin: 'https://login.example' });
    await check({ 'sec-fetch-site': 'same-origin' });
    await check({ 'sec-fetch-site': 'none', origin: 'https://login.example' });
    await check({ 'sec-fetch-site': 'same-origin', origin: 'null' }); // what a browser sends from a no-referrer page
    const foreign: Record<string, string>[] = [
      {},
      { origin: 'null' },
      { origin: 'null', 'sec-fetch-site': 'none' },
      { origin: 'null', 'sec-fetch-site': 'cross-site' },
      { origin: 'https://evil.example' },
      { origin: 'https://login.example.evil.example' },
      { origin: 'http://login.example' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site', origin: 'https://login.example' },
      { 'sec-fetch-site': 'same-origin', origin: 'https://evil.example' },
    ];
    for (const headers of foreign) await assert.rejects(check(headers), refused, JSON.stringify(headers));
  });

  test('SE-07 the form token belongs to one cookie and one purpose', () => {
    const presented = csrfToken('cookie-secret', 'consent');
    assertCsrf({ cookieSecret: 'cookie-secret', purpose: 'consent', presented });
    for (const wrong of [
      { cookieSecret: 'other', purpose: 'consent', presented },
      { cookieSecret: 'cookie-secret', purpose: 'logout', presented },
      { cookieSecret: 'cookie-secret', purpose: 'consent', presented: '' },
      { cookieSecret: 'cookie-secret', purpose: 'consent', presented: undefined },
      { cookieSecret: undefined, purpose: 'consent', presented },
    ]) {
      assert.throws(() => assertCsrf(wrong), refused);
    }
  });
});

describe('CORS', () => {
  function app() {
    const hono = new Hono<HttpEnv>();
    hono.use('/token', cors({ origins: async () => ['https://good.example', 'null'], methods: ['POST'] }));
    hono.use('/keys', cors({ origins: 'any', methods: ['GET'] }));
    hono.post('/token', (c) => c.json({}));
    hono.get('/keys', (c) => c.json({}));
    return hono;
  }

  test('HD-09 only exact origins of the list, never credentials, always Vary', async () => {
    const ask = (origin?: string) => app().request('/token', { method: 'POST', headers: origin ? { origin } : {} });
    const good = await ask('https://good.example');
    assert.equal(good.headers.get('access-control-allow-origin'), 'https://good.example');
    assert.equal(good.headers.get('access-control-allow-credentials'), null);
    for (const origin of [
      'null',
      'https://good.example.evil',
      'https://evil-good.example',
      'http://good.example',
      undefined,
    ]) {
      const response = await ask(origin);
      assert.equal(response.headers.get('access-control-allow-origin'), null, origin);
      assert.equal(response.headers.get('vary'), 'Origin');
    }
  });

  test('HD-10 preflight allows what clients send and exposes what they must read', async () => {
    const headers = { origin: 'https://good.example', 'access-control-request-method': 'POST' };
    const response = await app().request('/token', { method: 'OPTIONS', headers });
    assert.equal(response.status, 204);
    assert.equal(response.headers.get('access-control-allow-methods'), 'POST');
    for (const name of ['Authorization', 'DPoP', 'Content-Type']) {
      assert.match(response.headers.get('access-control-allow-headers') ?? '', new RegExp(name));
    }
    const exposed = (await app().request('/token', { method: 'POST', headers })).headers.get(
      'access-control-expose-headers',
    );
    for (const name of ['WWW-Authenticate', 'DPoP-Nonce', 'Retry-After', 'RateLimit', 'RateLimit-Policy']) {
      assert.ok(exposed?.split(', ').includes(name), name);
    }
    const evil = await app().request('/token', {
      method: 'OPTIONS',
      headers: { ...headers, origin: 'https://evil.example' },
    });
    assert.equal(evil.headers.get('access-control-allow-methods'), null);
  });

  test('HD-12 public documents may be read from anywhere', async () => {
    const response = await app().request('/keys', { headers: { origin: 'https://any.example' } });
    assert.equal(response.headers.get('access-control-allow-origin'), '*');
    assert.equal(response.headers.get('cross-origin-resource-policy'), 'cross-origin');
  });
});
