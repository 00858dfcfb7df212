// Once: it is about the database file.
import assert from 'node:assert/strict';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Installation } from './command-line.ts';

/** A server with two users, a backup made while it runs, and what happened after it. */
async function lived(here: Installation) {
  const server = await here.start();
  const client = await here.addClient();
  const api = await here.addResourceServer();
  const honest = await here.logIn('ada@example.com');
  const kept = await here.obtainTokens(honest, client);
  const revoked = await here.obtainTokens(await here.logIn('bob@example.com'), client);
  const disabled = await here.obtainTokens(await here.logIn('cyd@example.com'), client);
  const code = await here.obtainCode(honest, client);
  const open = await here.openLink('dan@example.com');

  const backup = join(here.root, 'backup');
  const description = await here.json(['backup', backup]);
  assert.equal(statSync(backup).mode & 0o777, 0o700);
  for (const name of readdirSync(backup)) assert.equal(statSync(join(backup, name)).mode & 0o777, 0o600, name);

  const second = await here.refresh(client, kept.refresh_token);
  const newest = await here.refresh(client, String(second.body.refresh_token));
  assert.equal(newest.status, 200);
  const { record } = await here.json(['token', 'inspect'], revoked.access_token);
  const { grant } = record as { grant: string }; // the command below asserts that it is one
  assert.equal((await here.run(['grant', 'revoke', grant])).code, 0);
  assert.equal((await here.run(['user', 'disable', 'cyd@example.com'])).code, 0);
  const later = await here.obtainTokens(await here.logIn('eve@example.com'), client);
  return { server, client, api, honest, kept, newest, revoked, disabled, code, open, later, backup, description };
}

describe('the way back from a backup', () => {
  test('refused while the server runs, and without --force', async (t) => {
    const here = await Installation.make();
    t.after(() => here.remove());
    const server = await here.start();
    const backup = join(here.root, 'backup');
    assert.equal((await here.run(['backup', backup])).code, 0);
    const running = await here.run(['restore', backup, '--force']);
    assert.equal(running.code, 1);
    assert.match(running.stderr, /a server or a restore .* is using it\. Stop that one/);
    assert.equal((await fetch(`${here.issuer}/readyz`)).status, 200);
    await server.stop();
    const there = await here.run(['restore', backup]);
    assert.equal(there.code, 1);
    assert.match(there.stderr, /already has a database\. Use --force/);
    const none = await here.run(['restore', join(here.root, 'nothing'), '--force']);
    assert.match(none.stderr, /backup\.json is missing .* Choose another backup/);
    assert.equal((await here.run(['restore', backup, '--force'])).code, 0);
  });

  test('with the journal: grants go on, what was revoked stays dead, the rest dies', async (t) => {
    const here = await Installation.make();
    t.after(() => here.remove());
    const before = await lived(here);
    const { client, api, honest, kept, newest, revoked, disabled, code, open, later } = before;
    assert.equal(await before.server.stop(), 0);

    const restored = await here.json(['restore', before.backup, '--force']);
    assert.ok(Number(restored.epoch) > Number(before.description.epoch), 'the epoch rose');
    const { replayed, sessionsEnded } = restored.outcome as { replayed: object; sessionsEnded: number }; // asserted here
    assert.deepEqual(replayed, { grant_ended: 1, grant_rotated: 2, user_disabled: 1, client_disabled: 0 });
    assert.equal(sessionsEnded, 3);

    const server = await here.start();
    for (const token of [kept, newest.body, revoked, disabled, later].map((tokens) => String(tokens.access_token))) {
      assert.equal(await here.isActive(api, token), false);
    }
    assert.notEqual((await honest.request('/account')).status, 200, 'sessions are dead');
    assert.equal((await here.post('/oauth2/token', { ...code, ...client })).body.error, 'invalid_grant');
    await open.browser.submit(await open.browser.get(open.link), {}).catch(() => {});
    assert.ok(!open.browser.cookies.has('__Host-session'), 'links are dead');

    assert.equal((await here.refresh(client, revoked.refresh_token)).body.error, 'invalid_grant');
    assert.equal((await here.refresh(client, disabled.refresh_token)).body.error, 'invalid_grant');
    assert.equal(
      (await here.refresh(client, later.refresh_token)).body.error,
      'invalid_grant',
      'it is not in the backup',
    );
    const next = await here.refresh(client, String(newest.body.refresh_token));
    assert.equal(next.status, 200, 'the honest client goes on with the newest refresh token it has');
    assert.equal(await here.isActive(api, String(next.body.access_token)), true);
    assert.deepEqual((await here.json(['alarms'])).alarms, [], 'nothing of this is anybody’s attack');
    assert.equal(await server.stop(), 0);
  });

  test('without the journal, by request or because it is lost: every grant dies', async (t) => {
    const here = await Installation.make();
    t.after(() => here.remove());
    const { server: first, client, newest, kept, backup } = await lived(here);
    assert.equal(await first.stop(), 0);
    for (const words of [['--without-journal'], []]) {
      const told = await here.run(['restore', backup, '--force', ...words]);
      assert.equal(told.code, 0);
      assert.match(told.stdout, /Grants all ended \(3\).*Every application has to ask its users again/);
      const server = await here.start();
      for (const token of [String(newest.body.refresh_token), kept.refresh_token]) {
        assert.equal((await here.refresh(client, token)).body.error, 'invalid_grant');
      }
      const anew = await here.obtainTokens(await here.logIn('ada@example.com'), client);
      assert.equal((await here.refresh(client, anew.refresh_token)).status, 200);
      assert.equal(await server.stop(), 0);
      rmSync(join(here.dataFolder, 'journal'), { recursive: true });
    }
  });
});
