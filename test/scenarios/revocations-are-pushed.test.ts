import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Agent } from 'node:https';
import { type TestContext, test } from 'node:test';
import type { StreamMessage } from '@countersign/protocol';
import { DEFAULT_AUDIENCE, startTestServer, type TestServer } from '@countersign/testkit';
import { pause } from './command-line.ts';
import { EventStream, newNonce, pulse } from './event-stream.ts';
import { type Application, basic, opened, refresh } from './oauth-calls.ts';

async function setUp(t: TestContext) {
  const server = await startTestServer();
  t.after(() => server.close());
  const resourceServer = await server.addResourceServer();
  const browser = await server.logIn('ada@example.com');
  const app = await server.addClient();
  const obtain = () => server.obtainTokens({ browser, ...app, scope: 'accounts:read offline_access' });
  const open = async (who: Application = resourceServer, asked = {}) => {
    const stream = await EventStream.open(server.issuer, who, asked);
    t.after(() => stream.close());
    return stream;
  };
  return { server, resourceServer, app, obtain, open };
}

/** Names of a token's subjects, as a check tells them to a resource server. */
async function handlesOf(server: TestServer, who: Application, token: string): Promise<Record<string, string>> {
  const digest = createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest('base64url');
  const answer = await fetch(`${server.issuer}/verifier/check`, {
    method: 'POST',
    headers: { ...basic(who.client.id, who.secret), 'content-type': 'application/json' },
    body: JSON.stringify({ tokens: [{ jti: opened(token).claims.jti, digest }] }),
  });
  return (await answer.json()).answers[0].handles;
}

/** Takes back so many tokens, in one statement: thousands of them take their time on a network. */
async function append({ authority, clock }: TestServer, rows: number): Promise<void> {
  await authority.store.commit(
    authority.revocation.appendingEach({
      text: `WITH RECURSIVE series (row) AS (SELECT 1 UNION ALL SELECT row + 1 FROM series WHERE row < $1)
        SELECT CAST($2 AS BIGINT), 'token', 'acctok_' || row, NULL, CAST($3 AS BIGINT), NULL FROM series`,
      values: [rows, clock.now(), clock.now() + 60 * 60_000],
    }),
  );
}

/** Of what is dead, in order: whether it may be refused without asking. */
function finals({ messages }: EventStream): boolean[] {
  return messages.flatMap((message) => (message.kind === 'invalidate' ? [message.final] : []));
}

/** Waits until everything said before now has arrived. */
async function settled(server: TestServer, who: Application, stream: EventStream): Promise<void> {
  const nonce = newNonce();
  const { stream: name } = await stream.hello();
  assert.equal((await pulse(server.issuer, who, { stream: name, nonce })).status, 202);
  await stream.echo(nonce);
}

test('RV-06 what is taken back arrives under the handle that the check told, before the next echo', async (t) => {
  const { server, resourceServer, app, obtain, open } = await setUp(t);
  const tokens = await obtain();
  const handles = await handlesOf(server, resourceServer, tokens.access_token);
  const nonce = newNonce();
  const stream = await open(resourceServer, { nonce });
  assert.equal(stream.status, 200);
  assert.equal(stream.headers['content-type'], 'text/event-stream');
  assert.equal(stream.headers['cache-control'], 'no-store');
  assert.equal(stream.headers['x-accel-buffering'], 'no');
  assert.equal(stream.headers['content-encoding'], undefined);
  await stream.echo(nonce);
  const hello = await stream.hello();
  assert.deepEqual([hello.epoch, hello.resumed, stream.messages.length], [1, false, 2]);
  assert.match(hello.stream, /^[\w-]{22}$/);

  const credentials = { client_id: app.client.id, client_secret: app.secret };
  assert.equal((await server.post('/oauth2/revoke', { token: tokens.access_token, ...credentials })).status, 200);
  await settled(server, resourceServer, stream);
  assert.deepEqual(stream.dead, [{ subject: 'token', handle: handles.token }]);
  const more = await obtain();
  const { grant, user, client } = await handlesOf(server, resourceServer, more.access_token);
  assert.equal((await server.post('/oauth2/revoke', { token: more.refresh_token ?? '', ...credentials })).status, 200);
  await server.authority.revocation.disableUser(String(opened(more.access_token).claims.sub));
  await server.authority.revocation.disableClient(app.client.id);
  await settled(server, resourceServer, stream);
  assert.deepEqual(stream.dead.slice(1), [
    { subject: 'grant', handle: grant },
    { subject: 'user', handle: user },
    { subject: 'client', handle: client },
  ]);
  assert.deepEqual(finals(stream), [true, true, false, false], 'users and clients may be enabled again');
});

test('a superseded token is pushed as a token, unless it ends by itself within the verifier’s bound', async (t) => {
  const { server, resourceServer, app, obtain, open } = await setUp(t);
  const [patient, strict] = [
    await open(resourceServer, { max_staleness_ms: '3600000' }),
    await open(resourceServer, { max_staleness_ms: '3000' }),
  ];
  for (const stream of [patient, strict]) await stream.hello();
  const tokens = await obtain();
  const { token: handle } = await handlesOf(server, resourceServer, tokens.access_token);
  assert.equal((await refresh(server, app, tokens.refresh_token)).status, 200);
  for (const stream of [patient, strict]) await settled(server, resourceServer, stream);
  assert.deepEqual(strict.dead, [{ subject: 'token', handle }]);
  assert.deepEqual(finals(strict), [false], 'it has its overlap');
  assert.deepEqual(patient.dead, []);
});

test('a resource server hears nothing of other audiences, and of its own under names of its own', async (t) => {
  const { server, resourceServer, app, obtain, open } = await setUp(t);
  const others = [
    await server.addResourceServer('https://other.example'),
    await server.addResourceServer(DEFAULT_AUDIENCE),
  ];
  const [elsewhere, twin] = others as [Application, Application];
  const streams = [await open(elsewhere), await open(twin), await open(resourceServer)] as const;
  for (const stream of streams) await stream.hello();
  const tokens = await obtain();
  const credentials = { client_id: app.client.id, client_secret: app.secret };
  await server.post('/oauth2/revoke', { token: tokens.access_token, ...credentials });
  await settled(server, elsewhere, streams[0]);
  await settled(server, twin, streams[1]);
  await settled(server, resourceServer, streams[2]);
  assert.deepEqual(streams[0].dead, []);
  assert.equal(streams[1].dead.length, 1);
  assert.equal(streams[2].dead.length, 1);
  assert.notDeepEqual(streams[1].dead, streams[2].dead);
  for (const stream of streams) {
    for (const id of [opened(tokens.access_token).claims.jti, app.client.id, opened(tokens.access_token).claims.sub]) {
      assert.doesNotMatch(JSON.stringify(stream.messages), new RegExp(String(id)));
    }
  }
});

test('EB-09 whoever comes back hears what he missed; from before a swept row he begins anew', async (t) => {
  const { server, resourceServer, app, obtain, open } = await setUp(t);
  const first = await open();
  const { epoch, cursor } = await first.hello();
  first.close();
  const credentials = { client_id: app.client.id, client_secret: app.secret };
  const tokens = await obtain();
  const { token: handle } = await handlesOf(server, resourceServer, tokens.access_token);
  await server.post('/oauth2/revoke', { token: tokens.access_token, ...credentials });
  const asked = { epoch: String(epoch), cursor: String(cursor) };
  const second = await open(resourceServer, asked);
  assert.deepEqual([(await second.hello()).resumed, (await second.hello()).cursor], [true, cursor]);
  await settled(server, resourceServer, second);
  assert.deepEqual(second.dead, [{ subject: 'token', handle }]);

  const ahead = cursor + 1_000_000; // on PostgreSQL cursors count the transactions of the whole server
  const beyond = await open(resourceServer, { ...asked, cursor: String(ahead) });
  const anew = await beyond.hello();
  assert.deepEqual([anew.resumed, anew.cursor > cursor, anew.cursor < ahead], [false, true, true]);
  const restored = await open(resourceServer, { ...asked, epoch: '7' });
  assert.equal((await restored.hello()).resumed, false);

  await server.authority.revocation.disableUser(String(opened((await obtain()).access_token).claims.sub));
  server.clock.advance(60 * 60_000);
  while ((await server.authority.revocation.sweep(1_000)).deleted > 0);
  const late = await open(resourceServer, asked);
  const hello = await late.hello();
  assert.deepEqual([hello.resumed, hello.cursor > cursor + 1], [false, true]);
  await settled(server, resourceServer, late);
  assert.deepEqual(late.dead, []);
});

test('EB-09 whoever comes back over thousands of rows hears all of them or begins anew, and goes on', async (t) => {
  const { server, resourceServer, open } = await setUp(t);
  const first = await open();
  const { epoch, cursor } = await first.hello();
  first.close();
  for (const { rows, dead } of [
    { rows: 2_000, dead: 2_000 },
    { rows: 1_200, dead: 0 },
  ]) {
    await append(server, rows);
    const stream = await open(resourceServer, { epoch: String(epoch), cursor: String(cursor) });
    assert.equal((await stream.hello()).resumed, dead > 0);
    for (let pulses = 0; pulses < 3; pulses++) await settled(server, resourceServer, stream);
    assert.equal(stream.dead.length, dead);
  }
  assert.equal(
    server.logLines.some((line) => line.includes('too slowly')),
    false,
  );
});

test('a stream ends with its client, with a new epoch, and with the server', async (t) => {
  const { server, resourceServer, open } = await setUp(t);
  const other = await server.addResourceServer('https://other.example');
  const [own, foreign] = [await open(), await open(other)];
  for (const stream of [own, foreign]) await stream.hello();
  await server.authority.revocation.disableClient(other.client.id);
  await foreign.ended();
  const refused = await open(other);
  assert.deepEqual([refused.status, (await refused.body()).code], [401, 'unauthorized.client_authentication']);
  await settled(server, resourceServer, own);

  await server.authority.store.write((tx) => tx.run('UPDATE store_epoch SET epoch = epoch + 1'));
  await own.ended();
  const again = await open();
  assert.equal((await again.hello()).epoch, 2);
  await server.authority.store.write((tx) => tx.run('UPDATE store_epoch SET epoch = 1'));
  await again.ended();
  const behind = await open();
  assert.equal(behind.status, 503);
  assert.ok(Number(behind.headers['retry-after']) >= 1);
  assert.deepEqual(
    [(await behind.body()).code, (await open().then((stream) => stream.body())).error],
    ['unavailable.store_behind', 'temporarily_unavailable'],
  );
  await server.authority.store.write((tx) => tx.run('UPDATE store_epoch SET epoch = 3'));
  const last = await open();
  assert.equal((await last.hello()).epoch, 3);
  server.authority.push.stop();
  await last.ended();
  const stopped = await open();
  assert.deepEqual([stopped.status, (await stopped.body()).code], [503, 'unavailable.streams']);
});

test('a client without the role, a foreign stream and ten thousand nonces get nowhere', async (t) => {
  const { server, resourceServer, app, open } = await setUp(t);
  const stranger = await open(app);
  assert.deepEqual([stranger.status, (await stranger.body()).code], [403, 'forbidden.not_a_resource_server']);
  const stream = await open();
  const { stream: name } = await stream.hello();
  const nonce = newNonce();
  const notHis = await pulse(server.issuer, app, { stream: name, nonce });
  assert.deepEqual([notHis.status, notHis.code], [403, 'forbidden.not_a_resource_server']);
  const other = await server.addResourceServer();
  const [foreign, none] = [
    await pulse(server.issuer, other, { stream: name, nonce }),
    await pulse(server.issuer, other, { stream: newNonce(), nonce }),
  ];
  assert.deepEqual(foreign, none);
  assert.deepEqual([foreign.status, foreign.code], [409, 'conflict.unknown_stream']);

  const { push } = server.authority;
  const taken = Array.from({ length: 10_000 }, () =>
    push.pulse(resourceServer.client, { stream: name, nonce: newNonce() }),
  );
  assert.equal(taken.filter((answer) => answer === 'taken').length, 8);
  assert.equal(taken.filter((answer) => answer === 'too_many').length, 9_992);
  // Until those that wait are echoed there is room for no other: only who sends eight within one read comes to know.
  const isEcho = ({ kind }: StreamMessage) => kind === 'heartbeat';
  while (stream.messages.filter(isEcho).length < 1 + 8) await stream.message(isEcho, stream.messages.length);
  await settled(server, resourceServer, stream);
  assert.equal(stream.messages.filter(isEcho).length, 1 + 8 + 1);
  assert.equal(
    stream.messages.some((message) => message.kind === 'heartbeat' && message.nonce === nonce),
    false,
  );
});

test('a pulse above what may wait is 429 and says when to try again', async (t) => {
  const { server, resourceServer, open } = await setUp(t);
  const stream = await open();
  const { stream: name } = await stream.hello();
  const { push } = server.authority;
  t.mock.method(push, 'pulse', () => 'too_many');
  const answer = await pulse(server.issuer, resourceServer, { stream: name, nonce: newNonce() });
  assert.deepEqual(answer, { status: 429, code: 'rate_limited.nonces', retryAfter: '1' });
});

test('a server that stops ends its streams and waits for no reader of one', async () => {
  const server = await startTestServer();
  const agent = new Agent({ keepAlive: true });
  const stream = await EventStream.open(server.issuer, await server.addResourceServer(), {}, agent);
  await stream.hello();
  assert.equal(stream.headers.connection, 'close');
  await Promise.all([server.close(), stream.ended()]);
  assert.equal(stream.response.complete, true, 'ended, not cut off');
  agent.destroy();
});

test('the log says of a stream that it was asked for, at once, and nothing of what was asked', async (t) => {
  const { server, open } = await setUp(t);
  const nonce = newNonce();
  const stream = await open(undefined, { nonce });
  await stream.echo(nonce);
  const lines = server.logLines.filter((line) => line.includes('/verifier/stream'));
  assert.equal(lines.length, 1);
  assert.equal(JSON.parse(lines[0] ?? '').status, 200);
  assert.doesNotMatch(server.logLines.join(), new RegExp(nonce));
});

test('whoever goes away is forgotten', async (t) => {
  const { server, open } = await setUp(t);
  const stream = await open();
  await stream.hello();
  assert.equal(server.authority.push.size, 1);
  const other = await open();
  await other.hello();
  stream.close();
  for (let tries = 0; tries < 400 && server.authority.push.size > 1; tries++) await pause(5);
  assert.equal(server.authority.push.size, 1);
});

test('a reader that stops reading is cut off, and nobody else waits for it', async (t) => {
  const { server, resourceServer, open } = await setUp(t);
  const [slow, quick] = [await open(), await open()];
  for (const stream of [slow, quick]) await stream.hello();
  slow.response.pause();
  const { push } = server.authority;
  let appended = 0;
  while (push.size > 1 && appended < 200_000) {
    await append(server, 1_000);
    appended += 1_000;
    await settled(server, resourceServer, quick);
  }
  assert.equal(push.size, 1, `the slow one still stands after ${appended} rows`);
  assert.equal(quick.dead.length, appended);
  assert.ok(server.logLines.some((line) => line.includes('too slowly')));
  slow.response.resume();
  await slow.ended();
  assert.ok(slow.dead.length < appended);
  await settled(server, resourceServer, quick);
});
