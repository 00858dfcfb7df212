/** A session with many grants: it ends like any other, and gets no more than it may have. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { isId } from '@countersign/protocol';
import { OAuthError } from '../oauth/oauth.ts';
import { joinedActs } from '../store/store.ts';
import { authorityOn, claimsOf, openStore } from '../testing/testing.ts';
import { MAX_GRANTS_PER_SESSION } from './ending.ts';

const opened = await openStore();
after(opened.close);
const { clock, store, journal } = opened;
const { authority, addClient, addUser, approve, obtainTokens } = await authorityOn(opened);
const { grants, sessions } = authority;
const { client } = await addClient();

const logOut = (session: { id: string; userId: string }) =>
  store.write(async (tx) => {
    const act = joinedActs(sessions.ending(session), await grants.endingOfSession(tx, session.id));
    return (await tx.do(act)).kind === 'done';
  });
const rows = async <Row extends object>(text: string, sessionId: string) => store.read.all<Row>(text, sessionId);

/** Gives a session so many grants in all, like the one that it has, each with a token like that one's. */
async function multiply(sessionId: string, many: number): Promise<void> {
  const numbers = `(WITH RECURSIVE counted(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM counted WHERE n < ${many}) SELECT n FROM counted) AS m`;
  const columns = `client_id, user_id, session_id`;
  await store.write(async (tx) => {
    await tx.run(
      `INSERT INTO access_token (jti, grant_id, ${columns}, audience, key_id, bucket_version, record, issued_at_ms, expires_at_ms)
       SELECT jti || n, grant_id || n, ${columns}, audience, key_id, bucket_version, record, issued_at_ms, expires_at_ms
       FROM access_token, ${numbers} WHERE session_id = $1`,
      sessionId,
    );
    await tx.run(
      `INSERT INTO oauth_grant (id, ${columns}, proof, scope, audience, auth_time_ms, amr, created_at_ms, idle_expires_at_ms,
         expires_at_ms, generation)
       SELECT id || n, ${columns}, proof, scope, audience, auth_time_ms, amr, created_at_ms, idle_expires_at_ms, expires_at_ms, generation
       FROM oauth_grant, ${numbers} WHERE session_id = $1`,
      sessionId,
    );
  });
}

test('a session with thousands of grants is logged out: grants, tokens, invalidations, events and journal', async () => {
  const many = 3_500;
  const { user, session } = await addUser('hoarder@example.com');
  await obtainTokens({ client, user, session });
  await multiply(session.id, many);
  journal.length = 0;
  assert.equal(await logOut({ id: session.id, userId: user.id }), true);
  const ids = (await rows<{ id: string }>('SELECT id FROM oauth_grant WHERE session_id = $1', session.id)).map(
    ({ id }) => id,
  );
  assert.equal(ids.length, many);
  const live = 'SELECT id FROM oauth_grant WHERE session_id = $1 AND ended_at_ms IS NULL';
  assert.deepEqual(await rows(live, session.id), []);
  const tokens = 'SELECT jti FROM access_token WHERE session_id = $1 AND revoked_at_ms IS NULL';
  assert.deepEqual(await rows(tokens, session.id), []);
  const told = await store.read.all<{ subject_id: string; audience: string; until_ms: number }>(
    "SELECT subject_id, audience, until_ms FROM invalidation WHERE kind = 'grant'",
  );
  assert.deepEqual(told.map(({ subject_id }) => subject_id).sort(), [...ids].sort());
  assert.ok(told.every(({ audience, until_ms }) => audience === client.audience && until_ms > clock.now()));
  const events = await store.read.all<{ id: string; at_ms: number; detail: string; user_id: string; severity: string }>(
    "SELECT id, at_ms, detail, user_id, severity FROM event WHERE type = 'grant.ended'",
  );
  assert.ok(events.every(({ id, at_ms }) => isId('evt', id) && at_ms === clock.now()));
  assert.equal(new Set(events.map(({ id }) => id)).size, many);
  assert.deepEqual(
    new Set(events.map(({ user_id, severity }) => `${user_id} ${severity}`)),
    new Set([`${user.id} info`]),
  );
  assert.deepEqual(
    events.map(({ detail }) => JSON.parse(detail)).sort((a, b) => (a.grant < b.grant ? -1 : 1)),
    [...ids].sort().map((grant) => ({ grant, reason: 'logout' })),
  );
  assert.deepEqual(
    journal.map((entry) => (entry.kind === 'grant_ended' ? `${entry.grantId} ${entry.reason}` : entry.kind)).sort(),
    ids.map((id) => `${id} logout`).sort(),
  );
});

test('a grant that ended while its session was being ended is not ended twice', async () => {
  const { user, session } = await addUser('both@example.com');
  const first = await obtainTokens({ client, user, session });
  await obtainTokens({ client, user, session });
  const ending = await grants.endingOfSession(store.read, session.id);
  // One ends and one begins: there are as many that live as before, and they are others.
  const gid = String(claimsOf(first.refresh_token).gid);
  await store.write((tx) => grants.end(tx, gid, 'user'));
  await obtainTokens({ client, user, session });
  assert.equal((await store.commit(ending)).kind, 'refused');
  assert.equal(await logOut({ id: session.id, userId: user.id }), true);
  assert.equal((await grants.find(gid))?.endReason, 'user');
  const left = 'SELECT id FROM oauth_grant WHERE session_id = $1 AND ended_at_ms IS NULL';
  assert.deepEqual(await rows(left, session.id), []);
});

test('a grant whose time is over ends with its session as long as a token of it may live, and not after', async () => {
  const { user, session } = await addUser('late@example.com');
  await obtainTokens({ client, user, session });
  const day = 24 * 60 * 60_000;
  const expire = (agoMs: number) =>
    store.write((tx) =>
      tx.run('UPDATE oauth_grant SET expires_at_ms = $2 WHERE session_id = $1', session.id, clock.now() - agoMs),
    );
  await expire(day);
  assert.equal((await grants.endingOfSession(store.read, session.id)).journal?.length, 1);
  await expire(day + 120_000);
  assert.equal((await grants.endingOfSession(store.read, session.id)).journal, undefined);
});

test('a session gets no more grants than it may, and the code stays good for another one', async () => {
  const { user, session } = await addUser('cap@example.com');
  await obtainTokens({ client, user, session });
  await multiply(session.id, MAX_GRANTS_PER_SESSION - 1);
  const [last, tooMany] = [await approve({ client, user, session }), await approve({ client, user, session })];
  assert.ok((await grants.redeemCode(client, last)).access_token);
  const refused = await grants.redeemCode(client, tooMany).catch((error) => error);
  assert.ok(refused instanceof OAuthError);
  assert.equal(refused.code, 'rate_limited.session_grants');
  const found = await rows('SELECT id FROM oauth_grant WHERE session_id = $1', session.id);
  assert.equal(found.length, MAX_GRANTS_PER_SESSION);
  assert.ok(await grants.findCode(tooMany.code), 'nothing was redeemed');
});
