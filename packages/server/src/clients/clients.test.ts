import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { isId } from '@countersign/protocol';
import { OAuthError } from '../oauth/oauth.ts';
import { StoreUnavailable } from '../store/store.ts';
import { claimsOf, openAuthority } from '../testing/testing.ts';
import { SECRET_OVERLAP_MS } from './clients.ts';

const opened = await openAuthority({ limits: { clientSecretPerNetwork: { points: 20 } } });
after(opened.close);
const { authority, clock, addClient, addUser } = opened;
const { clients } = authority;

let networks = 0;
const byForm = (clientId: string, secret?: string, network = `net ${networks++}`) =>
  clients.authenticate({
    authorization: { kind: 'none' },
    form: new Map(Object.entries({ client_id: clientId, ...(secret !== undefined && { client_secret: secret }) })),
    network,
  });
const byBasic = (clientId: string, clientSecret: string, form: Record<string, string> = {}) =>
  clients.authenticate({
    authorization: { kind: 'basic', clientId, clientSecret },
    form: new Map(Object.entries(form)),
    network: `net ${networks++}`,
  });
const isRefusal =
  (code: string, error = 'invalid_client') =>
  (thrown: unknown) =>
    thrown instanceof OAuthError && thrown.code === code && thrown.error === error;
const NOT_PROVEN = isRefusal('unauthorized.client_authentication');

test('DR-01 a secret has 256 bits, is told once, and stands nowhere in the store', async () => {
  const { client, secret } = await addClient();
  assert.equal(Buffer.from(secret, 'base64url').length, 32);
  assert.equal((await byForm(client.id, secret)).id, client.id);
  for (const { name, bytes: file } of await opened.copied()) {
    assert.equal(file.includes(Buffer.from(secret)), false, name);
    assert.equal(file.includes(Buffer.from(secret, 'base64url')), false, name);
  }
});

test('DR-01 after a rotation two secrets are good, then one; a third ends the first at once', async () => {
  const { client, secret: first } = await addClient();
  const second = (await clients.rotateSecret(client.id)) ?? '';
  assert.notEqual(second, first);
  assert.equal((await byForm(client.id, first)).id, client.id);
  assert.equal((await byForm(client.id, second)).id, client.id);
  const third = (await clients.rotateSecret(client.id)) ?? '';
  await assert.rejects(byForm(client.id, first), NOT_PROVEN, 'never three at a time');
  assert.equal((await byForm(client.id, second)).id, client.id);
  clock.pass(SECRET_OVERLAP_MS - 1);
  assert.equal((await byForm(client.id, second)).id, client.id);
  clock.pass(1);
  await assert.rejects(byForm(client.id, second), NOT_PROVEN, 'the overlap is over');
  assert.equal((await byForm(client.id, third)).id, client.id);
});

test('a public client has no secret to rotate, and proves nothing but its name', async () => {
  const { client } = await addClient({ isConfidential: false });
  assert.equal(await clients.rotateSecret(client.id), undefined);
  assert.equal(await clients.rotateSecret('oauth2client_none'), undefined);
  assert.equal((await byForm(client.id)).id, client.id);
  await assert.rejects(byForm(client.id, 'anything'), NOT_PROVEN);
});

test('a confidential client is not believed by its name, a wrong secret, or another client’s', async () => {
  const [one, two] = [await addClient(), await addClient()];
  assert.equal((await byBasic(one.client.id, one.secret)).id, one.client.id);
  await assert.rejects(byForm(one.client.id), NOT_PROVEN);
  await assert.rejects(byForm(one.client.id, ''), NOT_PROVEN);
  await assert.rejects(byForm(one.client.id, two.secret), NOT_PROVEN);
  await assert.rejects(byForm(one.client.id, `${one.secret} `), NOT_PROVEN);
  await assert.rejects(byBasic('oauth2client_0', one.secret), NOT_PROVEN);
  await assert.rejects(byBasic("' OR 1=1 --", one.secret), NOT_PROVEN);
});

test('a client uses the way of authentication it is registered for', async () => {
  const basic = await addClient({ authMethod: 'client_secret_basic' });
  const post = await addClient({ authMethod: 'client_secret_post' });
  assert.equal((await byBasic(basic.client.id, basic.secret)).id, basic.client.id);
  await assert.rejects(byForm(basic.client.id, basic.secret), NOT_PROVEN);
  assert.equal((await byForm(post.client.id, post.secret)).id, post.client.id);
  await assert.rejects(byBasic(post.client.id, post.secret), NOT_PROVEN);
});

test('one way at a time: secrets in header and form, or two names, are a bad request', async () => {
  const { client, secret } = await addClient();
  assert.equal((await byBasic(client.id, secret, { client_id: client.id })).id, client.id);
  const twice = isRefusal('bad_request.two_client_authentications', 'invalid_request');
  await assert.rejects(byBasic(client.id, secret, { client_secret: secret }), twice);
  const otherName = isRefusal('bad_request.bad_param.client_id', 'invalid_request');
  await assert.rejects(byBasic(client.id, secret, { client_id: 'oauth2client_0' }), otherName);
});

test('failures are limited per client and network; successes cost nothing, and another network is free', async () => {
  const { client, secret } = await addClient();
  for (let tries = 0; tries < 50; tries++) await byForm(client.id, secret, 'office');
  const guesses = await Promise.allSettled(
    Array.from({ length: 40 }, (_, at) => byForm(client.id, `guess ${at}`, 'office')),
  );
  const codes = guesses.map((guess) => (guess.status === 'rejected' ? (guess.reason as OAuthError).code : 'ok'));
  assert.equal(codes.filter((code) => code === 'unauthorized.client_authentication').length, 20);
  assert.equal(codes.filter((code) => code === 'rate_limited.client_authentication').length, 20);
  await assert.rejects(byForm(client.id, secret, 'office'), isRefusal('rate_limited.client_authentication'));
  assert.equal((await byForm(client.id, secret, 'elsewhere')).id, client.id);
});

test('tries during an outage of the store count as no failures', async (t) => {
  const { client, secret } = await addClient();
  const outage = t.mock.method(authority.store.read, 'get', () =>
    Promise.reject(new StoreUnavailable('Reading: no answer.')),
  );
  for (let tried = 0; tried < 25; tried += 1)
    await assert.rejects(byForm(client.id, secret, 'office'), StoreUnavailable);
  outage.mock.restore();
  assert.equal((await byForm(client.id, secret, 'office')).id, client.id);
});

test('a disabled client is nobody; enabled, it works again, and its first disabling is not forgotten by a second', async () => {
  const { client, secret } = await addClient();
  assert.equal(await authority.revocation.disableClient(client.id), true);
  await assert.rejects(byForm(client.id, secret), NOT_PROVEN);
  const disabledAtMs = clock.now();
  clock.pass(-5_000);
  await authority.revocation.disableClient(client.id);
  assert.equal((await clients.find(client.id))?.deadBeforeMs, disabledAtMs, 'what is dead only ever grows');
  clock.pass(5_000);
  assert.equal(await clients.enable(client.id), true);
  assert.equal((await byForm(client.id, secret)).id, client.id);
  assert.equal(await authority.revocation.disableClient('oauth2client_none'), false);
});

test('DR-06 names of clients and users share no space, also where a client is its own subject', async () => {
  const { client } = await addClient({ redirectUris: [], grantTypes: ['client_credentials'] });
  const { user } = await addUser('ada@example.com');
  assert.ok(isId('oauth2client', client.id) && !isId('user', client.id));
  assert.ok(isId('user', user.id) && !isId('oauth2client', user.id));
  const { access_token } = await authority.grants.clientCredentials(client, undefined);
  assert.equal(claimsOf(access_token).sub, client.id);
});

test('DR-06 a registration cannot bring an id, nor anything else that is given', async () => {
  const { user } = await addUser('eve@example.com');
  const brought = {
    name: 'Brought',
    id: user.id,
    createdAtMs: 1,
    disabledAtMs: 1,
    deadBeforeMs: Number.MAX_SAFE_INTEGER,
  };
  const { client, secret } = await addClient(brought);
  assert.ok(isId('oauth2client', client.id));
  const { createdAtMs, disabledAtMs, deadBeforeMs } = await byForm(client.id, secret);
  assert.deepEqual(
    { createdAtMs, disabledAtMs, deadBeforeMs },
    { createdAtMs: clock.now(), disabledAtMs: undefined, deadBeforeMs: 0 },
  );
});

test('origins of all clients are known within seconds', async () => {
  clock.pass(60_000);
  assert.deepEqual(await clients.allowedOrigins(), []);
  await addClient({ allowedOrigins: ['https://app.example'] });
  clock.pass(5_000);
  assert.deepEqual(await clients.allowedOrigins(), ['https://app.example']);
});

test('RV-05 a token that a clock ahead had dated later than the disabling of its client does not come back with enabling', async () => {
  const { client } = await addClient();
  const ada = await addUser('ahead@example.com');
  const verdict = async (token: string) => {
    const judgement = await authority.tokens.judge(token, { address: 'x' });
    return judgement.kind === 'judged' ? judgement.verdict : judgement.kind;
  };
  clock.pass(3_600_000);
  const { access_token } = await opened.obtainTokens({ client, ...ada });
  assert.equal(await verdict(access_token), 'live');
  clock.pass(-3_600_000);
  await authority.revocation.disableClient(client.id);
  clock.pass(3_700_000);
  await clients.enable(client.id);
  assert.equal(await verdict(access_token), 'revoked');
  const next = await opened.obtainTokens({ client, ...ada });
  clock.pass(1);
  await clients.enable(client.id);
  assert.equal(await verdict(next.access_token), 'live', 'enabling what is enabled ends nothing');
});
