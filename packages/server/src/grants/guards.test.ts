/**
 * Each thing that an operation reads before its commit changes between the two: the commit must refuse, or do what the change demands.
 */
import assert from 'node:assert/strict';
import { after, mock, test } from 'node:test';
import type { Client } from '../clients/clients.ts';
import { OAuthError } from '../oauth/oauth.ts';
import { SESSION_ABSOLUTE_MS, SESSION_IDLE_MS } from '../sessions/sessions.ts';
import { authorityOn, claimsOf, HOME, openStore } from '../testing/testing.ts';
import type { TokenResponse } from './grants.ts';

const opened = await openStore();
after(opened.close);
const { clock, store } = opened;
const { authority, addClient, addUser, approve, obtainTokens, refresh, alarmTypes } = await authorityOn(opened);
const { grants, tokens, users, clients, sessions, revocation } = authority;

/** Lets something happen between the reads of the next operation and its commit. */
function beforeCommit(happening: () => Promise<unknown>): void {
  const commit = store.commit.bind(store);
  const late: typeof commit = async (act) => {
    await happening();
    return commit(act);
  };
  mock.method(store, 'commit', late, { times: 1 });
}

const attempt = (answer: Promise<TokenResponse>): Promise<TokenResponse | OAuthError> =>
  answer.catch((error) => {
    if (error instanceof OAuthError) return error;
    throw error;
  });
const count = async (table: 'access_token' | 'oauth_grant') => (await store.read.all(`SELECT 1 FROM ${table}`)).length;
const disableUser = (id: string) => revocation.disableUser(id);
const enableUser = (id: string) => store.write((tx) => users.enable(tx, id));
const behind = async (happening: () => Promise<unknown>) => {
  clock.pass(-1_000);
  await happening();
  clock.pass(1_000);
};
const logOut = (session: { id: string; userId: string }) =>
  store.write(async (tx) => {
    await tx.do(sessions.ending(session));
    await tx.do(await grants.endingOfSession(tx, session.id));
  });

/** Moves a time of a row into the past: an act carries the moment at which it was made, so that the clock cannot pass it. */
const moved = (table: string, column: string, id: string, byMs: number) =>
  store.write((tx) => tx.run(`UPDATE ${table} SET ${column} = ${column} - $2 WHERE id = $1`, id, byMs));

let people = 0;
/** A client and a user of their own, and the user's session. */
async function scene() {
  people++;
  const { client } = await addClient({ grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'] });
  return { client, ...(await addUser(`guarded.${people}@example.com`)) };
}
type Scene = Awaited<ReturnType<typeof scene>>;

const STANDINGS: readonly [string, (of: Scene) => Promise<unknown>][] = [
  ['the user is disabled', ({ user }) => disableUser(user.id)],
  [
    'the user is disabled and enabled again',
    async ({ user }) => {
      await disableUser(user.id);
      await enableUser(user.id);
    },
  ],
  ['the user is disabled by a node whose clock is behind', ({ user }) => behind(() => disableUser(user.id))],
  [
    'the client is disabled by a node whose clock is behind',
    ({ client }) => behind(() => revocation.disableClient(client.id)),
  ],
  ['the client is disabled', ({ client }) => revocation.disableClient(client.id)],
  [
    'the client is disabled and enabled again',
    async ({ client }) => {
      await revocation.disableClient(client.id);
      await clients.enable(client.id);
    },
  ],
];

const REDEMPTIONS: readonly [string, (of: Scene) => Promise<unknown>][] = [
  ...STANDINGS,
  ['the user logs out', ({ session }) => logOut(session)],
  ['the session idles out', ({ session }) => moved('browser_session', 'last_seen_ms', session.id, SESSION_IDLE_MS)],
  ['the session is over', ({ session }) => moved('browser_session', 'expires_at_ms', session.id, SESSION_ABSOLUTE_MS)],
];

for (const [what, happening] of REDEMPTIONS) {
  test(`a code is not redeemed where ${what} before the commit`, async () => {
    const of = await scene();
    const code = await approve(of);
    const [issued, begun] = [await count('access_token'), await count('oauth_grant')];
    beforeCommit(() => happening(of));
    assert.ok((await attempt(grants.redeemCode(of.client, code))) instanceof OAuthError);
    assert.deepEqual([await count('access_token'), await count('oauth_grant')], [issued, begun]);
  });
}

for (const [what, happening] of STANDINGS) {
  test(`a refresh token is not rotated where ${what} before the commit`, async () => {
    const of = await scene();
    const { refresh_token } = await obtainTokens(of);
    clock.pass(1);
    const issued = await count('access_token');
    beforeCommit(() => happening(of));
    assert.ok((await attempt(refresh(of.client, refresh_token))) instanceof OAuthError);
    assert.equal(await count('access_token'), issued);
    const grant = await grants.find(String(claimsOf(refresh_token).gid));
    assert.equal(grant?.generation, 1);
  });

  test(`an answer is not repeated where ${what} before the commit`, async () => {
    const of = await scene();
    const { refresh_token } = await obtainTokens(of);
    assert.ok((await refresh(of.client, refresh_token)).access_token);
    beforeCommit(() => happening(of));
    assert.ok((await attempt(refresh(of.client, refresh_token))) instanceof OAuthError);
  });
}

for (const [what, happening] of STANDINGS.filter(([name]) => name.startsWith('the client'))) {
  test(`no token is issued to a client itself where ${what} before the commit`, async () => {
    const of = await scene();
    const issued = await count('access_token');
    beforeCommit(() => happening(of));
    assert.ok((await attempt(grants.clientCredentials(of.client, undefined))) instanceof OAuthError);
    assert.equal(await count('access_token'), issued);
  });
}

/** As it stands, also where a time was moved and the row is no longer what we wrote. */
const generation = async (id: string) =>
  (await store.read.get<{ generation: number }>('SELECT generation FROM oauth_grant WHERE id = $1', id))?.generation;

/** A family with one refresh token. */
async function family(client?: Client) {
  const of = await scene();
  const first = await obtainTokens({ ...of, ...(client && { client }) });
  return { ...of, first, grantId: String(claimsOf(first.refresh_token).gid) };
}

const LOST: readonly [string, (of: Awaited<ReturnType<typeof family>>) => Promise<unknown>][] = [
  ['the grant ends', ({ grantId }) => store.write((tx) => grants.end(tx, grantId, 'user'))],
  [
    'it idles out',
    ({ client, grantId }) => moved('oauth_grant', 'idle_expires_at_ms', grantId, client.refreshIdleSeconds * 1_000),
  ],
  [
    'its absolute time is over',
    ({ client, grantId }) => moved('oauth_grant', 'expires_at_ms', grantId, client.refreshAbsoluteSeconds * 1_000),
  ],
];
for (const [what, happening] of LOST) {
  test(`a refresh token is not rotated where ${what} before the commit`, async () => {
    const of = await family();
    beforeCommit(() => happening(of));
    assert.ok((await attempt(refresh(of.client, of.first.refresh_token))) instanceof OAuthError);
    assert.equal(await generation(of.grantId), 1);
  });
}

test('a rotation that another one comes before gives the answer of that one', async () => {
  const { client, first, grantId } = await family();
  let won: TokenResponse | undefined;
  beforeCommit(async () => {
    won = await refresh(client, first.refresh_token);
  });
  const answer = await refresh(client, first.refresh_token);
  assert.deepEqual(answer, won);
  assert.equal((await grants.find(grantId))?.generation, 2);
});

test('a rotation whose grant moves to a new session before the commit names that session', async () => {
  const { client, first, user, session } = await family();
  const login = { userId: user.id, amr: ['email'], userAgent: 'Firefox', network: HOME };
  const next = await store.write((tx) => sessions.start(tx, login));
  beforeCommit(() => store.commit(grants.movingToSession({ fromSessionId: session.id, toSessionId: next.session.id })));
  const { access_token } = await refresh(client, first.refresh_token);
  assert.equal(claimsOf(access_token).sid, next.session.id);
});

test('a grant gets no token beyond its cap, however late it is reached', async () => {
  const { client } = await addClient({ singleActive: 'off' });
  const { user, session } = await scene();
  const first = await obtainTokens({ client, user, session });
  const grantId = String(claimsOf(first.refresh_token).gid);
  const about = { grantId, userId: user.id, sessionId: session.id, authTimeMs: session.createdAtMs, amr: session.amr };
  const more = async () => {
    const prepared = await tokens.prepare({ client, user: about, scope: [] });
    return (await store.commit(tokens.recording(prepared))).kind;
  };
  for (let made = 2; made < 20; made++) assert.equal(await more(), 'done');
  beforeCommit(async () => assert.equal(await more(), 'done'));
  const answer = await attempt(refresh(client, first.refresh_token));
  assert.ok(answer instanceof OAuthError && answer.code === 'rate_limited.live_tokens');
  assert.equal((await grants.find(grantId))?.generation, 1, 'nothing of the rotation is in force');
});

test('a repetition that the last one comes before is not given', async () => {
  const { client, first } = await family();
  await refresh(client, first.refresh_token);
  for (let repeated = 1; repeated < 3; repeated++) await refresh(client, first.refresh_token);
  beforeCommit(() => refresh(client, first.refresh_token));
  assert.ok((await attempt(refresh(client, first.refresh_token))) instanceof OAuthError);
});

test('a code that is redeemed before the commit of another redemption ends what came of it', async () => {
  const of = await scene();
  const code = await approve(of);
  let won: TokenResponse | undefined;
  beforeCommit(async () => {
    won = await grants.redeemCode(of.client, code);
  });
  assert.ok((await attempt(grants.redeemCode(of.client, code))) instanceof OAuthError);
  const grant = await grants.find(String(claimsOf(won?.refresh_token).gid));
  assert.equal(grant?.endReason, 'code_replayed');
});

test('a code whose minute is over before the commit is not redeemed, and ends nothing', async () => {
  const of = await scene();
  const code = await approve(of);
  const [begun, rung] = [await count('oauth_grant'), (await alarmTypes()).length];
  // Time passes on the clock, between the reading and the act: a row that is moved is not ours any more, and rings.
  const assertRoom = tokens.assertRoom.bind(tokens);
  const slow: typeof assertRoom = async (client) => {
    await assertRoom(client);
    clock.pass(60_000);
  };
  mock.method(tokens, 'assertRoom', slow, { times: 1 });
  assert.ok((await attempt(grants.redeemCode(of.client, code))) instanceof OAuthError);
  assert.deepEqual([await count('oauth_grant'), (await alarmTypes()).length], [begun, rung]);
});

test('a replayed refresh token whose grant ends before the commit rings nothing', async () => {
  const { client, first, grantId } = await family();
  const second = await refresh(client, first.refresh_token);
  clock.pass(60_000);
  await refresh(client, second.refresh_token);
  clock.pass(60_000);
  const rung = (await alarmTypes()).length;
  beforeCommit(() => store.write((tx) => grants.end(tx, grantId, 'user')));
  assert.ok((await attempt(refresh(client, first.refresh_token, '203.0.113.9'))) instanceof OAuthError);
  assert.equal((await alarmTypes()).length, rung);
  assert.equal((await grants.find(grantId))?.endReason, 'user');
});

test('a grant or a token that ends before the commit that would end it is ended once', async () => {
  const { first, grantId } = await family();
  const grant = await grants.find(grantId);
  assert.ok(grant);
  const ending = grants.ending(grant, 'client');
  assert.equal((await store.commit(ending)).kind, 'done');
  assert.equal((await store.commit(grants.ending(grant, 'operator'))).kind, 'refused');
  assert.equal((await grants.find(grantId))?.endReason, 'client');
  const row = await tokens.find(String(claimsOf(first.access_token).jti));
  assert.ok(row);
  assert.equal((await store.commit(tokens.revoking(row))).kind, 'refused', 'it ended with its grant');
  const journalled = opened.journal.filter((entry) => entry.kind === 'grant_ended' && entry.grantId === grantId);
  assert.equal(journalled.length, 1);
});

test('the end of a session misses no grant that began meanwhile', async () => {
  const of = await scene();
  const ending = await grants.endingOfSession(store.read, of.session.id);
  await obtainTokens(of);
  assert.equal((await store.commit(ending)).kind, 'refused');
  assert.equal((await store.commit(await grants.endingOfSession(store.read, of.session.id))).kind, 'done');
});
