import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { localCertificate, systemRandom } from '@countersign/server';
import { DEFAULT_AUDIENCE, startTestServer, type TestServer } from '@countersign/testkit';
import { createVerifier, type Verifier } from '@countersign/verifier';
import { serve } from '@hono/node-server';
import { createApi } from '../../examples/api/src/api.ts';
import { untilRefused } from '../attacks/places.ts';
import { basic, opened } from './oauth-calls.ts';
import { rawRequest } from './raw-request.ts';

/** An authority, and an API over TLS that asks it about every token. */
async function setUp(t: TestContext) {
  const server = await startTestServer();
  const { client, secret } = await server.addResourceServer();
  const verifier = createVerifier({
    issuer: server.issuer,
    audience: DEFAULT_AUDIENCE,
    credentials: { clientId: client.id, clientSecret: secret },
    clock: server.clock,
  });
  const api = await startApi(server, verifier);
  let isClosed = false;
  const closeAuthority = async () => {
    if (!isClosed) await server.close();
    isClosed = true;
  };
  t.after(async () => {
    await api.close();
    await verifier.close();
    await closeAuthority();
  });
  const browser = await server.logIn('ada@example.com');
  const app = await server.addClient();
  const obtain = (scope = 'accounts:read offline_access') => server.obtainTokens({ browser, ...app, scope });
  const call = (token: string | undefined) =>
    fetch(`${api.origin}/balance`, { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
  return { server, verifier, api, browser, app, obtain, call, closeAuthority };
}

async function startApi(server: TestServer, verifier: Verifier) {
  const tls = await localCertificate({ dataFolder: server.dataFolder, clock: server.clock, random: systemRandom });
  const listening = serve({
    fetch: createApi({ verifier }).fetch,
    createServer,
    serverOptions: { cert: tls.certificate, key: tls.key },
    hostname: 'localhost',
    port: 0,
  });
  if (!listening.listening) await once(listening, 'listening');
  const { port } = listening.address() as AddressInfo; // listening on TCP
  return {
    origin: `https://localhost:${port}`,
    async close() {
      if ('closeAllConnections' in listening) listening.closeAllConnections();
      await new Promise((resolve) => listening.close(resolve));
    },
  };
}

/** Signs claims with the authority's own access key, as a thief of that key would. */
const thiefOf = (server: TestServer) => async (claims: object) =>
  (await server.authority.keys.sign({ purpose: 'access', typ: 'at+jwt', claims })).token;

test('BR-01 BR-04 a good token opens the API; none is a plain challenge', async (t) => {
  const { obtain, call, api, browser } = await setUp(t);
  const { access_token: token } = await obtain();
  const good = await call(token);
  assert.equal(good.status, 200);
  assert.deepEqual(await good.json(), { user: opened(token).claims.sub, balance: 5000, currency: 'GBP' });
  assert.equal(good.headers.get('cache-control'), 'no-store');
  const lower = await fetch(`${api.origin}/balance`, { headers: { authorization: `bEaReR ${token}` } });
  assert.equal(lower.status, 200);
  const none = await call(undefined);
  assert.equal(none.status, 401);
  const challenge = none.headers.get('www-authenticate') ?? '';
  assert.match(challenge, /^Bearer realm="/);
  assert.doesNotMatch(challenge, /error/);
  assert.ok(browser.cookies.size > 0);
});

test('BR-02 BR-03 a token in the query is no token; two tokens are a bad request', async (t) => {
  const { obtain, api } = await setUp(t);
  const { access_token: token } = await obtain();
  const authorization = `Bearer ${token}`;
  assert.equal((await fetch(`${api.origin}/balance?access_token=${token}`)).status, 401);
  const both = await fetch(`${api.origin}/balance?access_token=${token}`, { headers: { authorization } });
  assert.equal(both.status, 400);
  assert.equal((await both.json()).error, 'invalid_request');
  const once = await rawRequest(api.origin, { path: '/balance', headers: { authorization } });
  assert.equal(once.status, 200);
});

test('BR-05 pain-8 revoked, superseded, expired, of another audience, of too little scope, garbage', async (t) => {
  const { server, obtain, call, app, browser } = await setUp(t);
  const refusal = async (token: string) => {
    const answer = await call(token);
    const { error, code } = await answer.json();
    const challenge = answer.headers.get('www-authenticate') ?? '';
    assert.match(challenge, new RegExp(`^Bearer .*error="${error}"`));
    assert.ok(token.length < 10 || !challenge.includes(token));
    return { status: answer.status, error, code, challenge };
  };
  const credentials = { client_id: app.client.id, client_secret: app.secret };

  const revoked = await obtain();
  assert.equal((await call(revoked.access_token)).status, 200);
  assert.equal((await server.post('/oauth2/revoke', { token: revoked.access_token, ...credentials })).status, 200);
  await untilRefused(() => call(revoked.access_token));
  assert.deepEqual((await refusal(revoked.access_token)).error, 'invalid_token');

  const first = await obtain();
  const form = { grant_type: 'refresh_token', refresh_token: first.refresh_token ?? '', ...credentials };
  const second = await (await server.post('/oauth2/token', form)).json();
  assert.equal((await call(first.access_token)).status, 200, 'in flight, it is still good');
  server.clock.advance(11_000);
  assert.equal((await refusal(first.access_token)).error, 'invalid_token');
  assert.equal((await call(second.access_token)).status, 200);

  const low = await obtain('offline_access');
  const insufficient = await refusal(low.access_token);
  assert.deepEqual([insufficient.status, insufficient.error], [403, 'insufficient_scope']);
  assert.match(insufficient.challenge, /scope="accounts:read"/);

  const elsewhere = await server.addClient({ audience: 'https://other.example' });
  const foreign = await server.obtainTokens({ browser, ...elsewhere, scope: 'accounts:read' });
  assert.equal((await refusal(foreign.access_token)).status, 401);

  for (const garbage of ['x', 'a.b.c', `${second.access_token}x`, second.access_token.slice(1)]) {
    assert.deepEqual((await refusal(garbage)).error, 'invalid_token');
  }
  const late = await obtain();
  server.clock.advance(15 * 60_000 + 31_000);
  const expired = await refusal(late.access_token);
  assert.deepEqual([expired.status, expired.code], [401, 'token_expired']);
  assert.deepEqual(await server.alarms(), [], 'everyday refusals ring nothing');
});

test('EB-02 EB-03 attack-1 what a thief of the signing key makes is refused, and rings', async (t) => {
  const { server, verifier, obtain, call } = await setUp(t);
  const sign = thiefOf(server);
  const { access_token: token } = await obtain();
  const claims = opened(token).claims;
  const again = await sign(claims);
  assert.equal((await call(again)).status, 200, 'the same bytes under another signature are the token that was issued');

  const tampered = await sign({ ...claims, sub: 'user_0000000000000000000000' });
  const strange = `acctok_${String(claims.jti).slice(7).split('').reverse().join('')}`;
  const forged = [
    await sign({ ...claims, jti: strange }),
    await sign({ ...claims, eb: undefined }),
    await sign({ ...claims, exp: Number(claims.iat) + 100 * 86_400 }),
  ];
  const rung = async (type: string) => (await server.alarms()).filter((alarm) => alarm.type === type).length;
  const settled = async (sent: number) => {
    for (let tries = 0; tries < 300 && verifier.status().evidence.sent < sent; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(verifier.status().evidence.sent, sent);
  };
  assert.equal((await call(tampered)).status, 401);
  await settled(1);
  assert.deepEqual([await rung('alarm.tampered'), await rung('alarm.forged')], [1, 0]);
  for (const [at, each] of forged.entries()) {
    const answer = await call(each);
    assert.equal(answer.status, 401);
    assert.equal((await answer.json()).code, 'token_invalid', 'he does not learn how close he came');
    await settled(at + 2);
    assert.equal(await rung('alarm.forged'), at + 1);
  }
  assert.equal((await call(token)).status, 200, 'the token that was issued is as good as before');
});

test('EB-12 a resource server of another audience hears unknown; handles are opaque and its own', async (t) => {
  const { server, obtain } = await setUp(t);
  const { access_token: token } = await obtain();
  const other = await obtain();
  const verifierOf = async (audience: string) => {
    const { client, secret } = await server.addResourceServer(audience);
    const asked = createVerifier({
      issuer: server.issuer,
      audience: DEFAULT_AUDIENCE,
      credentials: { clientId: client.id, clientSecret: secret },
      clock: server.clock,
    });
    t.after(() => asked.close());
    return asked;
  };
  const mistaken = await (await verifierOf('https://other.example')).verify(token);
  assert.equal(mistaken.kind === 'unavailable' && mistaken.code, 'authority_audience_refused');

  // One that asks all the same, by hand, hears of a token that does not exist, and rings nothing by reporting it.
  const foreign = await server.addResourceServer('https://other.example');
  const { sub, client_id: clientId, jti } = opened(token).claims;
  const [header = '', payload = ''] = token.split('.');
  const digest = createHash('sha256').update(`${header}.${payload}`).digest('base64url');
  const ask = async (path: string, body: object) =>
    fetch(`${server.issuer}${path}`, {
      method: 'POST',
      headers: {
        ...basic(foreign.client.id, foreign.secret),
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    });
  const checked = await (await ask('/verifier/check', { tokens: [{ jti, digest }] })).json();
  assert.deepEqual(checked.answers, [{ jti, verdict: 'unknown' }]);
  assert.equal((await ask('/verifier/report', { token })).status, 202);
  assert.deepEqual(await server.alarms(), []);

  const [one, two] = [await verifierOf(DEFAULT_AUDIENCE), await verifierOf(DEFAULT_AUDIENCE)];
  const results = [await one.verify(token), await one.verify(other.access_token), await two.verify(token)];
  const handles = results.map((result) => {
    assert.ok(result.kind === 'accepted');
    assert.ok(!('eb' in result.claims));
    return result.handles;
  });
  const [ofToken, ofOther, ofTwo] = handles;
  assert.ok(ofToken && ofOther && ofTwo);
  const same = (left: typeof ofToken, right: typeof ofToken) => ({
    token: left.token === right.token,
    grant: left.grant === right.grant,
    client: left.client === right.client,
    user: left.user === right.user,
  });
  assert.deepEqual(same(ofToken, ofOther), { token: false, grant: false, client: true, user: true });
  assert.deepEqual(same(ofToken, ofTwo), { token: false, grant: false, client: false, user: false });
  for (const handle of Object.values(ofToken)) {
    assert.match(handle, /^[A-Za-z0-9_-]{22}$/);
    for (const id of [sub, clientId, jti]) assert.notEqual(handle, id);
  }
});

test('EB-09 with the authority away the API answers 503 and lets nobody in whom it does not know', async (t) => {
  const { obtain, call, verifier, closeAuthority } = await setUp(t);
  const { access_token: known } = await obtain();
  const { access_token: unseen } = await obtain();
  assert.equal((await call(known)).status, 200);
  await closeAuthority();
  const away = await call(unseen);
  assert.equal(away.status, 503);
  assert.equal(away.headers.get('cache-control'), 'no-store');
  assert.equal((await away.json()).code, 'verification_unavailable');
  assert.equal(verifier.status().unavailable.authority_unreachable, 1);
  assert.equal((await call('a.b.c')).status, 401, 'what is no token needs nobody to say so');
});
