import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import { after, before, test } from 'node:test';
import { type Browser, startTestServer, type TestServer } from '@countersign/testkit';
import { type Application, type Body, basic } from './oauth-calls.ts';

const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPE = 'application/json';

let server: TestServer;
let browser: Browser;
let app: Application;
let machine: Application;
let resourceServer: Application;
let accessToken: string;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
  app = await server.addClient();
  machine = await server.addClient({ redirectUris: [], scopes: ['accounts:read'] });
  resourceServer = await server.addResourceServer();
  accessToken = (await server.obtainTokens({ browser, client: app.client, secret: app.secret })).access_token;
});
after(() => server.close());

interface Endpoint {
  path: string;
  type: typeof FORM | typeof JSON_TYPE;
  /** A body that is answered with `status`. */
  good: () => string;
  status: number;
  headers: () => Record<string, string>;
  /** The member that may not be missing. */
  required: string;
}

const credentialsOf = (who: () => Application) => () => basic(who().client.id, who().secret);
const none = () => ({});
const check = () => JSON.stringify({ tokens: [{ jti: 'x', digest: 'A'.repeat(43) }] });

/** What programs call. Each takes a body of one kind. */
const ENDPOINTS: Endpoint[] = [
  {
    path: '/oauth2/token',
    type: FORM,
    good: () => 'grant_type=client_credentials',
    status: 200,
    headers: credentialsOf(() => machine),
    required: 'grant_type',
  },
  {
    path: '/oauth2/revoke',
    type: FORM,
    good: () => 'token=nothing',
    status: 200,
    headers: credentialsOf(() => app),
    required: 'token',
  },
  {
    path: '/oauth2/introspect',
    type: FORM,
    good: () => 'token=nothing',
    status: 200,
    headers: credentialsOf(() => resourceServer),
    required: 'token',
  },
  {
    path: '/userinfo',
    type: FORM,
    good: () => `access_token=${accessToken}`,
    status: 200,
    headers: none,
    required: 'access_token',
  },
  {
    path: '/verifier/check',
    type: JSON_TYPE,
    good: check,
    status: 200,
    headers: credentialsOf(() => resourceServer),
    required: 'tokens',
  },
  {
    path: '/verifier/report',
    type: JSON_TYPE,
    good: () => '{"token":"nothing"}',
    status: 202,
    headers: credentialsOf(() => resourceServer),
    required: 'token',
  },
  {
    path: '/verifier/pulse',
    type: JSON_TYPE,
    good: () => JSON.stringify({ stream: 'A'.repeat(22), nonce: 'A'.repeat(22) }),
    status: 409, // nobody has such a stream
    headers: credentialsOf(() => resourceServer),
    required: 'nonce',
  },
];
/** As a verifier asks for a stream. */
const STREAM = { nonce: 'A'.repeat(22), max_staleness_ms: '30000' };
const FORMS = ENDPOINTS.filter(({ type }) => type === FORM);
const JSONS = ENDPOINTS.filter(({ type }) => type === JSON_TYPE);

/** Every path and the methods it answers. */
const METHODS: Record<string, string> = {
  '/oauth2/token': 'POST',
  '/oauth2/revoke': 'POST',
  '/oauth2/introspect': 'POST',
  '/oauth2/logout': 'POST',
  '/oauth2/authorize': 'GET, HEAD, POST',
  '/oauth2/authorize/continue': 'GET, HEAD',
  '/oauth2/authorize/consent': 'POST',
  '/userinfo': 'GET, HEAD, POST',
  '/ping/whoami': 'GET, HEAD',
  '/verifier/check': 'POST',
  '/verifier/report': 'POST',
  '/verifier/keys': 'GET, HEAD',
  '/verifier/stream': 'GET, HEAD',
  '/verifier/pulse': 'POST',
  '/.well-known/oauth-authorization-server': 'GET, HEAD',
  '/.well-known/openid-configuration': 'GET, HEAD',
  '/.well-known/jwks.json': 'GET, HEAD',
  '/login': 'GET, HEAD, POST',
  '/login/sent': 'GET, HEAD',
  '/login/code': 'POST',
  '/login/link': 'GET, HEAD, POST',
  '/logout': 'GET, HEAD, POST',
  '/account': 'GET, HEAD',
  '/account/disconnect': 'POST',
  '/livez': 'GET, HEAD',
  '/readyz': 'GET, HEAD',
  '/startupz': 'GET, HEAD',
};
const PAGES = Object.keys(METHODS).filter((path) => /^\/(login|logout|account|oauth2\/authorize)/.test(path));

async function send(
  endpoint: Endpoint,
  body: string | Uint8Array<ArrayBuffer>,
  changes: { type?: string; headers?: Record<string, string>; query?: string; method?: string } = {},
): Promise<Response> {
  return fetch(`${server.issuer}${endpoint.path}${changes.query ?? ''}`, {
    method: changes.method ?? 'POST',
    headers: { ...endpoint.headers(), 'content-type': changes.type ?? endpoint.type, ...changes.headers },
    body,
  });
}

function assertSecured(headers: Headers, what: string): void {
  assert.match(headers.get('strict-transport-security') ?? '', /^max-age=\d+/, what);
  assert.equal(headers.get('x-content-type-options'), 'nosniff', what);
  assert.equal(headers.get('referrer-policy'), 'no-referrer', what);
  assert.equal(headers.get('cache-control'), 'no-store', what);
  assert.equal(headers.get('server'), null, what);
  assert.equal(headers.get('x-powered-by'), null, what);
}

/** A refusal as programs read it: RFC 6749 §5.2 with our code beside it. */
async function assertRefused(
  response: Response,
  expected: { status: number; error?: string; code: RegExp | string },
  what: string,
): Promise<void> {
  const text = await response.text();
  assert.equal(response.status, expected.status, `${what}: ${text.slice(0, 200)}`);
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/, what);
  assertSecured(response.headers, what);
  const body = JSON.parse(text) as Body; // just said to be JSON
  assert.equal(body.error, expected.error ?? 'invalid_request', what);
  if (typeof expected.code === 'string') assert.equal(body.code, expected.code, what);
  else assert.match(body.code ?? '', expected.code, what);
  assert.match(body.error_description ?? '', /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/, what);
  assert.doesNotMatch(text, /canary/, what);
  assert.match(String(body.request_id), /^[A-Za-z0-9_-]{16}$/, what);
}

/** Whatever came before, a good request is answered. */
async function assertStillWell(): Promise<void> {
  for (const endpoint of ENDPOINTS) {
    const response = await send(endpoint, endpoint.good());
    assert.equal(response.status, endpoint.status, `${endpoint.path}: ${await response.text()}`);
    assertSecured(response.headers, endpoint.path);
  }
  const errors = server.logLines.filter((line) => line.includes('request failed'));
  assert.deepEqual(errors, [], 'no input is a fault of ours');
}

const bytes = (...values: number[]) => new Uint8Array(values);

test('OA-20 malformed forms and invalid UTF-8', async () => {
  for (const endpoint of FORMS) {
    const bad = [
      'canary=%',
      'canary=%2',
      'canary=%zz',
      '%=1',
      'canary=%ff',
      'canary=%c3%28',
      'canary=%00',
      'a=%ed%a0%80',
    ];
    for (const part of bad) {
      const answer = await send(endpoint, `${endpoint.good()}&${part}`);
      await assertRefused(answer, { status: 400, code: 'bad_request.malformed_form' }, `${endpoint.path} ${part}`);
    }
    for (const raw of [bytes(0x61, 0x3d, 0xff), bytes(0xc3, 0x28), bytes(0x00)]) {
      const answer = await send(endpoint, raw);
      await assertRefused(answer, { status: 400, code: 'bad_request.malformed_form' }, `${endpoint.path} ${raw}`);
    }
  }
  await assertStillWell();
});

test('OA-03 a parameter that comes twice, with the same value too', async () => {
  for (const endpoint of FORMS) {
    const twice = await send(endpoint, `${endpoint.good()}&${endpoint.good()}`);
    const code = `bad_request.duplicate_param.${endpoint.required}`;
    await assertRefused(twice, { status: 400, code }, endpoint.path);
    const empty = await send(endpoint, `${endpoint.good()}&${endpoint.required}=`);
    await assertRefused(empty, { status: 400, code }, `${endpoint.path} and empty`);
    const unknown = await send(endpoint, `${endpoint.good()}&Canary%21=1&Canary%21=2`);
    await assertRefused(unknown, { status: 400, code: 'bad_request.duplicate_param' }, `${endpoint.path} unknown`);
  }
  await assertStillWell();
});

test('OA-04 a missing parameter is named; an empty one is missing; an unknown one is ignored', async () => {
  for (const endpoint of FORMS.filter(({ path }) => path !== '/userinfo')) {
    const code = `bad_request.missing_param.${endpoint.required}`;
    for (const body of ['', `${endpoint.required}=`, 'foo=bar', '&&&']) {
      await assertRefused(await send(endpoint, body), { status: 400, code }, `${endpoint.path} ${body}`);
    }
  }
  for (const endpoint of FORMS) {
    for (const more of ['foo=bar', 'foo', '=', '&&', '__proto__=1', 'constructor=1', 'hasOwnProperty=x', 'a[b]=1']) {
      const answer = await send(endpoint, `${endpoint.good()}&${more}`);
      assert.equal(answer.status, endpoint.status, `${endpoint.path} ${more}: ${await answer.text()}`);
    }
    const empty = await send(endpoint, `${endpoint.good()}&scope=&token_type_hint=`);
    assert.equal(empty.status, endpoint.status, endpoint.path);
    await empty.body?.cancel();
  }
});

test('OA-02 another content type is refused and says which one is right', async () => {
  const types = ['text/plain', 'multipart/form-data; boundary=x', 'application/xml', 'canary', ''];
  for (const endpoint of ENDPOINTS) {
    const other = endpoint.type === FORM ? JSON_TYPE : FORM;
    const foreign = [other, ...types, `${endpoint.type}; charset=utf-16`, `${endpoint.type}; charset="latin1"`];
    for (const type of foreign) {
      const answer = await send(endpoint, endpoint.good(), { type });
      await assertRefused(answer, { status: 400, code: 'bad_request.content_type' }, `${endpoint.path} ${type}`);
    }
    for (const type of [endpoint.type.toUpperCase(), `${endpoint.type};charset=UTF-8`]) {
      const answer = await send(endpoint, endpoint.good(), { type });
      assert.equal(answer.status, endpoint.status, `${endpoint.path} ${type}`);
      await answer.body?.cancel();
    }
  }
});

test('OA-02 a wrong method is 405 and Allow names the right ones', async () => {
  for (const [path, allowed] of Object.entries(METHODS)) {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      if (allowed.split(', ').includes(method)) continue;
      const response = await fetch(`${server.issuer}${path}`, { method, redirect: 'manual' });
      assert.equal(response.status, 405, `${method} ${path}`);
      assert.equal(response.headers.get('allow'), allowed, `${method} ${path}`);
      assertSecured(response.headers, `${method} ${path}`);
      await response.body?.cancel();
    }
  }
});

test('a body that is too large is 413, whether it says so or not', async () => {
  for (const endpoint of ENDPOINTS) {
    const body = `${endpoint.good()}${' '.repeat(70 * 1024)}`;
    const told = await send(endpoint, body);
    await assertRefused(told, { status: 413, code: 'bad_request.body_too_large' }, endpoint.path);
    const parts = new ReadableStream({
      start(controller) {
        for (let part = 0; part < 10; part++) controller.enqueue(new TextEncoder().encode('x'.repeat(10 * 1024)));
        controller.close();
      },
    });
    const init = { method: 'POST', headers: { ...endpoint.headers(), 'content-type': endpoint.type }, body: parts };
    const streamed = await fetch(`${server.issuer}${endpoint.path}`, { ...init, duplex: 'half' } as RequestInit); // Fetch has `duplex`, its types not yet
    await assertRefused(streamed, { status: 413, code: 'bad_request.body_too_large' }, `${endpoint.path} streamed`);
  }
  await assertStillWell();
});

test('too many and too long parameters', async () => {
  for (const endpoint of FORMS) {
    const many = Array.from({ length: 64 }, (_, index) => `p${index}=`).join('&');
    const answer = await send(endpoint, `${endpoint.good()}&${many}`);
    await assertRefused(answer, { status: 400, code: 'bad_request.too_many_params' }, endpoint.path);
    for (const part of [`${'n'.repeat(129)}=1`, `v=${'v'.repeat(16_385)}`]) {
      const long = await send(endpoint, `${endpoint.good()}&${part}`);
      await assertRefused(long, { status: 400, code: 'bad_request.param_too_long' }, endpoint.path);
    }
  }
});

test('OA-17 secrets in the URL are refused at every endpoint that knows them', async () => {
  for (const endpoint of ENDPOINTS) {
    for (const name of ['client_secret', 'code', 'code_verifier', 'refresh_token', 'token', 'client_assertion']) {
      const answer = await send(endpoint, endpoint.good(), { query: `?${name}=canary` });
      await assertRefused(answer, { status: 400, code: 'bad_request.secret_in_query' }, `${endpoint.path} ${name}`);
    }
  }
});

test('JSON that is none, is too deep, or has another shape', async () => {
  for (const endpoint of JSONS) {
    const cases: [string, string][] = [
      ['', 'bad_request.malformed_json'],
      ['{', 'bad_request.malformed_json'],
      ["{'canary':1}", 'bad_request.malformed_json'],
      [`${endpoint.good()}x`, 'bad_request.malformed_json'],
      ['{"a":NaN}', 'bad_request.malformed_json'],
      ['['.repeat(10_000), 'bad_request.json_depth'],
      [`${'['.repeat(30_000)}${']'.repeat(30_000)}`, 'bad_request.json_depth'],
      [`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`, 'bad_request.json_depth'],
      ['null', 'bad_request.schema'],
      ['[]', 'bad_request.schema'],
      ['"canary"', 'bad_request.schema'],
      ['{}', 'bad_request.schema'],
      ['{"token":1,"tokens":1}', 'bad_request.schema'],
      ['{"token":{"canary":1},"tokens":[{"canary":1}]}', 'bad_request.schema'],
      ['{"token":"","tokens":[]}', 'bad_request.schema'],
      ['{"__proto__":{"token":"x","tokens":[]}}', 'bad_request.schema'],
      [`{"token":"${'x'.repeat(8_193)}","tokens":[${'1,'.repeat(300)}1]}`, 'bad_request.schema'],
    ];
    for (const [body, code] of cases) {
      await assertRefused(await send(endpoint, body), { status: 400, code }, `${endpoint.path} ${body.slice(0, 40)}`);
    }
    const invalid = await send(endpoint, bytes(0x7b, 0xff, 0x7d));
    await assertRefused(invalid, { status: 400, code: /^bad_request\.malformed_/ }, `${endpoint.path} UTF-8`);
    const polluting = `${endpoint.good().slice(0, -1)},"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}`;
    const ignored = await send(endpoint, polluting);
    assert.equal(ignored.status, endpoint.status, `${endpoint.path}: ${await ignored.text()}`);
    assert.equal('polluted' in {}, false);
  }
  await assertStillWell();
});

test('a stream is asked for in the query, strictly, and a pulse names what it is for', async () => {
  const { nonce, max_staleness_ms: bound } = STREAM;
  const good = `nonce=${nonce}&max_staleness_ms=${bound}`;
  const cases: [string, string][] = [
    ['', 'bad_request.missing_param.nonce'],
    [`nonce=${nonce}`, 'bad_request.missing_param.max_staleness_ms'],
    [`nonce=&max_staleness_ms=${bound}`, 'bad_request.missing_param.nonce'],
    ...['canary', `${nonce}A`, nonce.slice(1), `${nonce.slice(1)}%2B`, `${nonce.slice(1)}%3D`].map(
      (text): [string, string] => [`nonce=${text}&max_staleness_ms=${bound}`, 'bad_request.bad_param.nonce'],
    ),
    ...['2999', '3600001', '-1', '3e4', '30000.5', '0x7530', 'canary', '9'.repeat(400)].map(
      (text): [string, string] => [`nonce=${nonce}&max_staleness_ms=${text}`, 'bad_request.bad_param.max_staleness_ms'],
    ),
    [`${good}&epoch=1`, 'bad_request.missing_param.cursor'],
    [`${good}&cursor=1`, 'bad_request.missing_param.epoch'],
    [`${good}&epoch=canary&cursor=1`, 'bad_request.bad_param.epoch'],
    [`${good}&epoch=1&cursor=-1`, 'bad_request.bad_param.cursor'],
    [`${good}&epoch=1&cursor=${'9'.repeat(16)}`, 'bad_request.bad_param.cursor'],
    [`${good}&nonce=${nonce}`, 'bad_request.duplicate_param.nonce'],
    [`${good}&token=canary`, 'bad_request.secret_in_query'],
    [`${good}&canary=%ff`, 'bad_request.malformed_form'],
  ];
  const headers = credentialsOf(() => resourceServer)();
  for (const [query, code] of cases) {
    const answer = await fetch(`${server.issuer}/verifier/stream?${query}`, { headers });
    await assertRefused(answer, { status: 400, code }, query);
  }
  const anonymous = await fetch(`${server.issuer}/verifier/stream?${good}`);
  await assertRefused(anonymous, { status: 401, error: 'invalid_client', code: /./ }, 'anonymous');
  const head = await fetch(`${server.issuer}/verifier/stream?${good}`, { method: 'HEAD', headers });
  assert.equal(head.status, 200);
  assertSecured(head.headers, 'HEAD');
  assert.equal(server.authority.push.size, 0, 'nothing is held for what was refused, nor for HEAD');
  const pulses = [
    { nonce },
    { stream: nonce },
    { stream: '', nonce },
    { stream: 'x'.repeat(65), nonce },
    { stream: nonce, nonce: `${nonce}A` },
    { stream: nonce, nonce: '+'.repeat(22) },
    { stream: [nonce], nonce },
  ];
  const endpoint = ENDPOINTS.find(({ path }) => path === '/verifier/pulse');
  assert.ok(endpoint);
  for (const body of pulses) {
    const answer = await send(endpoint, JSON.stringify(body));
    await assertRefused(answer, { status: 400, code: 'bad_request.schema' }, JSON.stringify(body));
  }
  await assertStillWell();
});

test('a header or URL that is too large is refused with the same security headers', async () => {
  for (const path of ['/oauth2/token', '/login', '/nowhere']) {
    const long = await fetch(`${server.issuer}${path}?${'x'.repeat(11_000)}`, { method: 'POST' });
    assert.equal(long.status, 414, path);
    assertSecured(long.headers, path);
    await long.body?.cancel();
    const huge = await answerToHugeHeader(path);
    assert.equal(huge.status, 431, path);
    assertSecured(huge.headers, path);
  }
  await assertStillWell();
});

/** Without fetch, which keeps such a header to itself. */
function answerToHugeHeader(path: string): Promise<{ status: number | undefined; headers: Headers }> {
  return new Promise((resolve, reject) => {
    const url = new URL(path, server.issuer);
    const options = { ca: server.caCertificate, headers: { 'x-huge': 'x'.repeat(20_000) }, agent: false };
    const request = httpsRequest(url, options, (response) => {
      response.resume();
      const entries = Object.entries(response.headers).map(([name, value]): [string, string] => [name, String(value)]);
      resolve({ status: response.statusCode, headers: new Headers(entries) });
    });
    request.on('error', reject);
    request.end();
  });
}

test('BR-04 OA-16 without credentials every endpoint that wants them says which', async () => {
  for (const endpoint of ENDPOINTS) {
    const body = endpoint.path === '/userinfo' ? '' : endpoint.good();
    const init = { method: 'POST', headers: { 'content-type': endpoint.type }, body };
    const response = await fetch(`${server.issuer}${endpoint.path}`, init);
    assert.equal(response.status, 401, endpoint.path);
    const scheme = endpoint.path === '/userinfo' ? /^Bearer realm=/ : /^Basic realm=/;
    assert.match(response.headers.get('www-authenticate') ?? '', scheme, endpoint.path);
    assertSecured(response.headers, endpoint.path);
    await response.body?.cancel();
  }
});

test('HD-11 a path that does not exist is 404: a page for browsers, JSON for programs', async () => {
  for (const path of [
    '/nowhere',
    '/account/x.css',
    '/oauth2/token/x',
    '/%2e%2e/etc/passwd',
    '/login/%00',
    '/__proto__',
  ]) {
    const program = await fetch(`${server.issuer}${path}`);
    await assertRefused(program, { status: 404, code: 'not_found' }, path);
    const person = await fetch(`${server.issuer}${path}`, { headers: { accept: 'text/html' } });
    assert.equal(person.status, 404);
    assert.match(person.headers.get('content-type') ?? '', /^text\/html/);
    assertSecured(person.headers, path);
    await person.body?.cancel();
  }
});

test('HD-05 BC-09 pages refuse bad forms with a page, under the same policy', async () => {
  for (const path of PAGES.filter((page) => (METHODS[page] ?? '').includes('POST'))) {
    for (const body of ['canary=%', 'a=1&a=2', 'canary=%ff']) {
      const headers = { 'content-type': FORM };
      const response = await browser.request(path, { method: 'POST', headers, body }, 'same-origin');
      const text = await response.text();
      assert.ok(response.status === 400 || response.status === 403, `${path} ${body}: ${response.status}`);
      assert.match(response.headers.get('content-type') ?? '', /^text\/html; charset=utf-8/i, path);
      assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'.*frame-ancestors 'none'/);
      assert.equal(response.headers.get('x-frame-options'), 'DENY');
      assertSecured(response.headers, path);
      assert.doesNotMatch(text, /canary/);
    }
  }
  assert.equal((await browser.get('/account')).status, 200, 'the session has not suffered');
});

test('pages refuse bad queries with a page', async () => {
  for (const path of ['/oauth2/authorize', '/oauth2/authorize/continue', '/login', '/login/sent', '/login/link']) {
    for (const query of ['canary=%', 'request=1&request=2&login=1&login=2', 'canary=%ff', 'a=%00']) {
      const page = await browser.get(`${path}?${query}`);
      assert.equal(page.status, 400, `${path}?${query}`);
      assert.match(page.headers.get('content-type') ?? '', /^text\/html/, path);
      assertSecured(page.headers, path);
      assert.doesNotMatch(page.text, /canary/);
    }
  }
});

test('HD-01 HD-07 what every answer carries, good ones too', async () => {
  for (const path of Object.keys(METHODS)) {
    const response = await fetch(`${server.issuer}${path}`, { redirect: 'manual' });
    assert.match(response.headers.get('strict-transport-security') ?? '', /^max-age=60$/, 'loopback: a minute');
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff', path);
    assert.equal(response.headers.get('referrer-policy'), 'no-referrer', path);
    assert.equal(response.headers.get('server'), null);
    assert.ok(response.headers.get('cross-origin-resource-policy'), path);
    const isPublic = path.startsWith('/.well-known/');
    assert.equal(response.headers.get('cache-control') === 'no-store', !isPublic, path);
    await response.body?.cancel();
  }
});
