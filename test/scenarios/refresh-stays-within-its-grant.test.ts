import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, startTestServer, type TestServer } from '@countersign/testkit';
import { type Answer, type Application, introspect, isActive, opened, refresh } from './oauth-calls.ts';

const DAY_MS = 24 * 60 * 60_000;

let server: TestServer;
let browser: Browser;
let resourceServer: Application;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
  resourceServer = await server.addResourceServer();
});
after(() => server.close());

type Registration = Parameters<TestServer['addClient']>[0];

async function begin(registration: Registration = {}, scope?: string) {
  if (!browser.cookies.has('__Host-session')) browser = await server.logIn('ada@example.com');
  const app = await server.addClient(registration);
  const flow = { browser, client: app.client, secret: app.secret, ...(scope !== undefined && { scope }) };
  return { app, first: await server.obtainTokens(flow) };
}

function assertRefused(answer: Answer, error: string): void {
  assert.equal(answer.status, 400);
  assert.equal(answer.body.error, error);
}

test('OA-23 a refresh may narrow the scope, widen it back to the grant, and never beyond', async () => {
  const { app, first } = await begin({}, 'openid accounts:read');
  const narrow = await refresh(server, app, first.refresh_token, { scope: 'openid' });
  assert.equal(narrow.body.scope, 'openid');
  assert.equal(opened(narrow.body.access_token ?? '').claims.scope, 'openid');
  const beyond = await refresh(server, app, narrow.body.refresh_token, { scope: 'openid email' });
  assertRefused(beyond, 'invalid_scope');
  const wide = await refresh(server, app, narrow.body.refresh_token);
  assert.equal(wide.body.scope, 'openid accounts:read', 'and the refusal used nothing up');
  const malformed = await refresh(server, app, wide.body.refresh_token, { scope: 'openid  accounts:read' });
  assertRefused(malformed, 'invalid_scope');
});

test('OA-23 another client can neither use a refresh token nor end its family', async () => {
  const { app, first } = await begin();
  const other = await server.addClient({ name: 'Other' });
  assertRefused(await refresh(server, other, first.refresh_token), 'invalid_grant');
  assert.equal((await refresh(server, app, first.refresh_token)).status, 200);
});

test('BC-02 a refresh token reaches only the resource that was consented to', async () => {
  const { app, first } = await begin();
  const other = await refresh(server, app, first.refresh_token, { resource: 'https://other.example' });
  assertRefused(other, 'invalid_target');
  const same = await refresh(server, app, first.refresh_token, { resource: app.client.audience });
  assert.equal(same.status, 200);
  assert.equal(opened(same.body.access_token ?? '').claims.aud, app.client.audience);
});

test('OA-12 EB-06 fifty parallel refreshes get one successor, and one token stays live', async () => {
  const { app, first } = await begin({ overlapSeconds: 0 });
  const answers = await Promise.all(Array.from({ length: 50 }, () => refresh(server, app, first.refresh_token)));
  const good = answers.filter(({ status }) => status === 200);
  assert.ok(good.length >= 1);
  assert.equal(new Set(good.map(({ body }) => body.refresh_token)).size, 1);
  const tokens = [...new Set(good.map(({ body }) => body.access_token ?? '')), first.access_token];
  const live = await Promise.all(tokens.map((token) => isActive(server, resourceServer, token)));
  assert.equal(live.filter(Boolean).length, 1);
  for (const answer of answers) if (answer.status !== 200) assertRefused(answer, 'invalid_grant');
  assert.equal((await refresh(server, app, good[0]?.body.refresh_token)).status, 200, 'the family lives on');
});

test('OA-12 one successor also when all have looked at the grant before the first one writes', async () => {
  const { app, first } = await begin();
  const presented = { token: first.refresh_token ?? '', scope: undefined, resource: undefined, address: '127.0.0.1' };
  const { grants } = server.authority;
  const tries = Array.from({ length: 50 }, () => grants.refresh(app.client, presented)); // one turn: each reads first
  const settled = await Promise.allSettled(tries);
  const successors = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value.refresh_token] : []));
  assert.ok(successors.length >= 1);
  assert.equal(new Set(successors).size, 1);
  assert.equal((await refresh(server, app, successors[0])).status, 200);
});

test('BC-04 an answer is repeated three times at most, and never once its successor was used', async () => {
  const { app, first } = await begin();
  const second = await refresh(server, app, first.refresh_token);
  for (let repeat = 0; repeat < 3; repeat++) {
    assert.deepEqual((await refresh(server, app, first.refresh_token)).body, second.body);
  }
  assertRefused(await refresh(server, app, first.refresh_token), 'invalid_grant');
  assert.equal((await refresh(server, app, second.body.refresh_token)).status, 200, 'a hasty client keeps its family');
});

test('BC-04 with a grace window of zero any repetition is reuse', async () => {
  const { app, first } = await begin({ graceSeconds: 0 });
  const second = await refresh(server, app, first.refresh_token);
  server.clock.advance(1);
  assertRefused(await refresh(server, app, first.refresh_token), 'invalid_grant');
  assertRefused(await refresh(server, app, second.body.refresh_token), 'invalid_grant');
});

test('EB-06 a superseded token is honoured for its overlap and refused after it', async () => {
  const { app, first } = await begin({ overlapSeconds: 10 });
  const second = await refresh(server, app, first.refresh_token);
  server.clock.advance(9_000);
  assert.equal(await isActive(server, resourceServer, first.access_token), true);
  server.clock.advance(1_100);
  assert.deepEqual((await introspect(server, resourceServer, first.access_token)).body, { active: false });
  assert.equal(await isActive(server, resourceServer, second.body.access_token ?? ''), true);
});

test('EB-06 supersession stays within a grant: another device is unaffected', async () => {
  const { app, first } = await begin({ overlapSeconds: 0 });
  const device = await server.obtainTokens({ browser, client: app.client, secret: app.secret });
  assert.equal(await isActive(server, resourceServer, first.access_token), true, 'a login supersedes nothing');
  await refresh(server, app, first.refresh_token);
  assert.equal(await isActive(server, resourceServer, first.access_token), false);
  assert.equal(await isActive(server, resourceServer, device.access_token), true);
});

test('EB-06 with single_active off older tokens of a grant stay good', async () => {
  const { app, first } = await begin({ singleActive: 'off', overlapSeconds: 0 });
  await refresh(server, app, first.refresh_token);
  assert.equal(await isActive(server, resourceServer, first.access_token), true);
});

test('live tokens of one grant are capped, and the refused refresh is not used up', async () => {
  const { app, first } = await begin({ singleActive: 'off' });
  let token = first.refresh_token;
  for (let issued = 1; issued < 20; issued++) {
    const answer = await refresh(server, app, token);
    assert.equal(answer.status, 200, `token ${issued + 1}`);
    token = answer.body.refresh_token;
  }
  const capped = await refresh(server, app, token);
  assert.equal(capped.status, 429);
  assert.equal(capped.body.code, 'rate_limited.live_tokens');
  assert.ok(Number(capped.headers.get('retry-after')) > 0);
  server.clock.advance(16 * 60_000);
  assert.equal((await refresh(server, app, token)).status, 200);
});

test('live tokens of one client are capped, for others nothing changes', async () => {
  const machine = { redirectUris: [], scopes: ['accounts:read'], accessLifetimeSeconds: 600 };
  const app = await server.addClient({ ...machine, maxLiveTokens: 3 });
  const other = await server.addClient(machine);
  const ask = ({ client, secret }: Application) =>
    server.post('/oauth2/token', {
      grant_type: 'client_credentials',
      client_id: client.id,
      client_secret: secret,
    });
  for (let issued = 0; issued < 3; issued++) assert.equal((await ask(app)).status, 200);
  const capped = await ask(app);
  assert.equal(capped.status, 429);
  assert.equal(capped.headers.get('retry-after'), '600');
  assert.equal((await ask(other)).status, 200);
  server.clock.advance(601_000);
  assert.equal((await ask(app)).status, 200);
});

test('superseded tokens count against a client until they expire: refreshing in a loop cannot fill the store', async () => {
  const { app, first } = await begin({ maxLiveTokens: 3, overlapSeconds: 0 });
  const second = await refresh(server, app, first.refresh_token);
  const third = await refresh(server, app, second.body.refresh_token);
  server.clock.advance(6_000);
  assert.equal((await refresh(server, app, third.body.refresh_token)).status, 429);
  server.clock.advance(15 * 60_000);
  assert.equal((await refresh(server, app, third.body.refresh_token)).status, 200, 'and was not used up');
});

test('BC-10 an access token lives fifteen minutes by default and dies at its exp', async () => {
  const { first } = await begin();
  const { iat, exp } = opened(first.access_token).claims;
  assert.equal(Number(exp) - Number(iat), 900);
  assert.equal(first.expires_in, 900);
  server.clock.advance(895_000);
  assert.equal(await isActive(server, resourceServer, first.access_token), true);
  server.clock.advance(6_000);
  assert.equal(await isActive(server, resourceServer, first.access_token), false);
});

test('BC-03 a family unused for its idle time is over; used, it goes on', async () => {
  const lifetimes = { refreshIdleSeconds: 3_600, refreshAbsoluteSeconds: 10_800 };
  const { app, first } = await begin(lifetimes);
  server.clock.advance(3_590_000);
  const second = await refresh(server, app, first.refresh_token);
  assert.equal(second.status, 200);
  server.clock.advance(3_601_000);
  const late = await refresh(server, app, second.body.refresh_token);
  assertRefused(late, 'invalid_grant');
  assert.equal(late.body.code, 'unauthorized.bad_refresh_token.expired');
});

test('BC-03 rotation never moves the absolute end: refreshed weekly, a grant of thirty days dies after thirty', async () => {
  const { app, first } = await begin({ refreshIdleSeconds: 8 * 86_400, refreshAbsoluteSeconds: 30 * 86_400 });
  let token = first.refresh_token;
  for (let week = 1; week <= 4; week++) {
    server.clock.advance(7 * DAY_MS);
    const answer = await refresh(server, app, token);
    assert.equal(answer.status, 200, `week ${week}`);
    token = answer.body.refresh_token;
  }
  server.clock.advance(2 * DAY_MS);
  assertRefused(await refresh(server, app, token), 'invalid_grant');
});
