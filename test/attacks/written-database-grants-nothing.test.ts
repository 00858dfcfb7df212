/**
 * Whoever writes the database, without the keys, makes no row that counts: no session, code, client, secret, link or address of his
 * own. What he can do (take marks back, delete) is in docs/threat-model.md.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type Browser, codeIn, startTestServer, type TestServer, type TokenSet } from '@countersign/testkit';

import { authorize } from '../scenarios/oauth-calls.ts';

type Row = Record<string, string | number | bigint | Uint8Array | null>;

describe('a written database', () => {
  let server: TestServer;
  let ada: Browser;
  let adaId: string;
  let app: Awaited<ReturnType<TestServer['addClient']>>;

  before(async () => {
    server = await startTestServer();
    ada = await server.logIn('ada@example.com');
    adaId = (await server.authority.users.byEmail('ada@example.com'))?.id ?? '';
    app = await server.addClient();
  });
  after(() => server.close());
  beforeEach(() => server.clock.advance(61_000));

  const read = (sql: string, ...values: string[]) => server.authority.store.read.get<Row>(sql, ...values);

  /** Copies a row and changes it, as `INSERT` by somebody with write access would. */
  async function insert(table: string, row: Row): Promise<void> {
    const names = Object.keys(row);
    await server.authority.store.write((tx) =>
      tx.run(
        `INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map((_, at) => `$${at + 1}`).join(', ')})`,
        ...Object.values(row),
      ),
    );
  }

  const run = (sql: string, ...values: (string | Uint8Array)[]) =>
    server.authority.store.write((tx) => tx.run(sql, ...values));

  async function assertRings(): Promise<void> {
    for (let tries = 0; tries < 200; tries++) {
      const alarms = await server.authority.events.alarms({ limit: 1 });
      const newest = alarms[0];
      if (newest && newest.type === 'alarm.tampered' && newest.atMs > server.clock.now() - 60_000) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.fail('a row that somebody else wrote rings');
  }

  test('attack: a session row with a cookie of his own logs him in as nobody', async () => {
    const cookie = randomBytes(32).toString('base64url');
    const row = await read('SELECT * FROM browser_session WHERE user_id = $1', adaId);
    assert.ok(row);
    const digest = createHash('sha256').update(cookie).digest();
    await insert('browser_session', { ...row, id: otherId(row), digest });
    const thief = server.browser();
    thief.cookies.set('__Host-session', cookie);
    assert.match((await thief.get('/account')).url, /\/login/);
    assert.doesNotMatch((await ada.get('/account')).url, /\/login/, 'the real session still counts');
    await assertRings();
  });

  test("attack: his own session row, made somebody else's, is nobody's", async () => {
    const mallory = await server.logIn('mallory@example.net');
    const user = await server.authority.users.byEmail('mallory@example.net');
    await run('UPDATE browser_session SET user_id = $1 WHERE user_id = $2', adaId, user?.id ?? '');
    assert.match((await mallory.get('/account')).url, /\/login/);
    await assertRings();
  });

  test('attack: his address on her account brings his mail no link to it', async () => {
    const eve = 'eve@example.net';
    await server.logIn('bob@example.com');
    await run("UPDATE app_user SET email = $1 WHERE email = 'bob@example.com'", eve);
    const browser = server.browser();
    const sent = await browser.submit(await browser.get('/login'), { email: eve });
    const mail = await server.mailTo(eve);
    await browser.submit(sent, { code: codeIn(mail) });
    assert.ok(!browser.cookies.has('__Host-session'));
    await assertRings();
  });

  test('attack: her address in the row of his own link logs him in as nobody', async () => {
    const browser = server.browser();
    const sent = await browser.submit(await browser.get('/login'), { email: 'mallory@example.net' });
    const mail = await server.mailTo('mallory@example.net');
    await run(
      "UPDATE magic_link SET email = 'ada@example.com', user_id = $1 WHERE email = 'mallory@example.net'",
      adaId,
    );
    await browser.submit(sent, { code: codeIn(mail) });
    assert.ok(!browser.cookies.has('__Host-session'));
    await assertRings();
  });

  test('attack: a code row of his own is no code', async () => {
    await server.obtainCode({ browser: ada, client: app.client });
    const row = await read('SELECT * FROM authorization_code WHERE user_id = $1 ORDER BY id DESC', adaId);
    assert.ok(row);
    const code = randomBytes(32).toString('base64url');
    const verifier = randomBytes(32).toString('base64url');
    await insert('authorization_code', {
      ...row,
      digest: createHash('sha256').update(code).digest(),
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    });
    const answer = await server.post('/oauth2/token', {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      client_id: app.client.id,
      client_secret: app.secret,
    });
    assert.equal(answer.status, 400);
    assert.equal((await answer.json()).error, 'invalid_grant');
    await assertRings();
  });

  test('attack: a secret row of his own authenticates no client', async () => {
    const row = await read('SELECT * FROM client_secret WHERE client_id = $1', app.client.id);
    assert.ok(row);
    const secret = randomBytes(32).toString('base64url');
    const digest = createHash('sha256').update(secret).digest();
    await insert('client_secret', { ...row, id: otherId(row), digest });
    const form = { token: 'x', client_id: app.client.id };
    assert.equal((await server.post('/oauth2/revoke', { ...form, client_secret: secret })).status, 401);
    assert.equal((await server.post('/oauth2/revoke', { ...form, client_secret: app.secret })).status, 200);
    await assertRings();
  });

  test('attack: a registration that somebody widened is no registration', async () => {
    const machine = await server.addClient({ redirectUris: [], scopes: ['reports:read'] });
    await run("UPDATE client SET scopes = 'reports:read payments:write' WHERE id = $1", machine.client.id);
    const form = { grant_type: 'client_credentials', client_id: machine.client.id, client_secret: machine.secret };
    const answer = await server.post('/oauth2/token', form);
    assert.equal(answer.status, 401);
    await assertRings();
  });

  test('attack: a consent row of his own, for his own application, asks her all the same', async () => {
    const his = await server.addClient({ name: 'Mallory’s' });
    await server.obtainCode({ browser: ada, client: app.client });
    const row = await read('SELECT * FROM consent WHERE user_id = $1', adaId);
    assert.ok(row);
    await insert('consent', { ...row, client_id: his.client.id });
    const asked = async (to: typeof app) => (await authorize(ada, to)).page.text.includes('name="decision"');
    assert.equal(await asked(his), true);
    await assertRings();
    assert.equal(await asked(app), false, 'the real one still counts');
  });

  test('attack: a grant whose scope somebody widened is refreshed into nothing', async () => {
    const tokens: TokenSet = await server.obtainTokens({ browser: ada, ...app, scope: 'accounts:read' });
    await run("UPDATE oauth_grant SET scope = 'accounts:read openid email' WHERE scope = 'accounts:read'");
    const answer = await server.post('/oauth2/token', {
      grant_type: 'refresh_token',
      refresh_token: tokens.refresh_token ?? '',
      client_id: app.client.id,
      client_secret: app.secret,
    });
    assert.equal(answer.status, 400);
    await assertRings();
  });
});

/** An id of the same form that is not the row's own. */
function otherId(row: Row): string {
  const id = String(row.id);
  return `${id.slice(0, -1)}${id.endsWith('z') ? 'y' : 'z'}`;
}
