import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type CheckAnswer, createId, encodeBase64url } from '@countersign/protocol';
import { digestOf } from '../buckets/buckets.ts';
import { OAuthError } from '../oauth/oauth.ts';
import { AUDIENCE, claimsOf, HOME, ISSUER, openAuthority } from '../testing/testing.ts';

const opened = await openAuthority();
after(opened.close);
const { authority, clock, store, random, addClient, addUser, obtainTokens, refresh, forge, eventTypes } = opened;
const { introspection, tokens, grants, revocation } = authority;

const service = { redirectUris: [], grantTypes: [], scopes: [] };
const { client } = await addClient();
const { client: api } = await addClient({ ...service, resourceServerFor: [AUDIENCE] });
const { client: twin } = await addClient({ ...service, resourceServerFor: [AUDIENCE] });
const { client: elsewhere } = await addClient({ ...service, resourceServerFor: ['https://other.example'] });
const ada = await addUser('ada@example.com');
const INACTIVE = { active: false };

const ask = (token: string, caller = api) => introspection.introspect(caller, token, HOME);
const asked = (token: string) => ({
  jti: String(claimsOf(token).jti),
  digest: encodeBase64url(digestOf(token.slice(0, token.lastIndexOf('.')))),
});
async function check(token: string, caller = api): Promise<CheckAnswer | undefined> {
  return (await introspection.check(caller, [asked(token)])).answers[0];
}

test('IN-07 an active token is answered with exactly what its resource server may see, and no eb', async () => {
  const { access_token } = await obtainTokens({ client, ...ada });
  const { iat, exp, jti } = claimsOf(access_token);
  assert.deepEqual(await ask(access_token), {
    active: true,
    ...{ iss: ISSUER, sub: ada.user.id, aud: AUDIENCE, client_id: client.id, jti, iat, exp },
    ...{ scope: 'accounts:read', token_type: 'Bearer', amr: ['email'] },
    auth_time: Math.floor(ada.session.createdAtMs / 1_000),
  });
});

test('IN-01 a client that is no resource server may ask nothing', async () => {
  const { access_token } = await obtainTokens({ client, ...ada });
  const isRefusal = (error: unknown) => error instanceof OAuthError && error.code === 'forbidden.not_a_resource_server';
  await assert.rejects(ask(access_token, client), isRefusal);
  await assert.rejects(introspection.check(client, [asked(access_token)]), isRefusal);
  await assert.rejects(introspection.report(client, { token: access_token }, HOME), isRefusal);
});

/** Each cause makes a good token bad. */
const causes: [
  string,
  (of: { access: string; refreshToken: string; grantId: string; userId: string; clientId: string }) => Promise<unknown>,
  string,
][] = [
  ['revoked', ({ access }) => store.write((tx) => tokens.revoke(tx, String(claimsOf(access).jti))), 'revoked'],
  ['its grant ended', ({ grantId }) => store.write((tx) => grants.end(tx, grantId, 'user')), 'revoked'],
  ['its user disabled', ({ userId }) => revocation.disableUser(userId), 'revoked'],
  ['its client disabled', ({ clientId }) => revocation.disableClient(clientId), 'revoked'],
  [
    'its row lost',
    ({ access }) =>
      store.write((tx) => tx.run('DELETE FROM access_token WHERE jti = $1', String(claimsOf(access).jti))),
    'unknown',
  ],
  ['expired', async () => clock.pass(900_000), 'expired'],
];
for (const [what, cause, verdict] of causes) {
  test(`IN-02 IN-03 ${what}: inactive and nothing else; to the SDK ${verdict}`, async () => {
    clock.pass(1_000 - (clock.now() % 1_000));
    const { client: own } = await addClient();
    const eve = await addUser(`${what.replaceAll(' ', '.')}@example.com`);
    const { access_token: access, refresh_token: refreshToken = '' } = await obtainTokens({ client: own, ...eve });
    assert.equal((await ask(access)).active, true);
    assert.equal((await check(access))?.verdict, 'live');
    const grantId = String(claimsOf(refreshToken).gid);
    await cause({ access, refreshToken, grantId, userId: eve.user.id, clientId: own.id });
    assert.deepEqual(await ask(access), INACTIVE);
    assert.deepEqual(await check(access), { jti: claimsOf(access).jti, verdict });
  });
}

test('IN-02 superseded, garbage, another audience, a refresh token: inactive and nothing else', async () => {
  const sue = await addUser('sue@example.com');
  const first = await obtainTokens({ client, ...sue });
  assert.deepEqual(await ask(first.access_token, elsewhere), INACTIVE);
  await refresh(client, first.refresh_token);
  assert.equal((await ask(first.access_token)).active, true);
  clock.pass(client.overlapSeconds * 1_000);
  assert.deepEqual(await ask(first.access_token), INACTIVE);
  for (const text of ['', 'x', 'a.b.c', first.refresh_token ?? '']) assert.deepEqual(await ask(text), INACTIVE);
});

test('handles are stable for one resource server, differ between two, and name no id', async () => {
  const one = await obtainTokens({ client, ...ada });
  const two = await obtainTokens({ client, ...ada });
  const [first, again, second] = [
    await check(one.access_token),
    await check(one.access_token),
    await check(two.access_token),
  ];
  assert.deepEqual(first?.handles, again?.handles);
  const { token: _, grant: __, ...shared } = first?.handles ?? { token: '' };
  const { token: ___, grant: ____, ...sharedToo } = second?.handles ?? { token: '' };
  assert.deepEqual(shared, sharedToo, 'the same client, user and key');
  assert.notEqual(first?.handles?.grant, second?.handles?.grant);
  const others = Object.values((await check(one.access_token, twin))?.handles ?? {});
  assert.equal(others.length, 5);
  for (const handle of Object.values(first?.handles ?? {})) {
    assert.equal(others.includes(handle), false);
    assert.match(handle, /^[\w-]{22}$/);
  }
});

test('a check answers in the order asked, by the millisecond, and never sends a record', async () => {
  const made = [await obtainTokens({ client, ...ada }), await obtainTokens({ client, ...ada })];
  const { epoch, answers } = await introspection.check(
    api,
    made.map(({ access_token }) => asked(access_token)),
  );
  assert.equal(epoch, 1);
  assert.deepEqual(
    answers.map(({ jti }) => jti),
    made.map(({ access_token }) => claimsOf(access_token).jti),
  );
  const [answer] = answers;
  assert.equal(answer?.expires_in_ms, Number(claimsOf(made[0]?.access_token).exp) * 1_000 - clock.now());
  assert.deepEqual(Object.keys(answer ?? {}).sort(), ['expires_in_ms', 'handles', 'jti', 'verdict']);
});

test('of tokens for other audiences a resource server learns nothing, tampered or not', async () => {
  const { access_token } = await obtainTokens({ client, ...ada });
  const { jti } = asked(access_token);
  assert.deepEqual(await check(access_token, elsewhere), { jti, verdict: 'unknown' });
  const otherDigest = encodeBase64url(new Uint8Array(32));
  const [own] = (await introspection.check(api, [{ jti, digest: otherDigest }])).answers;
  assert.deepEqual(own, { jti, verdict: 'tampered' });
  const [foreign] = (await introspection.check(elsewhere, [{ jti, digest: otherDigest }])).answers;
  assert.deepEqual(foreign, { jti, verdict: 'unknown' });
});

const rung = async (token: string, caller = api) => {
  clock.pass(60_000); // a new minute for every limit
  const before = (await eventTypes()).length;
  await introspection.report(caller, { token }, HOME);
  return (await eventTypes()).slice(before);
};

test('evidence rings when it is evidence, and only then', async () => {
  const { access_token } = await obtainTokens({ client, ...ada });
  const claims = claimsOf(access_token);
  const sub = createId('user', clock.now(), random.bytes(8));
  assert.deepEqual(await rung(await forge('access', 'at+jwt', { ...claims, sub })), ['alarm.tampered']);
  assert.deepEqual(await rung(await forge('access', 'at+jwt', { ...claims, eb: undefined })), ['alarm.forged']);
  assert.deepEqual(await rung(access_token), [], 'a good token');
  assert.deepEqual(await rung(`${access_token.slice(0, -2)}AA`), [], 'a broken signature');
  assert.deepEqual(await rung('x'), []);
  clock.pass(client.accessLifetimeSeconds * 1_000);
  assert.deepEqual(
    await rung(await forge('access', 'at+jwt', { ...claims, sub })),
    [],
    'expired by the authority’s clock',
  );
});

const occurrencesSince = async (atMs: number) =>
  (await authority.events.alarms({ limit: 1_000 }))
    .filter((alarm) => alarm.atMs >= atMs)
    .reduce((sum, { occurrences }) => sum + occurrences, 0);
const forgedAnew = async () => {
  clock.pass(61_000); // a new minute for every limit, and no token vouches any more
  const { access_token } = await obtainTokens({ client, ...ada });
  return { good: access_token, forged: await forge('access', 'at+jwt', { ...claimsOf(access_token), eb: undefined }) };
};

test('evidence is looked at sixty times a minute and key, and counted always', async () => {
  const { forged } = await forgedAnew();
  const nowMs = clock.now();
  for (let sent = 0; sent < 80; sent++) await introspection.report(api, { token: forged }, HOME);
  assert.equal(await occurrencesSince(nowMs), 60);
  await introspection.countEvidence();
  assert.equal(await occurrencesSince(nowMs), 80);
  await introspection.countEvidence();
  assert.equal(await occurrencesSince(nowMs), 80, 'once');
});

test('what could not be recorded is counted by the next call, and what was recorded beside it only once', async (t) => {
  const { forged } = await forgedAnew();
  const nowMs = clock.now();
  for (const caller of [api, twin]) await introspection.report(caller, { token: forged, suppressed: 10 }, HOME);
  const real = authority.events.record.bind(authority.events);
  let isFirst = true;
  const record = t.mock.method(authority.events, 'record', async (event: Parameters<typeof real>[0]) => {
    if (isFirst) {
      isFirst = false;
      throw new Error('the disk');
    }
    return real(event);
  });
  await assert.rejects(introspection.countEvidence(), /^Error: the disk$/);
  assert.equal(await occurrencesSince(nowMs), 2 + 10);
  record.mock.restore();
  assert.deepEqual(await introspection.countEvidence(), { counted: 1 });
  assert.equal(await occurrencesSince(nowMs), 2 + 20);
  assert.deepEqual(await introspection.countEvidence(), { counted: 0 });
});

test('what a verifier suppressed counts behind a token that rang, and only there', async () => {
  const { good, forged } = await forgedAnew();
  const nowMs = clock.now();
  await introspection.report(api, { token: good, suppressed: 1_000 }, HOME);
  await introspection.report(api, { token: `${good.slice(0, -2)}AA`, suppressed: 1_000 }, HOME);
  await introspection.countEvidence();
  assert.equal(await occurrencesSince(nowMs), 0);
  await introspection.report(api, { token: forged, suppressed: 41 }, HOME);
  await introspection.countEvidence();
  assert.equal(await occurrencesSince(nowMs), 42);
  await introspection.report(api, { token: good, suppressed: 1_000 }, HOME);
  await introspection.countEvidence();
  assert.equal(
    await occurrencesSince(nowMs),
    42,
    'a token that is good makes nothing of a number, whatever rang before it',
  );
});

test('numbers above the cap count nothing where no token rang in the last minute, or another server reported it', async () => {
  const old = await forgedAnew();
  await introspection.report(twin, { token: old.forged }, HOME);
  const { good, forged } = await forgedAnew();
  const nowMs = clock.now();
  for (let sent = 0; sent < 60; sent++) await introspection.report(twin, { token: good }, HOME);
  await introspection.report(api, { token: forged }, HOME);
  await introspection.report(twin, { token: forged, suppressed: 9 }, HOME);
  await introspection.countEvidence();
  assert.equal(await occurrencesSince(nowMs), 1);
});
