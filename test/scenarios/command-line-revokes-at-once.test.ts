import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Installation, pause, type Registered, type RunningServer } from './command-line.ts';
import { EventStream } from './event-stream.ts';
import { opened } from './oauth-calls.ts';

describe('a second process beside the running server', () => {
  let here: Installation;
  let server: RunningServer;
  let client: Registered;
  let api: Registered;

  before(async () => {
    here = await Installation.onEngineOfRun();
    server = await here.start();
    client = await here.addClient();
    api = await here.addResourceServer();
  });
  after(async () => {
    assert.equal(await server.stop(), 0);
    await here.remove();
  });

  test('RV-06 token revoke: dead when the command returns', async () => {
    const tokens = await here.obtainTokens(await here.logIn('ada@example.com'), client);
    assert.equal(await here.isActive(api, tokens.access_token), true);
    const jti = String(opened(tokens.access_token).claims.jti);

    const inspected = await here.run(['token', 'inspect'], { input: `${tokens.access_token}\n` });
    assert.match(inspected.stdout, /verdict +live/);
    assert.ok(inspected.stdout.includes(jti));
    const { eb } = opened(tokens.access_token).claims;
    assert.ok(!inspected.stdout.includes(String(eb)), 'the bucket is shown in part only');

    assert.equal((await here.run(['token', 'revoke', jti])).code, 0);
    assert.equal(await here.isActive(api, tokens.access_token), false);
    const after = await here.json(['token', 'inspect'], tokens.access_token);
    assert.equal(after.verdict, 'revoked');
    assert.match((await here.run(['token', 'revoke', jti])).stdout, /had been revoked already/);

    const next = await here.refresh(client, tokens.refresh_token);
    assert.equal(next.status, 200, 'the grant goes on');
    assert.equal(
      (await here.json(['token', 'inspect'], String(next.body.refresh_token))).verdict,
      'live: the newest of its grant',
    );
    assert.equal((await here.run(['token', 'revoke', '-'], { input: String(next.body.refresh_token) })).code, 0);
    assert.equal(await here.isActive(api, String(next.body.access_token)), false);
    assert.equal((await here.refresh(client, String(next.body.refresh_token))).status, 400);
  });

  test('RV-06 token revoke: a verifier hears of it within the poll, for the server cannot be woken from outside', async () => {
    const tokens = await here.obtainTokens(await here.logIn('push@example.com'), client);
    const resourceServer = { client: { id: api.client_id }, secret: api.client_secret };
    const stream = await EventStream.open(here.issuer, resourceServer);
    await stream.hello();
    assert.equal((await here.run(['token', 'revoke', String(opened(tokens.access_token).claims.jti)])).code, 0);
    const message = await stream.message(({ kind }) => kind === 'invalidate');
    assert.equal(message.kind === 'invalidate' && message.subject, 'token');
    assert.equal(stream.dead.length, 1);
    const { record } = await here.json(['token', 'inspect'], tokens.access_token);
    const { grant } = record as { grant: string }; // asserted by the next command
    assert.equal((await here.run(['grant', 'revoke', grant])).code, 0);
    await stream.message((next) => next.kind === 'invalidate' && next.subject === 'grant');
    stream.close();
  });

  test('RV-06 grant revoke: the family is dead when the command returns', async () => {
    const tokens = await here.obtainTokens(await here.logIn('bob@example.com'), client);
    const jti = String(opened(tokens.access_token).claims.jti);
    const { record } = await here.json(['token', 'inspect'], tokens.access_token);
    const { grant } = record as { grant: string }; // asserted by the next command
    assert.equal(await here.isActive(api, tokens.access_token), true);
    assert.equal((await here.run(['grant', 'revoke', grant])).code, 0);
    assert.equal(await here.isActive(api, tokens.access_token), false, jti);
    assert.equal((await here.refresh(client, tokens.refresh_token)).body.error, 'invalid_grant');
    assert.match((await here.run(['grant', 'list'])).stdout, new RegExp(`${grant} .* ended .* \\(operator\\)`));
  });

  test('user disable: session, tokens and grants are dead; enable brings back none of them', async () => {
    const browser = await here.logIn('cyd@example.com');
    const tokens = await here.obtainTokens(browser, client);
    assert.equal((await browser.request('/account')).status, 200);
    assert.equal((await here.run(['user', 'disable', 'Cyd@example.com'])).code, 0);
    assert.equal(await here.isActive(api, tokens.access_token), false);
    assert.equal((await here.refresh(client, tokens.refresh_token)).body.error, 'invalid_grant');
    assert.notEqual((await browser.request('/account')).status, 200);
    assert.equal((await here.run(['user', 'enable', 'cyd@example.com'])).code, 0);
    assert.equal(await here.isActive(api, tokens.access_token), false);
    assert.notEqual((await browser.request('/account')).status, 200);
    const anew = await here.obtainTokens(await here.logIn('cyd@example.com'), client);
    assert.equal(await here.isActive(api, anew.access_token), true);
  });

  test('client disable and rotate-secret', async () => {
    const own = await here.addClient();
    const tokens = await here.obtainTokens(await here.logIn('dan@example.com'), own);
    const rotated = await here.json(['client', 'rotate-secret', own.client_id]);
    const secret = { ...own, client_secret: String(rotated.client_secret) };
    const second = await here.refresh(secret, tokens.refresh_token);
    assert.equal(second.status, 200);
    const third = await here.refresh(own, String(second.body.refresh_token));
    assert.equal(third.status, 200, 'the old secret is good for a day');
    assert.equal((await here.run(['client', 'disable', own.client_id])).code, 0);
    assert.equal(await here.isActive(api, String(third.body.access_token)), false);
    assert.equal((await here.refresh(secret, String(third.body.refresh_token))).body.error, 'invalid_client');
    const { clients } = await here.json(['client', 'list']);
    assert.ok(
      Array.isArray(clients) && clients.some(({ id, disabledAt }) => id === own.client_id && disabledAt !== null),
    );
  });

  test('keys rotate: the server signs with the new key, and the old tokens stay good', async () => {
    const tokens = await here.obtainTokens(await here.logIn('eve@example.com'), client);
    const { rotated } = await here.json(['keys', 'rotate', '--purpose', 'access']);
    assert.ok(Array.isArray(rotated) && rotated.length === 1);
    let latest = tokens;
    for (let tries = 0; opened(latest.access_token).header.kid !== rotated[0].keyId; tries++) {
      assert.ok(tries < 30, 'the new key is in use within seconds');
      await pause(100);
      latest = (await here.refresh(client, latest.refresh_token)).body as unknown as typeof tokens; // read above
    }
    assert.equal(await here.isActive(api, tokens.access_token), true);
    assert.equal(await here.isActive(api, latest.access_token), true);
    assert.deepEqual((await here.json(['alarms'])).alarms, []);
  });

  test('alarms: a refresh token in the clear rings, a retry and a bad signature do not', async () => {
    const tokens = await here.obtainTokens(await here.logIn('fay@example.com'), client);
    const second = await here.refresh(client, tokens.refresh_token);
    await here.refresh(client, String(second.body.refresh_token));
    // From the same address and within ten seconds this is a client's retry: an event, no alarm.
    assert.equal((await here.refresh(client, tokens.refresh_token)).body.error, 'invalid_grant');
    const broken = tokens.access_token.split('.').with(1, Buffer.from('{"jti":"x"}').toString('base64url')).join('.');
    assert.equal((await here.json(['token', 'inspect'], broken)).verdict, 'refused: bad_signature');
    assert.deepEqual((await here.json(['alarms'])).alarms, []);

    const other = await here.obtainTokens(await here.logIn('gus@example.com'), client);
    const form = { grant_type: 'refresh_token', refresh_token: other.refresh_token ?? '', client_id: client.client_id };
    const plaintext = `http://localhost:${here.plaintextPort}/oauth2/token`;
    await fetch(plaintext, { method: 'POST', body: new URLSearchParams(form) });
    const { alarms } = await here.json(['alarms']);
    assert.deepEqual(Array.isArray(alarms) && alarms.map(({ type }) => type), ['alarm.cleartext']);
    assert.deepEqual((await here.json(['alarms', '--type', 'cleartext'])).alarms, alarms);
    assert.deepEqual((await here.json(['alarms', '--type', 'forged'])).alarms, []);
    assert.match((await here.run(['alarms'])).stdout, /cleartext +warning +1 +/);
  });

  test('with settings that are not the server’s a command is refused, and nothing rings', async () => {
    const tokens = await here.obtainTokens(await here.logIn('hal@example.com'), client);
    const before = await here.json(['keys', 'list']);
    const rung = await here.json(['alarms']);
    for (const environment of [
      { COUNTERSIGN_ISSUER: 'https://other.example' },
      { COUNTERSIGN_ACCESS_ALGORITHM: 'Ed25519' },
      { COUNTERSIGN_JOURNAL_FOLDER: join(here.root, 'elsewhere') },
    ]) {
      const refused = await here.run(['token', 'inspect'], { environment, input: tokens.access_token });
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /Run this with the settings of the server/);
    }
    assert.equal((await here.json(['token', 'inspect'], tokens.access_token)).verdict, 'live');
    assert.deepEqual(await here.json(['keys', 'list']), before);
    assert.deepEqual(await here.json(['alarms']), rung);
  });

  test('both processes write one journal, and no line of it is torn', async () => {
    const folder = here.environment.COUNTERSIGN_JOURNAL_FOLDER ?? join(here.dataFolder, 'journal');
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.jsonl'));
    const lines = names.flatMap((name) => readFileSync(join(folder, name), 'utf8').trimEnd().split('\n'));
    const kinds = new Map<string, number>();
    for (const line of lines) {
      const { kind } = JSON.parse(line) as { kind: string }; // throws on a torn line
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    assert.ok((kinds.get('grant_rotated') ?? 0) >= 4, 'from the server');
    assert.equal(kinds.get('user_disabled'), 1, 'from the command');
    assert.equal(kinds.get('client_disabled'), 1);
  });
});
