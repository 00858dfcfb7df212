import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Buckets } from '../buckets/buckets.ts';
import { Events } from '../events/events.ts';
import { Sealer } from '../sealing/sealing.ts';
import { openTestStore } from '../testing/testing.ts';
import { Users } from '../users/users.ts';
import { systemRandom as random } from '../world/random.ts';
import { SESSION_ABSOLUTE_MS, SESSION_IDLE_MS, Sessions } from './sessions.ts';
import { LAST_SEEN_STEP_MS } from './timeouts.ts';

async function setUp() {
  let nowMs = 1_800_000_000_000;
  const clock = { now: () => nowMs };
  const { store, journal: entries, close } = await openTestStore({ clock });
  after(close);
  const events = new Events({ store, clock, random });
  const buckets = new Buckets({
    ...{ store, clock, random },
    sealer: new Sealer({ masterKey: random.bytes(32), random }),
  });
  await buckets.prepare();
  const users = new Users({ store, clock, random, events, buckets });
  const sessions = new Sessions({ store, clock, random, users, events, buckets });
  const user = await store.write((tx) => users.create(tx, 'ann@example.org'));
  const login = { userId: user.id, amr: ['email'], userAgent: 'Firefox on Linux', network: '192.0.2.1' };
  return {
    store,
    clock,
    entries,
    users,
    sessions,
    user,
    start: () => store.write((tx) => sessions.start(tx, login)),
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

test('SE-02 the cookie has 256 bits, and only its digest is stored', async () => {
  const { start, sessions, store } = await setUp();
  const { cookie, session } = await start();
  assert.equal(Buffer.from(cookie, 'base64url').length, 32);
  assert.equal((await sessions.find(cookie))?.id, session.id);
  const rows = await store.read.all<Record<string, unknown>>('SELECT * FROM browser_session');
  for (const value of rows.flatMap((row) => Object.values(row))) {
    const text = value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value);
    assert.ok(!text.includes(cookie) && !text.includes(Buffer.from(cookie, 'base64url').toString('latin1')));
  }
});

test('what is no cookie of ours finds nothing', async () => {
  const { start, sessions } = await setUp();
  const { cookie, session } = await start();
  for (const text of [undefined, '', session.id, `${cookie}A`, cookie.slice(1), '!'.repeat(43), 'A'.repeat(43)]) {
    assert.equal(await sessions.find(text), undefined);
  }
});

test('SE-03 use keeps a session from idling out, up to the absolute end', async () => {
  const { start, sessions, pass } = await setUp();
  const [used, idle] = [await start(), await start()];
  let passedMs = 0;
  for (; passedMs + SESSION_IDLE_MS - 1 < SESSION_ABSOLUTE_MS; passedMs += SESSION_IDLE_MS - 1) {
    assert.ok(await sessions.find(used.cookie));
    pass(SESSION_IDLE_MS - 1);
  }
  assert.equal(await sessions.find(idle.cookie), undefined);
  assert.ok(await sessions.find(used.cookie));
  pass(SESSION_ABSOLUTE_MS - passedMs);
  assert.equal(await sessions.find(used.cookie), undefined);
});

test('last seen costs a commit once a minute, not with every page', async (t) => {
  const { start, sessions, store, pass } = await setUp();
  const { cookie } = await start();
  const write = t.mock.method(store, 'write');
  const commit = t.mock.method(store, 'commit');
  const commits = () => write.mock.callCount() + commit.mock.callCount();
  for (let i = 0; i < 10; i++) await sessions.find(cookie);
  assert.equal(commits(), 0);
  pass(LAST_SEEN_STEP_MS);
  for (let i = 0; i < 10; i++) await sessions.find(cookie);
  assert.equal(commits(), 1);
});

test('SE-04 an ended session is not found again', async () => {
  const { start, sessions, store } = await setUp();
  const { cookie, session } = await start();
  assert.equal(await store.write((tx) => sessions.end(tx, session)), true);
  assert.equal(await store.write((tx) => sessions.end(tx, session)), false);
  assert.equal(await sessions.find(cookie), undefined);
  assert.equal(await sessions.inForce(session.id), undefined);
});

test('SE-05 disabling a user ends all sessions at once and for good, and is journalled', async () => {
  const { start, sessions, store, users, user, pass, entries } = await setUp();
  const { cookie } = await start();
  await store.write((tx) => users.disable(tx, user.id));
  assert.equal(await sessions.find(cookie), undefined);
  pass(1000);
  await store.write((tx) => users.enable(tx, user.id));
  assert.equal(await sessions.find(cookie), undefined);
  assert.deepEqual(await sessions.list(user.id), []);
  assert.ok(await sessions.find((await start()).cookie));
  assert.deepEqual(
    entries.map(({ kind }) => kind),
    ['user_disabled'],
  );
});

test('SE-05 a session that a clock ahead had dated later than the disabling does not come back with enabling', async () => {
  const { start, sessions, store, users, user, pass } = await setUp();
  pass(3_600_000);
  const { cookie } = await start();
  pass(-3_600_000);
  assert.ok(await sessions.find(cookie));
  await store.write((tx) => users.disable(tx, user.id));
  pass(7_200_000);
  await store.write((tx) => users.enable(tx, user.id));
  assert.equal(await sessions.find(cookie), undefined);
  const next = await start();
  pass(1);
  await store.write((tx) => users.enable(tx, user.id));
  assert.ok(await sessions.find(next.cookie), 'enabling who is enabled ends nothing');
});

test('after a restore every session is ended in one statement', async () => {
  const { start, sessions, store } = await setUp();
  const [first, second] = [await start(), await start()];
  assert.equal(await store.write((tx) => sessions.endAll(tx)), 2);
  assert.equal(await sessions.find(first.cookie), undefined);
  assert.equal(await sessions.find(second.cookie), undefined);
});

test('users are listed by pages, and an address belongs to one account', async () => {
  const { store, users, user, pass } = await setUp();
  pass(1);
  const second = await store.write((tx) => users.create(tx, 'bob@example.org'));
  assert.deepEqual(await users.list({ limit: 1 }), [user]);
  assert.deepEqual(await users.list({ afterId: user.id, limit: 10 }), [second]);
  await assert.rejects(store.write((tx) => users.create(tx, 'bob@example.org')));
  assert.deepEqual(await users.standing(user.id), { disabled: false, deadBeforeMs: 0 });
  assert.equal(await users.standing('user_none'), undefined);
  assert.equal(await store.write((tx) => users.disable(tx, 'user_none')), false);
});

test('rows of users that somebody else wrote neither stand in a list nor end it', async () => {
  const { store, users, user, pass } = await setUp();
  await store.write((tx) =>
    tx.run(
      'INSERT INTO app_user (proof, id, email, created_at_ms) VALUES ($1, $2, $3, 1)',
      ...[new Uint8Array(33), `${user.id.slice(0, -1)}~`, 'eve@example.org'],
    ),
  );
  pass(1);
  const second = await store.write((tx) => users.create(tx, 'bob@example.org'));
  assert.deepEqual(await users.list({ limit: 2 }), [user, second]);
  assert.deepEqual(await users.list({ limit: 1 }), [user]);
  assert.deepEqual(await users.list({ afterId: user.id, limit: 1 }), [second]);
});

test('sessions that are over are swept after a week', async () => {
  const { start, sessions, store, pass } = await setUp();
  const { session } = await start();
  const kept = await start();
  await store.write((tx) => sessions.end(tx, session));
  assert.equal((await sessions.sweep(500)).removed, 0);
  pass(8 * 86_400_000);
  assert.deepEqual(await sessions.sweep(500), { removed: 1 });
  const left = await store.read.all<{ id: string }>('SELECT id FROM browser_session');
  assert.deepEqual(
    left.map(({ id }) => id),
    [kept.session.id],
  );
});
