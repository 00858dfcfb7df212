import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer } from '@countersign/testkit';

const server = await startTestServer();
after(() => server.close());

test('SE-06 a user ends a session in another browser; what lived by it dies, and nobody else can', async () => {
  const here = await server.logIn('ada@example.com');
  const there = await server.logIn('ada@example.com');
  const stranger = await server.logIn('mallory@example.com');
  await server.logIn('mallory@example.com');
  const app = await server.addClient();
  const tokens = await server.obtainTokens({ browser: there, ...app, scope: 'openid accounts:read' });
  const refresh = async () => {
    const form = { grant_type: 'refresh_token', client_id: app.client.id, client_secret: app.secret };
    return server.post('/oauth2/token', { ...form, refresh_token: tokens.refresh_token ?? '' });
  };
  const account = await here.get('/account');
  const session = /name="session" value="(sess_[^"]+)"/.exec(account.text)?.[1] ?? '';
  assert.match(session, /^sess_/);

  // LG-01: with a form and token of his own, a stranger cannot.
  await stranger.submit(await stranger.get('/account'), { session }, { action: '/account/end-session' });
  assert.match((await there.get('/account')).text, /You are logged in as/);

  const after = await here.submit(account, { session }, { action: '/account/end-session' });
  assert.doesNotMatch(after.text, /name="session"/, 'only this browser is left');
  assert.match((await there.get('/account')).url, /\/login/);
  assert.match((await here.get('/account')).text, /You are logged in as/);
  assert.equal((await refresh()).status, 400);
});
