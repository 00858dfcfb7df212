import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type AccessTokenClaims, createId } from '@countersign/protocol';
import { digestOf } from '../buckets/buckets.ts';
import { claimsOf, ISSUER, openAuthority } from '../testing/testing.ts';

const opened = await openAuthority();
after(opened.close);
const { authority, clock, store, random, addClient, addUser, obtainTokens, refresh, forge, eventTypes } = opened;
const { tokens, grants } = authority;
const { client } = await addClient();
const ada = await addUser('ada@example.com');

const issue = async () => (await obtainTokens({ client, ...ada })).access_token;

const TAMPERED = 'tampered, alarm.tampered';
const FORGED = 'forged, alarm.forged';

/** The verdict on a token, and what it rang. */
async function judged(token: string): Promise<string> {
  clock.pass(1);
  const before = (await eventTypes()).length;
  const judgement = await tokens.judge(token, { address: '203.0.113.9' });
  const rung = (await eventTypes()).slice(before).join();
  const verdict = judgement.kind === 'judged' ? judgement.verdict : `refused ${judgement.why}`;
  return rung === '' ? verdict : `${verdict}, ${rung}`;
}

test('an issued token lives, until each of its ends', async () => {
  const token = await issue();
  assert.equal(await judged(token), 'live');
  await store.write((tx) => tokens.revoke(tx, String(claimsOf(token).jti)));
  assert.equal(await judged(token), 'revoked');

  const first = await obtainTokens({ client, ...ada });
  await refresh(client, first.refresh_token);
  assert.equal(await judged(first.access_token), 'live', 'requests in flight');
  clock.pass(client.overlapSeconds * 1_000);
  assert.equal(await judged(first.access_token), 'superseded');

  clock.pass(1_000 - (clock.now() % 1_000)); // `exp` is in whole seconds
  const old = await issue();
  clock.pass(client.accessLifetimeSeconds * 1_000 - 2);
  assert.equal(await judged(old), 'live');
  clock.pass(1);
  assert.equal(await judged(old), 'expired');
  clock.pass(30_000);
  assert.equal(await judged(old), 'refused expired');
});

test('EB-02 a row lost under a token of ours: unknown, noted, no alarm', async () => {
  const token = await issue();
  await store.write((tx) => tx.run('DELETE FROM access_token WHERE jti = $1', String(claimsOf(token).jti)));
  assert.equal(await judged(token), 'unknown, token.unknown');
});

test('EB-02 with the signing key, an own token whose row was swept, given a new life: forged, not unknown', async () => {
  const token = await issue();
  clock.pass((client.accessLifetimeSeconds + 600) * 1_000);
  while ((await tokens.sweep(1_000)).deleted > 0);
  const iat = Math.floor(clock.now() / 1_000);
  for (const claims of [{ iat, exp: iat + 900 }, { exp: iat + 900 }]) {
    assert.equal(await judged(await forge('access', 'at+jwt', { ...claimsOf(token), ...claims })), FORGED);
  }
});

/** With the stolen signing key: an own token with some claims changed. */
const changed = async (claims: object) => forge('access', 'at+jwt', { ...claimsOf(await issue()), ...claims });
const sub = createId('user', clock.now(), random.bytes(8));
const bucket = () => Buffer.from(random.bytes(48)).toString('base64url');

for (const [what, claims, expected] of [
  ['own jti and eb with another sub', { sub }, TAMPERED],
  ['own jti and eb with a wider scope', { scope: 'admin' }, TAMPERED],
  ['own jti and eb with another audience', { aud: 'https://bank.example' }, TAMPERED],
  ['own jti and eb with another client', { client_id: 'oauth2client_0' }, TAMPERED],
  ['own jti and eb with a later end', { exp: Math.floor(clock.now() / 1_000) + 80_000 }, TAMPERED],
  ['own jti and eb with a confirmation key', { cnf: { jkt: 'x' } }, TAMPERED],
  ['own jti with a new eb', { eb: bucket() }, TAMPERED],
  ['a new jti with the own eb', { jti: createId('acctok', clock.now(), random.bytes(8)) }, FORGED],
  ['a jti that is no id', { jti: "' OR 1=1 --" }, FORGED],
  ['no eb', { eb: undefined }, FORGED],
  ['an empty eb', { eb: '' }, FORGED],
  ['a short eb', { eb: bucket().slice(1) }, FORGED],
  ['an eb in an array', { eb: [bucket()] }, FORGED],
  ['an eb that is a number', { eb: 1 }, FORGED],
  ['an eb that is true', { eb: true }, FORGED],
  ['a null eb', { eb: null }, FORGED],
  ['a padded eb', { eb: `${bucket().slice(2)}==` }, FORGED],
  ['a life longer than any', { exp: Math.floor(clock.now() / 1_000) + 10 * 86_400 }, FORGED],
  ['a foreign issuer under our key', { iss: `${ISSUER}.evil` }, FORGED],
  ['no jti', { jti: undefined }, FORGED],
] as const) {
  test(`EB-02 EB-04 with the signing key, ${what}: ${expected}`, async () =>
    assert.equal(await judged(await changed(claims)), expected));
}

test('EB-03 the eb of one token in another, both of ours: tampered', async () => {
  const [one, two] = [claimsOf(await issue()), claimsOf(await issue())];
  assert.equal(await judged(await forge('access', 'at+jwt', { ...one, eb: two.eb })), TAMPERED);
});

test('the same claims signed again are the same token: an ECDSA signature can be spelled twice and rings nothing', async () => {
  const token = await issue();
  const again = await forge('access', 'at+jwt', claimsOf(token));
  assert.notEqual(again, token);
  assert.equal(again.slice(0, again.lastIndexOf('.')), token.slice(0, token.lastIndexOf('.')));
  assert.equal(await judged(again), 'live');
});

test('what fails before the signature rings nothing, whatever it claims', async () => {
  const token = await issue();
  const [header, , signature] = token.split('.');
  const payload = Buffer.from(JSON.stringify({ ...claimsOf(token), sub })).toString('base64url');
  assert.equal(await judged(`${header}.${payload}.${signature}`), 'refused bad_signature');
  assert.equal(await judged(''), 'refused malformed');
  assert.equal(await judged('x'.repeat(100_000)), 'refused malformed');
  assert.equal(await judged((await obtainTokens({ client, ...ada })).refresh_token ?? ''), 'refused wrong_type');
});

test('JT-12 a forged token that has expired is refused quietly: a clock proves nothing', async () => {
  const nowSeconds = Math.floor(clock.now() / 1_000);
  assert.equal(await judged(await changed({ iat: nowSeconds - 900, exp: nowSeconds - 60 })), 'refused expired');
  assert.equal(await judged(await changed({ iat: nowSeconds + 100, exp: nowSeconds + 200 })), 'refused not_yet_valid');
});

test('EB-02 with the signing key and a written database: a row with the right digest is not a record', async () => {
  const jti = createId('acctok', clock.now(), random.bytes(8));
  const token = await changed({ jti, eb: bucket(), sub });
  const claims = claimsOf(token) as unknown as AccessTokenClaims; // as just written
  const digest = digestOf(token.slice(0, token.lastIndexOf('.')));
  for (const record of [digest, new Uint8Array(32), new Uint8Array(0)]) {
    await store.write(async (tx) => {
      await tx.run('DELETE FROM access_token WHERE jti = $1', jti);
      await tx.run(
        `INSERT INTO access_token (jti, client_id, user_id, audience, key_id, bucket_version, record, issued_at_ms, expires_at_ms)
         VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8)`,
        jti,
        client.id,
        ada.user.id,
        claims.aud,
        'key_0',
        record,
        clock.now(),
        claims.exp * 1_000,
      );
    });
    assert.equal(await judged(token), TAMPERED);
  }
});

test('EB-02 a real record moved under another jti, in a written database, is no record of it', async () => {
  const [mine, theirs] = [claimsOf(await issue()), claimsOf(await issue())];
  await store.write((tx) =>
    tx.run(
      'UPDATE access_token SET record = (SELECT record FROM access_token WHERE jti = $1) WHERE jti = $2',
      String(mine.jti),
      String(theirs.jti),
    ),
  );
  const token = await forge('access', 'at+jwt', { ...mine, jti: theirs.jti });
  assert.equal(await judged(token), TAMPERED);
});

test('an alarm names the key and, only where a row proves it, whose token it was; never what a forger wrote', async () => {
  await judged(await changed({ sub }));
  const [tampered] = await authority.events.alarms({ limit: 1, type: 'alarm.tampered' });
  assert.equal(tampered?.userId, ada.user.id);
  assert.equal(tampered?.clientId, client.id);
  assert.match(tampered?.keyId ?? '', /^key_/);
  await judged(await changed({ eb: bucket(), jti: createId('acctok', clock.now(), random.bytes(8)), sub }));
  const [forged] = await authority.events.alarms({ limit: 1, type: 'alarm.forged' });
  assert.equal(forged?.userId, undefined);
  assert.equal(forged?.tokenId, undefined);
  assert.equal(forged?.address, '203.0.113.9');
  assert.equal(JSON.stringify(forged).includes(sub), false);
});

test('live tokens are capped: by grant where nothing supersedes, by client always, with the time to wait', async () => {
  const { client: hoarder } = await addClient({ singleActive: 'off' });
  let newest = (await obtainTokens({ client: hoarder, ...ada })).refresh_token;
  for (let made = 1; made < 20; made++) newest = (await refresh(hoarder, newest)).refresh_token;
  await assert.rejects(refresh(hoarder, newest), { code: 'rate_limited.live_tokens' });
  assert.equal((await grants.find(String(claimsOf(newest).gid)))?.generation, 20, 'nothing was rotated either');
  const { client: small } = await addClient({ redirectUris: [], grantTypes: ['client_credentials'], maxLiveTokens: 3 });
  for (let made = 0; made < 3; made++) await grants.clientCredentials(small, undefined);
  await assert.rejects(grants.clientCredentials(small, undefined), { code: 'rate_limited.live_tokens' });
  clock.pass(small.accessLifetimeSeconds * 1_000);
  assert.ok((await grants.clientCredentials(small, undefined)).access_token);
});

test('a clock that is set back keeps no old count of live tokens', async () => {
  const { client: small } = await addClient({ redirectUris: [], grantTypes: ['client_credentials'], maxLiveTokens: 2 });
  for (let made = 0; made < 2; made++) await grants.clientCredentials(small, undefined);
  clock.pass(-3_600_000);
  await store.write((tx) => tx.run('DELETE FROM access_token WHERE client_id = $1', small.id));
  clock.pass(10_000);
  assert.ok((await grants.clientCredentials(small, undefined)).access_token);
  clock.pass(3_600_000);
});
