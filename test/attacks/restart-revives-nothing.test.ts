import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { composeAuthority } from '@countersign/server';
import { engineOf, openTestStore, startTestServer, type TestServer } from '@countersign/testkit';

/** Rotates twice within the running second and returns all three generations. */
async function threeGenerations(server: TestServer) {
  const browser = await server.logIn('ada@example.com');
  const { client, secret } = await server.addClient({ graceSeconds: 0 });
  const { refresh_token: first } = await server.obtainTokens({ browser, client, secret });
  const rotate = async (token: string | undefined) => {
    const credentials = { client_id: client.id, client_secret: secret };
    const response = await server.post('/oauth2/token', {
      ...{ grant_type: 'refresh_token', refresh_token: token ?? '' },
      ...credentials,
    });
    return { status: response.status, token: String((await response.json()).refresh_token) };
  };
  const second = await rotate(first);
  const third = await rotate(second.token);
  assert.deepEqual([second.status, third.status], [200, 200]);
  return { client, rotate, first: first ?? '', second: second.token, third: third.token };
}

test('attack-02 a restart makes no rotated refresh token good again', async (t) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'countersign-restart-'));
  t.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const before = await startTestServer({ dataFolder });
  t.after(() => before.close());
  const { client, second, third } = await threeGenerations(before);
  const { world, settings } = before.authority;
  await before.close();

  const { store, remove } = await openTestStore({
    ...{ engine: engineOf(undefined), dataFolder, clock: world.clock, journal: [] },
  });
  t.after(async () => {
    await store.close();
    await remove();
  });
  const after = await composeAuthority({ world, settings, store, masterKey: before.masterKey });
  const refresh = (token: string) =>
    after.grants.refresh(client, { token, scope: undefined, resource: undefined, address: '192.0.2.1' });
  const fourth = await refresh(third);
  assert.notEqual(fourth.refresh_token, undefined, 'the current one goes on');
  await assert.rejects(refresh(second), { error: 'invalid_grant' });
});

test('attack-03 generations are counted, not timed: of rotations within one second only the last lives', async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  const { rotate, first, third } = await threeGenerations(server);
  assert.equal((await rotate(third)).status, 200);
  assert.equal((await rotate(first)).status, 400);
});
