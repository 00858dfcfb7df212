import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, startTestServer, type TestServer } from '@countersign/testkit';
import { type Answer, type Application, basic, credentials, read, redeem } from './oauth-calls.ts';

let server: TestServer;
let browser: Browser;
let app: Application;
let machine: Application;
let resourceServer: Application;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
  app = await server.addClient();
  machine = await server.addClient({ redirectUris: [], scopes: ['accounts:read', 'accounts:write'] });
  resourceServer = await server.addResourceServer();
});
after(() => server.close());

const ask = async (form: Record<string, string>, headers: Record<string, string> = {}, path = '/oauth2/token') =>
  read(await server.post(path, form, { headers }));
const FORM = { grant_type: 'client_credentials' };

/** Every character as a percent escape, as a client may write it (RFC 6749 §2.3.1). */
function escaped(text: string): string {
  return [...Buffer.from(text, 'utf8')].map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`).join('');
}

function assertUnknown(answer: Answer): void {
  assert.equal(answer.status, 401);
  assert.equal(answer.body.error, 'invalid_client');
  assert.match(answer.headers.get('www-authenticate') ?? '', /^Basic realm="[^"]+"/);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
}

test('OA-14 OA-17 a secret by Basic or by form, at every endpoint for clients', async () => {
  const places: [string, Record<string, string>, Application][] = [
    ['/oauth2/token', FORM, machine],
    ['/oauth2/revoke', { token: 'nothing' }, app],
    ['/oauth2/introspect', { token: 'nothing' }, resourceServer],
  ];
  for (const [path, form, who] of places) {
    const header = basic(who.client.id, who.secret);
    assert.equal((await ask(form, header, path)).status, 200, path);
    assert.equal((await ask({ ...form, ...credentials(who) }, {}, path)).status, 200, path);
    assertUnknown(await ask(form, {}, path));
    assertUnknown(await ask({ ...form, client_id: who.client.id }, {}, path));
    assertUnknown(await ask(form, basic(who.client.id, `${who.secret}x`), path));
    assertUnknown(await ask({ ...form, ...credentials(who), client_secret: `${who.secret}x` }, {}, path));
    assertUnknown(await ask(form, basic('oauth2client_0000000000000000000000', who.secret), path));
  }
});

test('OA-14 two ways at once are refused, also when both are right', async () => {
  const header = basic(machine.client.id, machine.secret);
  const both = await ask({ ...FORM, ...credentials(machine) }, header);
  assert.equal(both.status, 400);
  assert.equal(both.body.error, 'invalid_request');
  assert.equal(both.body.code, 'bad_request.two_client_authentications');
  const sameId = await ask({ ...FORM, client_id: machine.client.id }, header);
  assert.equal(sameId.status, 200, 'the id beside Basic is no second way');
  const otherId = await ask({ ...FORM, client_id: app.client.id }, header);
  assert.equal(otherId.body.code, 'bad_request.bad_param.client_id');
});

test('OA-14 a client registered for one way may not use the other', async () => {
  const registration = { redirectUris: [], scopes: [] };
  const byBasic = await server.addClient({ ...registration, authMethod: 'client_secret_basic' });
  const byForm = await server.addClient({ ...registration, authMethod: 'client_secret_post' });
  assert.equal((await ask(FORM, basic(byBasic.client.id, byBasic.secret))).status, 200);
  assertUnknown(await ask({ ...FORM, ...credentials(byBasic) }));
  assert.equal((await ask({ ...FORM, ...credentials(byForm) })).status, 200);
  assertUnknown(await ask(FORM, basic(byForm.client.id, byForm.secret)));
});

test('OA-15 id and secret in Basic are form-urlencoded, whichever characters a client escapes', async () => {
  const { client, secret } = machine;
  for (const header of [
    basic(client.id, secret),
    basic(escaped(client.id), escaped(secret)),
    basic(escaped(client.id), secret),
    basic(client.id, `${escaped(secret.slice(0, 5))}${secret.slice(5)}`),
  ]) {
    assert.equal((await ask(FORM, header)).status, 200);
  }
  assertUnknown(await ask(FORM, basic(escaped(escaped(client.id)), secret)));
  for (const malformed of [basic(client.id, `${secret}%`), basic(`${client.id}%zz`, secret), basic('%ff', secret)]) {
    const answer = await ask(FORM, malformed);
    assertUnknown(answer);
    assert.equal(answer.body.code, 'bad_request.authorization_header');
  }
});

test('OA-16 an unreadable Authorization header is invalid_client with a challenge', async () => {
  for (const header of ['Basic !!!', 'Basic Og==', 'Digest x="y"', 'Basic', `Basic ${'A'.repeat(8_000)}`]) {
    assertUnknown(await ask(FORM, { authorization: header }));
  }
});

test('OA-16 unknown, wrong and disabled clients get the same answer', async () => {
  const off = await server.addClient({ redirectUris: [], scopes: [] });
  await server.authority.revocation.disableClient(off.client.id);
  const answers = [
    await ask({ ...FORM, ...credentials(off) }),
    await ask({ ...FORM, ...credentials(machine), client_secret: 'wrong' }),
    await ask({ ...FORM, client_id: 'nobody', client_secret: 'wrong' }),
  ];
  for (const answer of answers) assertUnknown(answer);
  const [first, ...others] = answers.map(({ body: { request_id: _, ...body } }) => body);
  for (const other of others) assert.deepEqual(other, first);
});

test('OA-17 OA-03 nothing in the query is merged into the form, and a secret there is refused', async () => {
  const query = new URLSearchParams(credentials(machine));
  const secret = await ask(FORM, {}, `/oauth2/token?${query}`);
  assert.equal(secret.status, 400);
  assert.equal(secret.body.code, 'bad_request.secret_in_query');
  const grantType = await ask(credentials(machine), {}, '/oauth2/token?grant_type=client_credentials');
  assert.equal(grantType.body.code, 'bad_request.missing_param.grant_type');
  const both = await ask({ ...FORM, ...credentials(machine) }, {}, '/oauth2/token?grant_type=authorization_code');
  assert.equal(both.status, 200, 'the form alone counts');
});

test('OA-20 OA-24 OA-25 what a client is not registered for, and what does not exist', async () => {
  const refused = async (who: Application, grantType: string, more: Record<string, string> = {}) => {
    const answer = await ask({ ...credentials(who), grant_type: grantType, ...more });
    assert.equal(answer.status, 400);
    return answer.body.error;
  };
  const user = { username: 'ada@example.com', password: 'x' };
  const publicApp = await server.addClient({ isConfidential: false });
  assert.equal(await refused(machine, 'password', user), 'unsupported_grant_type');
  assert.equal(await refused(machine, 'implicit'), 'unsupported_grant_type');
  assert.equal(await refused(machine, 'authorization_code', { code: 'x' }), 'unauthorized_client');
  assert.equal(await refused(app, 'client_credentials'), 'unauthorized_client');
  assert.equal(await refused(publicApp, 'client_credentials'), 'unauthorized_client');
  assert.equal(await refused(publicApp, 'refresh_token', { refresh_token: 'x' }), 'unauthorized_client');
});

test('OA-25 OA-21 client_credentials: no refresh token, and never a scope beyond the registration', async () => {
  const all = await ask({ ...FORM, ...credentials(machine) });
  assert.equal(all.body.scope, 'accounts:read accounts:write', 'without the parameter: what is registered');
  assert.equal(all.body.refresh_token, undefined);
  assert.equal(all.body.token_type, 'Bearer');
  const one = await ask({ ...FORM, ...credentials(machine), scope: 'accounts:read' });
  assert.equal(one.body.scope, 'accounts:read');
  for (const scope of ['admin', 'accounts:read admin', 'accounts:read  ', 'a"b']) {
    const answer = await ask({ ...FORM, ...credentials(machine), scope });
    assert.equal(answer.body.error, 'invalid_scope', scope);
  }
});

test('OA-19 token answers and refusals are never stored', async () => {
  const answers = [
    await ask({ ...FORM, ...credentials(machine) }),
    await ask({ ...FORM, ...credentials(machine), scope: 'admin' }),
    await ask(FORM),
  ];
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 400, 401],
  );
  assert.equal(answers[0]?.body.token_type, 'Bearer');
  assert.equal(typeof answers[0]?.body.scope, 'string', 'said although not asked for');
  for (const { headers } of answers) {
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.equal(headers.get('pragma'), 'no-cache');
    assert.match(headers.get('content-type') ?? '', /^application\/json/);
  }
});

test('OA-20 an error_description holds permitted characters only and repeats nothing', async () => {
  const bad = 'canary"\\é\r\n';
  const forms: Record<string, string>[] = [
    { ...FORM, ...credentials(machine), scope: bad },
    { ...credentials(machine), grant_type: bad },
    { ...FORM, client_id: bad, client_secret: bad },
    { ...FORM, [bad]: '1', [`${bad}2`]: '2' },
  ];
  for (const form of forms) {
    const { body, headers, status } = await ask(form);
    assert.ok(status >= 400);
    assert.match(body.error_description ?? '', /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/);
    assert.doesNotMatch(JSON.stringify([body, ...headers]), /canary/);
  }
});

test('ND-03 a public client that sends a secret gains nothing', async () => {
  const publicApp = await server.addClient({ isConfidential: false });
  const code = await server.obtainCode({ browser, client: publicApp.client });
  assertUnknown(await redeem(server, publicApp, code, { client_secret: 'made up' }));
  const good = await redeem(server, publicApp, code);
  assert.equal(good.status, 200);
  assert.equal(good.body.refresh_token, undefined);
});

test('DR-01 after a rotation both secrets are good for a day, then only the new one', async () => {
  const { client, secret } = await server.addClient({ redirectUris: [], scopes: [] });
  const next = (await server.authority.clients.rotateSecret(client.id)) ?? '';
  const isGood = async (tried: string) =>
    (await ask({ ...FORM, client_id: client.id, client_secret: tried })).status === 200;
  assert.deepEqual([await isGood(secret), await isGood(next)], [true, true]);
  server.clock.advance(24 * 60 * 60_000 + 1_000);
  assert.deepEqual([await isGood(secret), await isGood(next)], [false, true]);
});

test('OA-18 guessing is throttled for its network, and the client is not locked out elsewhere', async (t) => {
  const limited = await startTestServer({ limits: 'real', settings: { trustedProxies: ['127.0.0.0/8', '::1/128'] } });
  t.after(() => limited.close());
  const { client, secret } = await limited.addClient({ redirectUris: [], scopes: [] });
  const other = await limited.addClient({ redirectUris: [], scopes: [] });
  const from = async (address: string, who: { id: string; secret: string }) => {
    const headers = { 'x-forwarded-for': address, 'x-forwarded-proto': 'https' };
    return read(
      await limited.post('/oauth2/token', { ...FORM, client_id: who.id, client_secret: who.secret }, { headers }),
    );
  };
  const [guesser, owner] = ['198.51.100.7', '203.0.113.9'];
  const guesses = await Promise.all(
    Array.from({ length: 60 }, (_, index) => from(guesser, { id: client.id, secret: `${index}` })),
  );
  assert.equal(guesses.filter(({ status }) => status === 401).length, 20);
  const refused = guesses.filter(({ status }) => status === 429);
  assert.equal(refused.length, 40);
  for (const { headers } of refused) assert.ok(Number(headers.get('retry-after')) > 0);
  const right = { id: client.id, secret };
  assert.equal((await from(guesser, right)).status, 429, 'nor does a lucky guess get through');
  assert.equal((await from(owner, right)).status, 200);
  assert.equal((await from(guesser, { id: other.client.id, secret: other.secret })).status, 200);
  limited.clock.advance(5 * 60_000 + 1_000);
  assert.equal((await from(guesser, right)).status, 200);
});

test('OA-18 a busy client is not taken for a guesser', async (t) => {
  const limited = await startTestServer({ limits: 'real' });
  t.after(() => limited.close());
  const busy = await limited.addClient({ redirectUris: [], scopes: [] });
  const answers = await Promise.all(
    Array.from({ length: 80 }, () => limited.post('/oauth2/token', { ...FORM, ...credentials(busy) })),
  );
  for (const answer of answers) await answer.body?.cancel();
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
});
