// Needs PostgreSQL: its nodes share one.
/**
 * Two nodes over one PostgreSQL: whatever races between them, one token has one successor, one code one grant, one link one session,
 * and what was taken back stays so. On the engine with one writer there is nothing to race; the rules' own tests cover it.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { OAuthError } from '../oauth/oauth.ts';
import { openScratchStore } from '../store/store.ts';
import { authorityOn, claimsOf, HOME, StandingClock, TEST_SERVER } from '../testing/testing.ts';
import { systemRandom as random } from '../world/random.ts';
import type { TokenResponse } from './grants.ts';

describe('two nodes', async () => {
  const clock = new StandingClock();
  const opening = { server: TEST_SERVER, clock, journal: [] };
  const first = await openScratchStore(opening);
  const second = await openScratchStore({ ...opening, databaseUrl: first.url });
  const stores = [first.store, second.store] as const;
  const masterKey = random.bytes(32);
  const one = await authorityOn({ store: stores[0], clock, random }, { masterKey });
  const two = await authorityOn({ store: stores[1], clock, random }, { masterKey });
  const nodes = [one, two] as const;
  const { read } = stores[0];
  after(async () => {
    await second.store.close();
    await first.drop();
  });

  const { client } = await one.addClient({ grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'] });
  let people = 0;
  const person = () => one.addUser(`racer.${people++}@example.com`);
  const settle = async (answers: Promise<TokenResponse>[]) => {
    const settled = await Promise.allSettled(answers);
    for (const answer of settled) {
      if (answer.status === 'rejected') assert.ok(answer.reason instanceof OAuthError, String(answer.reason));
    }
    return settled.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  };
  const each = (count: number, at: (node: (typeof nodes)[number], index: number) => Promise<TokenResponse>) =>
    settle(Array.from({ length: count }, (_, index) => at(index % 2 === 0 ? one : two, index)));
  const live = async (column: 'grant_id' | 'session_id', id: string) =>
    (
      await read.all(
        `SELECT jti FROM access_token WHERE ${column} = $1 AND revoked_at_ms IS NULL AND superseded_at_ms IS NULL`,
        id,
      )
    ).length;

  test('a hundred parallel rotations of one token at two nodes: one successor', async () => {
    for (let round = 0; round < 5; round++) {
      const first = await one.obtainTokens({ client, ...(await person()) });
      const answers = await each(100, (node) => node.refresh(client, first.refresh_token));
      assert.ok(answers.length >= 1 && answers.length <= 4, `${answers.length} answers`);
      assert.equal(new Set(answers.map(({ refresh_token }) => refresh_token)).size, 1);
      const gid = String(claimsOf(first.refresh_token).gid);
      assert.equal((await two.authority.grants.find(gid))?.generation, 2);
      assert.equal(await live('grant_id', gid), 1);
      const told = await read.all(
        "SELECT position FROM invalidation WHERE kind = 'superseded' AND subject_id = $1",
        String(claimsOf(first.access_token).jti),
      );
      assert.equal(told.length, 1);
      assert.ok((await two.refresh(client, answers[0]?.refresh_token)).access_token, 'the family lives on');
    }
    assert.deepEqual(await one.alarmTypes(), []);
  });

  test('a hundred parallel redemptions of one code at two nodes: one grant, which then ends', async () => {
    const { user, session } = await person();
    const code = await one.approve({ client, user, session });
    const answers = await each(100, (node, index) =>
      node.authority.grants.redeemCode(client, { ...code, address: index % 3 === 0 ? HOME : '203.0.113.9' }),
    );
    assert.equal(answers.length, 1);
    const grants = await read.all<{ end_reason: string }>(
      'SELECT end_reason FROM oauth_grant WHERE user_id = $1',
      user.id,
    );
    assert.deepEqual(
      grants.map(({ end_reason }) => end_reason),
      ['code_replayed'],
    );
    assert.equal(await live('session_id', session.id), 0);
  });

  test('a session that ends while its codes are redeemed leaves nothing that lives', async () => {
    for (let round = 0; round < 10; round++) {
      const { user, session } = await person();
      const codes = await Promise.all(Array.from({ length: 6 }, () => one.approve({ client, user, session })));
      const [, ended] = await Promise.all([
        each(codes.length, (node, index) => node.authority.grants.redeemCode(client, codes[index] ?? assert.fail())),
        two.authority.login.endSession(session.id, user.id),
      ]);
      assert.equal(ended, true);
      assert.equal(await live('session_id', session.id), 0, `round ${round}`);
    }
  });

  test('a grant that ends while it is rotated leaves nothing that lives, and ends once', async () => {
    for (let round = 0; round < 10; round++) {
      const first = await one.obtainTokens({ client, ...(await person()) });
      const grantId = String(claimsOf(first.refresh_token).gid);
      const grant = await one.authority.grants.find(grantId);
      assert.ok(grant);
      const [, ...ends] = await Promise.all([
        each(6, (node) => node.refresh(client, first.refresh_token)),
        ...nodes.map(({ authority }, index) => stores[index]?.commit(authority.grants.ending(grant, 'client'))),
      ]);
      assert.equal(ends.filter((end) => end?.kind === 'done').length, 1);
      assert.equal(await live('grant_id', grantId), 0, `round ${round}`);
    }
  });

  test('what is issued while its user or client is disabled does not come to life when he is enabled again', async () => {
    for (let round = 0; round < 5; round++) {
      const { client: own } = await one.addClient({
        grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
      });
      const { user, session } = await person();
      const codes = await Promise.all(Array.from({ length: 4 }, () => one.approve({ client: own, user, session })));
      const byUser = round % 2 === 0;
      const disabling = byUser
        ? two.authority.revocation.disableUser(user.id)
        : two.authority.revocation.disableClient(own.id);
      const [redeemed, issued] = await Promise.all([
        each(codes.length, (node, index) => node.authority.grants.redeemCode(own, codes[index] ?? assert.fail())),
        byUser ? [] : each(4, (node) => node.authority.grants.clientCredentials(own, undefined)),
        disabling,
      ]);
      clock.pass(1);
      if (byUser) await stores[0].write((tx) => one.authority.users.enable(tx, user.id));
      else await one.authority.clients.enable(own.id);
      clock.pass(1);
      for (const { access_token } of [...redeemed, ...issued]) {
        const judgement = await one.authority.tokens.judge(access_token, { address: HOME });
        assert.ok(judgement.kind === 'judged' && judgement.verdict === 'revoked');
      }
    }
  });

  test('first logins of one address at two nodes make one account', async () => {
    for (let round = 0; round < 5; round++) {
      const email = `first.${round}@example.com`;
      const made = await Promise.all(
        Array.from({ length: 10 }, (_, index) => {
          const { authority } = nodes[index % 2] ?? one;
          return stores[index % 2]?.commit(authority.users.creating(email).act);
        }),
      );
      assert.equal(made.filter((outcome) => outcome?.kind === 'done').length, 1);
      const rows = await read.all('SELECT id FROM app_user WHERE email = $1', email);
      assert.equal(rows.length, 1);
    }
  });

  test('a flood of forgeries at two nodes: every one is counted, and each row is told once', async () => {
    const flood = Array.from({ length: 300 }, (_, index) =>
      (nodes[index % 2] ?? one).authority.events.record({ type: 'alarm.forged', keyId: 'key_flood' }),
    );
    await Promise.all(flood);
    const counted = await read.get<{ rows: number; total: number }>(
      "SELECT count(*) AS rows, CAST(sum(occurrences) AS BIGINT) AS total FROM event WHERE key_id = 'key_flood'",
    );
    assert.deepEqual({ ...counted }, { rows: 40, total: 300 });
    const untold = (await two.authority.events.untoldAlarms(1_000)).filter(({ keyId }) => keyId === 'key_flood');
    assert.equal(untold.length, 40);
    await two.authority.events.markTold(untold);
    assert.equal(
      (await one.authority.events.untoldAlarms(1_000)).filter(({ keyId }) => keyId === 'key_flood').length,
      0,
    );
  });
});
