import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestServer } from '@countersign/testkit';

test('BC-01 BC-04 a refresh token works once; a stolen one ends the family and rings', async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  const browser = await server.logIn('ada@example.com');
  const { client, secret } = await server.addClient();
  const first = await server.obtainTokens({ browser, client, secret });
  const refresh = async (token: string | undefined) => {
    const response = await server.post('/oauth2/token', {
      grant_type: 'refresh_token',
      refresh_token: token ?? '',
      client_id: client.id,
      client_secret: secret,
    });
    return { status: response.status, body: await response.json() };
  };
  const second = await refresh(first.refresh_token);
  assert.equal(second.status, 200);
  assert.notEqual(second.body.refresh_token, first.refresh_token);

  const repeated = await refresh(first.refresh_token);
  assert.deepEqual(repeated, second, 'within the grace window a retry gets the same answer');

  const third = await refresh(second.body.refresh_token);
  assert.equal(third.status, 200);
  server.clock.advance(11_000);
  const stolen = await refresh(first.refresh_token);
  assert.equal(stolen.status, 400);
  assert.equal(stolen.body.error, 'invalid_grant');
  assert.equal((await refresh(third.body.refresh_token)).body.error, 'invalid_grant');
  assert.deepEqual(
    (await server.alarms()).map(({ type }) => type),
    ['alarm.replayed'],
  );
});
