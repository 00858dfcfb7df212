/** Ids name things, stand in events and logs, and tell when a thing was made. Whoever knows one can do nothing with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idCreatedAtMs, isId } from '@countersign/protocol';
import { linkIn, startTestServer } from '@countersign/testkit';

test('HT-05 no id is accepted where a secret is asked for', async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  const browser = await server.logIn('ada@example.com');
  const { client, secret } = await server.addClient();
  const { code, verifier, redirectUri } = await server.obtainCode({ browser, client });
  const tokens = await server.obtainTokens({ browser, client, secret });
  const [token] = await server.authority.tokens.list({ limit: 1 });
  const links = server.mails.map((mail) => jtiOf(new URL(linkIn(mail)).searchParams.get('token') ?? ''));
  const ids = [
    token?.jti,
    token?.grantId,
    token?.sessionId,
    token?.userId,
    jtiOf(tokens.refresh_token ?? ''),
    ...links,
  ];
  assert.equal(ids.length, 6);

  const authenticated = { client_id: client.id, client_secret: secret };
  for (const id of ids) {
    assert.ok(id, 'every kind of id is known to the attacker');
    const bearer = await fetch(`${server.issuer}/ping/whoami`, { headers: { authorization: `Bearer ${id}` } });
    assert.equal(bearer.status, 401, `${id} as an access token`);
    const refresh = { grant_type: 'refresh_token', refresh_token: id, ...authenticated };
    assert.equal((await server.post('/oauth2/token', refresh)).status, 400, `${id} as a refresh token`);
    const redeem = { grant_type: 'authorization_code', code: id, code_verifier: verifier, redirect_uri: redirectUri };
    assert.equal((await server.post('/oauth2/token', { ...redeem, ...authenticated })).status, 400, `${id} as a code`);
    assert.equal(await accountStatus(server.issuer, id), 303, `${id} as a session`);
    assert.notEqual((await server.browser().get(`/login/link?token=${id}`)).status, 303, `${id} as a link`);
  }
  assert.deepEqual(await server.alarms(), [], 'and nothing rings');

  const bearer = { headers: { authorization: `Bearer ${tokens.access_token}` } };
  assert.equal((await fetch(`${server.issuer}/ping/whoami`, bearer)).status, 200);
  const redeem = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: redirectUri };
  assert.equal((await server.post('/oauth2/token', { ...redeem, ...authenticated })).status, 200);
  assert.equal(await accountStatus(server.issuer, browser.cookies.get('__Host-session') ?? ''), 200);
});

test('HT-05 an id tells when its thing was made and shares no more with the next one', async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  const beforeMs = server.clock.now();
  const { client } = await server.addClient();
  const { client: next } = await server.addClient();
  assert.ok(isId('oauth2client', client.id));
  const madeAtMs = idCreatedAtMs(client.id);
  assert.ok(madeAtMs >= beforeMs && madeAtMs <= server.clock.now());
  assert.notEqual(client.id.slice(-10), next.id.slice(-10));
});

function jtiOf(token: string): string {
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as { jti: string }; // ours
  return claims.jti;
}

/** 200 for a session in force, 303 to the login for anything else. */
async function accountStatus(issuer: string, cookie: string): Promise<number> {
  const headers = { cookie: `__Host-session=${cookie}` };
  return (await fetch(`${issuer}/account`, { redirect: 'manual', headers })).status;
}
