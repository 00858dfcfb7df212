/** What a login by link reads before its commit changes between the two. */
import assert from 'node:assert/strict';
import { after, mock, test } from 'node:test';
import { authorityOn, openStore } from '../testing/testing.ts';

const opened = await openStore();
after(opened.close);
const { clock, store } = opened;
const { authority, addClient, approve, eventTypes } = await authorityOn(opened);
const { login, users, sessions, grants, revocation, keys } = authority;

function beforeCommit(happening: () => Promise<unknown>): void {
  const commit = store.commit.bind(store);
  const late: typeof commit = async (act) => {
    await happening();
    return commit(act);
  };
  mock.method(store, 'commit', late, { times: 1 });
}

let people = 0;
/** A login by link that is one commit from its end. */
async function begun() {
  people++;
  const email = `ann.${people}@example.org`;
  const user = await store.write((tx) => users.create(tx, email));
  clock.pass(1);
  return { email, user, ...(await linkTo(email)) };
}

/** The link of a mail, made as the mail holds it: nothing else tells its token. */
async function linkTo(email: string, browser = login.newBrowser()) {
  const request = { known: undefined, returnTo: '', client: undefined, userAgent: '', network: '192.0.2.1' };
  let token = '';
  const sign = keys.sign.bind(keys);
  const noting: typeof sign = async (given) => {
    const signed = await sign(given);
    token = signed.token;
    return signed;
  };
  const method = mock.method(keys, 'sign', noting);
  const id = await login.start({ ...request, email, browser });
  method.mock.restore();
  const finish = (sessionCookie?: string) =>
    login.finishByLink(token, { browser, sessionCookie, userAgent: '', network: '192.0.2.1' });
  return { id, finish };
}

const started = async () => (await eventTypes()).filter((type) => type === 'session.started').length;

test('nobody is logged in who is disabled before the commit, also where he is enabled again', async () => {
  for (const isEnabledAgain of [false, true]) {
    const { user, finish } = await begun();
    const before = await started();
    beforeCommit(async () => {
      await revocation.disableUser(user.id);
      if (isEnabledAgain) await store.write((tx) => users.enable(tx, user.id));
    });
    assert.deepEqual(await finish(), { kind: 'no_account' });
    assert.equal(await started(), before);
  }
});

test('a link that is superseded, used or over before the commit logs in nobody', async () => {
  const cases = [
    [(id: string) => store.write((tx) => login.revokeLink(tx, id)), 'superseded'],
    [(id: string) => moved(id), 'invalid'],
  ] as const;
  for (const [happening, kind] of cases) {
    const { id, finish } = await begun();
    const before = await started();
    beforeCommit(() => happening(id));
    assert.deepEqual(await finish(), { kind });
    assert.equal(await started(), before);
  }
  const { finish } = await begun();
  beforeCommit(finish);
  assert.deepEqual(await finish(), { kind: 'used' });
});

/** Its end is one of the terms of a link: moved, the row is not ours any more. */
const moved = (id: string) =>
  store.write((tx) => tx.run('UPDATE magic_link SET expires_at_ms = expires_at_ms - 600000 WHERE id = $1', id));

test('two first logins of one address at once make one account', async () => {
  const email = 'new@example.org';
  const [one, two] = [await linkTo(email), await linkTo(email)];
  beforeCommit(one.finish);
  assert.equal((await two.finish()).kind, 'finished');
  const user = await users.byEmail(email);
  assert.equal((await sessions.list(user?.id ?? '')).length, 2);
});

/** A session of a browser, with the grant of an application that lives by it. */
async function loggedIn() {
  const { user, email, finish } = await begun();
  const finished = await finish();
  assert.ok(finished.kind === 'finished');
  const session = await sessions.find(finished.sessionCookie);
  assert.ok(session);
  const { client } = await addClient();
  const code = await approve({ client, user, session });
  const redeem = () => grants.redeemCode(client, code);
  return { user, email, session, cookie: finished.sessionCookie, redeem };
}

const liveGrants = async (sessionId: string) =>
  (await store.read.all('SELECT 1 FROM oauth_grant WHERE session_id = $1 AND ended_at_ms IS NULL', sessionId)).length;

test('a grant that begins by the session which a login of somebody else replaces ends with it', async () => {
  const old = await loggedIn();
  const { finish } = await begun();
  beforeCommit(old.redeem);
  assert.equal((await finish(old.cookie)).kind, 'finished');
  assert.equal(await sessions.find(old.cookie), undefined);
  assert.equal(await liveGrants(old.session.id), 0);
});

test('a grant that begins by the session which a login of the same user replaces goes on by the new one', async () => {
  const old = await loggedIn();
  const { finish } = await linkTo(old.email);
  beforeCommit(old.redeem);
  const finished = await finish(old.cookie);
  assert.ok(finished.kind === 'finished');
  const next = await sessions.find(finished.sessionCookie);
  assert.deepEqual([await liveGrants(old.session.id), await liveGrants(next?.id ?? '')], [0, 1]);
});

test('a login whose old session ends before the commit is finished, and ends it once', async () => {
  const old = await loggedIn();
  const { finish } = await linkTo(old.email);
  const ended = async () => (await eventTypes()).filter((type) => type === 'session.ended').length;
  const before = await ended();
  beforeCommit(() => login.logOut(old.cookie));
  assert.equal((await finish(old.cookie)).kind, 'finished');
  assert.equal(await ended(), before + 1);
});

test('a try of a code takes one point of its address, however often its transaction begins again', async () => {
  const { email, id } = await begun();
  const { limits } = authority;
  const write = store.write.bind(store);
  // As an engine with several writers does it: the first attempt is taken back.
  const twice: typeof write = async (work) => {
    await write(async (tx) => {
      await work(tx);
      throw new Error('somebody else came first');
    }).catch(() => {});
    return write(work);
  };
  const browser = login.newBrowser();
  const { id: own } = await linkTo(email, browser);
  assert.notEqual(own, id);
  const take = mock.method(limits, 'take');
  mock.method(store, 'write', twice, { times: 1 });
  const request = { browser, sessionCookie: undefined, userAgent: '', network: '192.0.2.1' };
  assert.equal((await login.finishByCode({ linkId: own, code: '222222' }, request)).kind, 'wrong_code');
  assert.equal(take.mock.callCount(), 1);
  take.mock.restore();
});
