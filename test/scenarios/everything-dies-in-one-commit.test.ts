import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, startTestServer, type TestServer } from '@countersign/testkit';
import { type Application, credentials, isActive, opened, read, redeem, refresh, userinfo } from './oauth-calls.ts';

let server: TestServer;
let resourceServer: Application;
before(async () => {
  server = await startTestServer();
  resourceServer = await server.addResourceServer();
});
after(() => server.close());

/** Everything that a login and a grant have made, and a question to each whether it is still good. */
async function everything(registration: Parameters<TestServer['addClient']>[0] = {}, scope = 'openid accounts:read') {
  const browser = await server.logIn(`user-${Math.floor(server.clock.now())}@example.com`);
  const app = await server.addClient(registration);
  const tokens = await server.obtainTokens({ browser, client: app.client, secret: app.secret, scope });
  const code = await server.obtainCode({ browser, client: app.client, scope });
  const { sub, jti } = opened(tokens.access_token).claims;
  const row = await server.authority.tokens.find(String(jti));
  server.clock.advance(1); // so that the next login has another name
  return { browser, app, tokens, code, userId: String(sub), grantId: row?.grantId ?? '' };
}

type Everything = Awaited<ReturnType<typeof everything>>;

/** Asks in an order in which no question spoils the next. */
async function state({ browser, app, tokens, code }: Everything) {
  return {
    introspection: await isActive(server, resourceServer, tokens.access_token),
    userinfo: (await userinfo(server, tokens.access_token)).status === 200,
    session: await isLoggedIn(browser),
    refresh: (await refresh(server, app, tokens.refresh_token)).status === 200,
    code: (await redeem(server, app, code)).status === 200,
  };
}

async function isLoggedIn(browser: Browser): Promise<boolean> {
  return (await browser.get('/account')).url.endsWith('/account');
}

const ALL_GOOD = { introspection: true, userinfo: true, session: true, refresh: true, code: true };
const ALL_DEAD = { introspection: false, userinfo: false, session: false, refresh: false, code: false };

test('left alone, everything is good', async () => {
  assert.deepEqual(await state(await everything()), ALL_GOOD);
});

test('RV-06 disabling a user kills sessions, codes, grants and tokens, and enabling brings none back', async () => {
  const made = await everything();
  const bystander = await everything();
  await server.authority.revocation.disableUser(made.userId);
  assert.deepEqual(await state(made), ALL_DEAD);
  assert.deepEqual(await state(bystander), ALL_GOOD);
  await server.authority.store.write((tx) => server.authority.users.enable(tx, made.userId));
  assert.deepEqual(await state(made), ALL_DEAD);
});

test('RV-06 disabling a client kills its codes, grants and tokens; the user stays logged in', async () => {
  const made = await everything();
  const bystander = await everything();
  await server.authority.revocation.disableClient(made.app.client.id);
  assert.deepEqual(await state(made), { ...ALL_DEAD, session: true });
  assert.deepEqual(await state(bystander), ALL_GOOD);
  await server.authority.clients.enable(made.app.client.id);
  assert.deepEqual(await state(made), { ...ALL_DEAD, session: true }, 'what was dead stays dead');
  const again = { browser: made.browser, client: made.app.client, secret: made.app.secret };
  const fresh = await server.obtainTokens(again);
  assert.equal(await isActive(server, resourceServer, fresh.access_token), true);
});

test('RV-06 ending a grant kills its tokens, and only its own', async () => {
  const made = await everything();
  const { grants, store } = server.authority;
  assert.equal(await store.write((tx) => grants.end(tx, made.grantId, 'operator')), true);
  assert.deepEqual(await state(made), { ...ALL_DEAD, session: true, code: true });
  assert.equal(await store.write((tx) => grants.end(tx, made.grantId, 'operator')), false, 'it ends once');
});

test('BC-11 a logout ends the session, its codes and grants', async () => {
  const made = await everything();
  const page = await made.browser.submit(await made.browser.get('/logout'), {}, { action: '/logout' });
  assert.equal(page.status, 200);
  assert.deepEqual(await state(made), ALL_DEAD);
});

test('BC-11 a grant with offline_access outlives the logout', async () => {
  const made = await everything({}, 'openid offline_access');
  await made.browser.submit(await made.browser.get('/logout'), {}, { action: '/logout' });
  assert.deepEqual(await state(made), { ...ALL_GOOD, session: false, code: false });
});

test('an old session cookie is no session after the logout', async () => {
  const made = await everything();
  const cookie = made.browser.cookies.get('__Host-session') ?? '';
  await made.browser.submit(await made.browser.get('/logout'), {}, { action: '/logout' });
  made.browser.cookies.set('__Host-session', cookie);
  assert.equal(await isLoggedIn(made.browser), false);
});

test('a revocation appends what verifiers must hear in the same commit', async () => {
  const made = await everything();
  const { revocation, grants, store } = server.authority;
  const position = (await revocation.after(0, 10_000)).at(-1)?.position ?? 0;
  await store.write((tx) => grants.end(tx, made.grantId, 'operator'));
  await revocation.disableUser(made.userId);
  await revocation.disableClient(made.app.client.id);
  const rows = await revocation.after(position, 10_000);
  assert.deepEqual(
    rows.map(({ kind, subjectId }) => [kind, subjectId]),
    [
      ['grant', made.grantId],
      ['user', made.userId],
      ['client', made.app.client.id],
    ],
  );
});

test('a revocation that fails half-way has not happened', async () => {
  const made = await everything();
  const { grants, store } = server.authority;
  const failing = store.write(async (tx) => {
    await grants.end(tx, made.grantId, 'operator');
    throw new Error('power cut');
  });
  await assert.rejects(failing, /power cut/);
  assert.deepEqual(await state(made), ALL_GOOD);
});

test('a redemption under way while its user is disabled yields nothing that lives', async () => {
  const made = await everything();
  const [answer] = await Promise.all([
    redeem(server, made.app, made.code),
    server.authority.revocation.disableUser(made.userId),
  ]);
  const token = answer.body.access_token;
  if (token !== undefined) assert.equal(await isActive(server, resourceServer, token), false);
  const form = { grant_type: 'refresh_token', refresh_token: answer.body.refresh_token ?? 'none' };
  const next = await read(await server.post('/oauth2/token', { ...form, ...credentials(made.app) }));
  assert.equal(next.body.error, 'invalid_grant');
});
