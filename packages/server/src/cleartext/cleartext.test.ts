import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { CleartextCandidate } from '../http/http.ts';
import { StoreUnavailable } from '../store/store.ts';
import { claimsOf, HOME, openAuthority } from '../testing/testing.ts';
import { Cleartext } from './cleartext.ts';

const opened = await openAuthority();
after(opened.close);
const { authority, clock, store, addClient, addUser, approve, obtainTokens, refresh } = opened;
const { cleartext, grants, sessions, tokens } = authority;
const { client, secret } = await addClient();
const ada = await addUser('ada@example.com');

/** What rang, as "what it was, whether it was taken back". */
async function sighted(candidates: CleartextCandidate[], peerNetwork = 'net'): Promise<string[]> {
  clock.pass(1);
  const before = (await authority.events.alarms({ limit: 1_000 })).length;
  const from = { address: HOME, network: HOME, peerNetwork, method: 'POST', path: '/' };
  await cleartext.sighted({ ...from, candidates });
  const alarms = await authority.events.alarms({ limit: 1_000 });
  return alarms
    .slice(0, alarms.length - before)
    .reverse()
    .map(({ type, detail }) => `${type} ${detail?.token} ${detail?.revoked ? 'taken back' : 'kept'}`);
}
const bearer = (token: string | undefined): CleartextCandidate => ({ kind: 'bearer', token: token ?? '' });
const parameter = (name: string, value: string | undefined): CleartextCandidate => ({
  kind: 'parameter',
  name,
  value: value ?? '',
});
const nextMinute = () => clock.pass(60_000);

test('a good access token in the clear: that one is taken back, the family stays', async () => {
  const first = await obtainTokens({ client, ...ada });
  assert.deepEqual(await sighted([bearer(first.access_token)]), ['alarm.cleartext access taken back']);
  assert.notEqual((await tokens.find(String(claimsOf(first.access_token).jti)))?.revokedAtMs, undefined);
  assert.deepEqual(await sighted([bearer(first.access_token)]), [], 'it is nobody’s loss any more');
  assert.ok((await refresh(client, first.refresh_token)).access_token);
});

test('a good refresh token in the clear: its grant ends', async () => {
  nextMinute();
  const first = await obtainTokens({ client, ...ada });
  const second = await refresh(client, first.refresh_token);
  assert.deepEqual(await sighted([parameter('refresh_token', first.refresh_token)]), [], 'a used one is silent');
  assert.deepEqual(await sighted([parameter('refresh_token', second.refresh_token)]), [
    'alarm.cleartext refresh taken back',
  ]);
  assert.equal((await grants.find(String(claimsOf(first.refresh_token).gid)))?.endReason, 'cleartext');
  assert.deepEqual(await sighted([parameter('refresh_token', second.refresh_token)]), []);
});

test('a good code in the clear is burned', async () => {
  nextMinute();
  const code = await approve({ client, ...ada });
  assert.deepEqual(await sighted([parameter('code', code.code)]), ['alarm.cleartext code taken back']);
  await assert.rejects(grants.redeemCode(client, code));
  assert.deepEqual(await sighted([parameter('code', code.code)]), []);
});

test('a session cookie in the clear ends its session and what lives by it', async () => {
  nextMinute();
  const eve = await addUser('eve@example.com');
  const login = { userId: eve.user.id, amr: ['email'], userAgent: 'x', network: HOME };
  const { cookie, session } = await store.write((tx) => sessions.start(tx, login));
  const first = await obtainTokens({ client, user: eve.user, session });
  const sent: CleartextCandidate = { kind: 'cookie', name: '__Host-session', value: cookie };
  assert.deepEqual(await sighted([{ ...sent, name: '__Host-other' }]), []);
  assert.deepEqual(await sighted([sent]), ['alarm.cleartext session taken back']);
  assert.equal(await sessions.find(cookie), undefined);
  assert.equal((await grants.find(String(claimsOf(first.refresh_token).gid)))?.endReason, 'logout');
  assert.deepEqual(await sighted([sent]), []);
});

test('a client secret in the clear only rings: the operator takes it back', async () => {
  nextMinute();
  const known = { clientId: client.id, clientSecret: secret };
  assert.deepEqual(await sighted([{ kind: 'basic', ...known }]), ['alarm.cleartext client_secret kept']);
  assert.deepEqual(await sighted([{ kind: 'secret', ...known }]), ['alarm.cleartext client_secret kept']);
  const { client: post, secret: postSecret } = await addClient({ authMethod: 'client_secret_post' });
  const sent: CleartextCandidate = { kind: 'secret', clientId: post.id, clientSecret: postSecret };
  assert.deepEqual(await sighted([sent]), ['alarm.cleartext client_secret kept']);
  assert.deepEqual(await sighted([{ ...sent, clientSecret: secret }]), [], 'a wrong secret exposes nothing');
});

test('what is not good is nobody’s loss and silent: expired, unknown, garbage', async () => {
  nextMinute();
  const { client: brief } = await addClient({ refreshIdleSeconds: 60, accessLifetimeSeconds: 30 });
  const first = await obtainTokens({ client: brief, ...ada });
  const code = await approve({ client, ...ada });
  clock.pass(61_000);
  assert.deepEqual(await sighted([bearer(first.access_token)]), []);
  assert.deepEqual(await sighted([parameter('refresh_token', first.refresh_token)]), []);
  assert.deepEqual(await sighted([parameter('code', code.code)]), []);
  const garbage = ['', 'x', 'a.b.c', '1'.repeat(9_000)];
  assert.deepEqual(
    await sighted(garbage.flatMap((text) => [bearer(text), parameter('code', text), parameter('token', text)])),
    [],
  );
});

test('past ten a minute from one peer more is only refused and rung, and other peers are still answered', async () => {
  nextMinute();
  const { client: app } = await addClient({ singleActive: 'off' });
  const made = [];
  for (let count = 0; count < 12; count++) made.push((await obtainTokens({ client: app, ...ada })).access_token);
  const rung = [];
  for (const token of made) rung.push(...(await sighted([bearer(token)], 'proxy')));
  assert.equal(rung.filter((line) => line.endsWith('taken back')).length, 10);
  assert.equal(rung.filter((line) => line.endsWith('kept')).length, 2);
  assert.deepEqual(await sighted([bearer(made.at(-1))], 'another'), ['alarm.cleartext access taken back']);
});

test('a client secret that cannot be checked does not pass as harmless', async () => {
  nextMinute();
  const broken = new Cleartext({
    ...authority,
    clients: {
      authenticate: () => Promise.reject(new StoreUnavailable('gone')),
    } as unknown as typeof authority.clients, // all it asks
  });
  const candidates: CleartextCandidate[] = [{ kind: 'basic', clientId: client.id, clientSecret: secret }];
  const from = { address: HOME, network: HOME, peerNetwork: 'net', method: 'POST', path: '/' };
  await assert.rejects(broken.sighted({ ...from, candidates }), StoreUnavailable);
});
