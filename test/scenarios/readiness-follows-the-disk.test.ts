// Only on SQLite: its disk is filled by a trigger in SQLite's own dialect.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer } from '@countersign/testkit';
import { introspect, isActive, refresh } from './oauth-calls.ts';

const server = await startTestServer();
after(() => server.close());

async function probe(path: string): Promise<number> {
  const response = await fetch(`${server.issuer}${path}`);
  await response.body?.cancel();
  return response.status;
}

test('DP-02 while the disk takes no writes the server is alive and unready, answers reads, and goes on when it does', async () => {
  const { store } = server.authority;
  const application = await server.addClient();
  const resourceServer = await server.addResourceServer();
  const browser = await server.logIn('ada@example.com');
  const scope = 'openid offline_access';
  const tokens = await server.obtainTokens({ browser, client: application.client, secret: application.secret, scope });
  assert.equal(await probe('/readyz'), 200);

  // Stands for a full disk: rotations fail at their commit, and so does the write by which readiness is tried.
  await store.write(async (tx) => {
    await tx.run('CREATE TABLE full (id INTEGER REFERENCES store_epoch (singleton) DEFERRABLE INITIALLY DEFERRED)');
    await tx.run('CREATE TRIGGER full_event AFTER INSERT ON access_token BEGIN INSERT INTO full VALUES (2); END');
    await tx.run('CREATE TRIGGER full_epoch AFTER UPDATE ON store_epoch BEGIN INSERT INTO full VALUES (2); END');
  });
  assert.equal((await refresh(server, application, tokens.refresh_token)).status, 503);
  assert.deepEqual([await probe('/readyz'), await probe('/livez')], [503, 200]);
  assert.equal((await introspect(server, resourceServer, tokens.access_token)).status, 200);

  await store.write(async (tx) => {
    await tx.run('DROP TRIGGER full_event');
    await tx.run('DROP TRIGGER full_epoch');
  });
  assert.equal(await probe('/readyz'), 200);
  assert.ok(await isActive(server, resourceServer, tokens.access_token), 'what was acknowledged before stands');
  const again = await refresh(server, application, tokens.refresh_token);
  assert.equal(again.status, 200, 'what was refused may be asked again');
});
