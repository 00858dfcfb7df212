import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { OAuthError } from '../oauth/oauth.ts';
import { claimsOf, HOME, openAuthority, REDIRECT_URI } from '../testing/testing.ts';
import { CODE_LIFETIME_MS } from './codes.ts';
import type { TokenResponse } from './grants.ts';

const opened = await openAuthority();
after(opened.close);
const { authority, clock, store, addClient, addUser, approve, alarmTypes } = opened;
const { grants } = authority;
const { client } = await addClient();
const { client: other } = await addClient();
const ada = await addUser('ada@example.com');

const attempt = (presented: Promise<TokenResponse>): Promise<TokenResponse | OAuthError> =>
  presented.catch((error) => {
    if (error instanceof OAuthError) return error;
    throw error;
  });
const isRefused = (answer: unknown) => answer instanceof OAuthError && answer.error === 'invalid_grant';
const grantOf = (answer: TokenResponse) => grants.find(String(claimsOf(answer.refresh_token).gid));
const newAlarms = async (during: () => Promise<unknown>) => {
  const before = (await alarmTypes()).length;
  await during();
  return (await alarmTypes()).slice(before);
};

test('a hundred parallel redemptions of one code from two places: one grant, which then ends, and one alarm', async () => {
  const code = await approve({ client, ...ada });
  let answers: (TokenResponse | OAuthError)[] = [];
  const alarms = await newAlarms(async () => {
    answers = await Promise.all(
      Array.from({ length: 100 }, (_, at) =>
        attempt(grants.redeemCode(client, { ...code, address: at % 2 ? HOME : '203.0.113.9' })),
      ),
    );
  });
  const good = answers.filter((answer): answer is TokenResponse => !(answer instanceof OAuthError));
  assert.equal(good.length, 1);
  assert.ok(answers.every((answer) => !(answer instanceof OAuthError) || isRefused(answer)));
  const [winner] = good;
  assert.equal(winner && (await grantOf(winner))?.endReason, 'code_replayed');
  assert.ok(alarms.length <= 1 && alarms.every((type) => type === 'alarm.replayed'));
  assert.equal((await store.read.all('SELECT id FROM oauth_grant')).length, 1);
});

test('OA-11 a valid replay from elsewhere ends the grant and its tokens, and rings once', async () => {
  const code = await approve({ client, ...ada });
  const first = await grants.redeemCode(client, code);
  const alarms = await newAlarms(async () => {
    for (let again = 0; again < 3; again++) {
      assert.ok(isRefused(await attempt(grants.redeemCode(client, { ...code, address: '203.0.113.9' }))));
    }
  });
  assert.deepEqual(alarms, ['alarm.replayed']);
  assert.equal((await grantOf(first))?.endReason, 'code_replayed');
  const judgement = await authority.tokens.judge(first.access_token, { address: HOME });
  assert.equal(judgement.kind === 'judged' && judgement.verdict, 'revoked');
});

test('OA-11 a replay that fails client, redirect URI or verifier ends nothing and rings nothing', async () => {
  const code = await approve({ client, ...ada });
  const first = await grants.redeemCode(client, code);
  const alarms = await newAlarms(async () => {
    const wrongs = [
      grants.redeemCode(other, code),
      grants.redeemCode(client, { ...code, redirectUri: `${REDIRECT_URI}/` }),
      grants.redeemCode(client, { ...code, verifier: 'v'.repeat(43) }),
      grants.redeemCode(client, { ...code, verifier: undefined }),
    ].map(attempt);
    for (const wrong of wrongs) assert.ok(isRefused(await wrong));
  });
  assert.deepEqual(alarms, []);
  assert.equal((await grantOf(first))?.endedAtMs, undefined);
});

test('PK-05 a first try with the wrong client, redirect URI or verifier burns nothing', async () => {
  const code = await approve({ client, ...ada });
  const flipped = `${code.verifier.slice(0, -1)}${code.verifier.endsWith('A') ? 'B' : 'A'}`;
  for (const wrong of [
    grants.redeemCode(other, code),
    grants.redeemCode(client, { ...code, redirectUri: 'https://evil.example/' }),
    grants.redeemCode(client, { ...code, verifier: flipped }),
    grants.redeemCode(client, { ...code, verifier: undefined }),
    grants.redeemCode(client, { ...code, code: `${code.code}A` }),
    grants.redeemCode(client, { ...code, code: '' }),
  ].map(attempt)) {
    assert.ok(isRefused(await wrong));
  }
  assert.ok((await grants.redeemCode(client, code)).access_token);
});

test('PK-04 verifier if and only if challenge: all four cells', async () => {
  const { client: free } = await addClient({ isPkceRequired: false });
  for (const hasChallenge of [true, false]) {
    for (const hasVerifier of [true, false]) {
      const code = await approve({ client: free, ...ada, hasChallenge });
      const answer = await attempt(
        grants.redeemCode(free, { ...code, verifier: hasVerifier ? code.verifier : undefined }),
      );
      assert.equal(isRefused(answer), hasChallenge !== hasVerifier, `${hasChallenge} ${hasVerifier}`);
    }
  }
});

test('a code is good for a minute and not a millisecond longer', async () => {
  const [one, two] = [await approve({ client, ...ada }), await approve({ client, ...ada })];
  clock.pass(CODE_LIFETIME_MS - 1);
  assert.ok((await grants.redeemCode(client, one)).access_token);
  clock.pass(1);
  assert.ok(isRefused(await attempt(grants.redeemCode(client, two))));
  assert.ok(CODE_LIFETIME_MS <= 60_000);
});

for (const [what, cause] of [
  ['the user was disabled', (of: { userId: string }) => authority.revocation.disableUser(of.userId)],
  [
    'the user was disabled and enabled again',
    async (of: { userId: string }) => {
      await authority.revocation.disableUser(of.userId);
      await store.write((tx) => authority.users.enable(tx, of.userId));
    },
  ],
  [
    'the client was disabled and enabled again',
    async (of: { clientId: string }) => {
      await authority.revocation.disableClient(of.clientId);
      await authority.clients.enable(of.clientId);
    },
  ],
  [
    'the user logged out',
    (of: { userId: string; sessionId: string }) =>
      store.write((tx) => authority.sessions.end(tx, { id: of.sessionId, userId: of.userId })),
  ],
] as const) {
  test(`after ${what}, a code approved before is worth nothing`, async () => {
    const { client: own } = await addClient();
    const eve = await addUser(`${what.replaceAll(' ', '.')}@example.com`);
    assert.ok((await grants.redeemCode(own, await approve({ client: own, ...eve }))).access_token);
    const code = await approve({ client: own, ...eve });
    await cause({ userId: eve.user.id, sessionId: eve.session.id, clientId: own.id });
    const current = (await authority.clients.find(own.id)) ?? own;
    assert.ok(isRefused(await attempt(grants.redeemCode(current, code))));
  });
}

test('a code stands nowhere in the store', async () => {
  const { code } = await approve({ client, ...ada });
  for (const { name, bytes } of await opened.copied()) {
    assert.equal(bytes.includes(Buffer.from(code)), false, name);
  }
});

test('a client disabled while its request was under way gets no token that lives when it is enabled again', async () => {
  const { client: service } = await addClient({ redirectUris: [], grantTypes: ['client_credentials'] });
  assert.ok((await grants.clientCredentials(service, undefined)).access_token);
  await authority.revocation.disableClient(service.id);
  clock.pass(1);
  const late = await attempt(grants.clientCredentials(service, undefined));
  assert.ok(late instanceof OAuthError && late.error === 'invalid_client');
});
