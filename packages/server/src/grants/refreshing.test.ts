import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createId } from '@countersign/protocol';
import fc from 'fast-check';
import type { Client } from '../clients/clients.ts';
import { OAuthError } from '../oauth/oauth.ts';
import { claimsOf, HOME, openAuthority } from '../testing/testing.ts';
import type { TokenResponse } from './grants.ts';
import { revokePresented } from './revoking.ts';

const opened = await openAuthority();
after(opened.close);
const { authority, clock, store, addClient, addUser, obtainTokens, refresh, forge, alarmTypes } = opened;
const { grants, tokens } = authority;
const { client } = await addClient();
const { client: other } = await addClient();
const ada = await addUser('ada@example.com');

const family = async (of: Client = client) => {
  const first = await obtainTokens({ client: of, ...ada });
  return { first, grantId: String(claimsOf(first.refresh_token).gid) };
};
const attempt = (presented: Promise<TokenResponse>): Promise<TokenResponse | OAuthError> =>
  presented.catch((error) => {
    if (error instanceof OAuthError) return error;
    throw error;
  });
const GRACE_MS = client.graceSeconds * 1_000;

const act = fc.record({
  waitMs: fc.constantFrom(0, 1, 3_000, GRACE_MS - 1, GRACE_MS, 60_000),
  back: fc.constantFrom(0, 0, 0, 1, 1, 2, 3),
  how: fc.constantFrom('genuine', 'genuine', 'genuine', 'genuine', 'new eb', 'no eb', 'other sub', 'later generation'),
  by: fc.constantFrom(client, client, client, client, other),
  address: fc.constantFrom(HOME, '203.0.113.9'),
});

test('BC-01 BC-04 the real thing, over random histories: one successor each, forgers end nothing, thieves always', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 4, maxLength: 14 }), async (acts) => {
      clock.pass(60_000); // alarms are capped per minute, and each one counts here
      const { first, grantId } = await family();
      const issued = [first.refresh_token ?? ''];
      const successors = new Map<string, string>();
      let isEnded = false;
      let rotatedAtMs = Number.NEGATIVE_INFINITY;
      let repeats = 0;
      for (const { waitMs, back, how, by, address } of acts) {
        clock.pass(waitMs);
        const genuine = issued.at(-1 - back) ?? issued[0] ?? '';
        const token = how === 'genuine' ? genuine : await forgedFrom(genuine, how);
        const ownBack = issued.length - 1 - issued.indexOf(genuine);
        const alarmsBefore = (await alarmTypes()).length;
        const answer = await attempt(refresh(by, token, address));
        const alarms = (await alarmTypes()).slice(alarmsBefore);
        const sinceMs = clock.now() - rotatedAtMs;

        if (how !== 'genuine') {
          assert.ok(answer instanceof OAuthError && answer.error === 'invalid_grant');
          // With the right tag and the client's credentials an older generation is theft, whatever else is in it.
          if (how === 'other sub' && ownBack >= 2 && by === client) isEnded = true;
          else if (how !== 'other sub' || ownBack < 2) assert.equal(alarms.length, 1, 'a forgery rings, always');
        } else if (by === other || isEnded) {
          assert.ok(answer instanceof OAuthError);
          assert.deepEqual(alarms, []);
        } else if (ownBack === 0) {
          assert.ok(!(answer instanceof OAuthError));
          successors.set(genuine, answer.refresh_token ?? '');
          issued.push(answer.refresh_token ?? '');
          [rotatedAtMs, repeats] = [clock.now(), 0];
          assert.deepEqual(alarms, []);
        } else if (ownBack === 1 && sinceMs < GRACE_MS) {
          if (repeats++ < 3) {
            assert.ok(!(answer instanceof OAuthError));
            assert.equal(answer.refresh_token, successors.get(genuine), 'the same successor');
          } else assert.ok(answer instanceof OAuthError);
          assert.deepEqual(alarms, []);
        } else {
          assert.ok(answer instanceof OAuthError);
          isEnded = true;
        }
        assert.equal((await grants.find(grantId))?.endedAtMs !== undefined, isEnded);
      }
      assert.equal(new Set(issued).size, issued.length);
    }),
    { numRuns: 30 },
  );
});

/** What a thief of the refresh key makes of a token he has seen. */
async function forgedFrom(genuine: string, how: string): Promise<string> {
  const claims = claimsOf(genuine);
  const eb = Buffer.from(opened.random.bytes(48)).toString('base64url');
  switch (how) {
    case 'new eb':
      return forge('refresh', 'rt+jwt', { ...claims, eb });
    case 'no eb':
      return forge('refresh', 'rt+jwt', { ...claims, eb: undefined });
    case 'other sub':
      return forge('refresh', 'rt+jwt', { ...claims, sub: other.id.replace('oauth2client', 'user') });
    default:
      return forge('refresh', 'rt+jwt', { ...claims, gen: Number(claims.gen) + 9 });
  }
}

test('a hundred parallel refreshes with one token: one successor, no alarm, and the family lives on', async () => {
  const { first, grantId } = await family();
  const before = (await alarmTypes()).length;
  const answers = await Promise.all(Array.from({ length: 100 }, () => attempt(refresh(client, first.refresh_token))));
  const good = answers.filter((answer): answer is TokenResponse => !(answer instanceof OAuthError));
  assert.equal(new Set(good.map((answer) => answer.refresh_token)).size, 1);
  assert.equal(new Set(good.map((answer) => answer.access_token)).size, 1);
  assert.equal(good.length, 4, 'the rotation and three repeats of it');
  const grant = await grants.find(grantId);
  assert.equal(grant?.endedAtMs, undefined);
  assert.equal(grant?.generation, 2);
  assert.equal((await alarmTypes()).length, before);
  assert.ok((await refresh(client, good[0]?.refresh_token)).refresh_token);
});

test('EB-06 twenty parallel refreshes leave one live access token, and another device’s grant alone', async () => {
  const [device, { first }] = [await family(), await family()];
  await Promise.all(Array.from({ length: 20 }, () => attempt(refresh(client, first.refresh_token))));
  clock.pass(client.overlapSeconds * 1_000);
  const all = await tokens.list({ limit: 1_000 });
  const verdicts = async (grantId: unknown) => {
    const own = all.filter((row) => row.grantId === grantId);
    return own.map(({ supersededAtMs }) =>
      supersededAtMs !== undefined && supersededAtMs <= clock.now() ? 'superseded' : 'live',
    );
  };
  assert.deepEqual((await verdicts(claimsOf(first.refresh_token).gid)).sort(), ['live', 'superseded']);
  assert.deepEqual(await verdicts(device.grantId), ['live']);
});

test('without a grace window a repeat ends the grant, in whichever millisecond it comes', async () => {
  const { client: strict } = await addClient({ graceSeconds: 0 });
  const { first, grantId } = await family(strict);
  const second = await refresh(strict, first.refresh_token);
  assert.ok((await attempt(refresh(strict, first.refresh_token))) instanceof OAuthError);
  assert.equal((await grants.find(grantId))?.endReason, 'refresh_replayed');
  assert.ok((await attempt(refresh(strict, second.refresh_token))) instanceof OAuthError);
});

test('never the same answer again after the successor was presented', async () => {
  const { first, grantId } = await family();
  const second = await refresh(client, first.refresh_token);
  await refresh(client, second.refresh_token);
  assert.ok((await attempt(refresh(client, first.refresh_token))) instanceof OAuthError);
  assert.equal((await grants.find(grantId))?.endReason, 'refresh_replayed');
});

test('the server alone cannot open a kept answer, and no column holds a token', async () => {
  const { first, grantId } = await family();
  const second = await refresh(client, first.refresh_token);
  const row = await store.read.get<Record<string, unknown>>('SELECT * FROM oauth_grant WHERE id = $1', grantId);
  const sealed = row?.sealed_response;
  assert.ok(sealed instanceof Uint8Array);
  const place = { table: 'oauth_grant', row: grantId, column: 'sealed_response' };
  assert.throws(() => authority.sealer.open(place, sealed));
  assert.throws(() => authority.sealer.openFromHolder(place, second.refresh_token ?? '', sealed));
  const opened = authority.sealer.openFromHolder(place, first.refresh_token ?? '', sealed);
  assert.deepEqual(JSON.parse(Buffer.from(opened).toString()), second);
});

test('BC-03 a family used every week dies at its absolute end, and no child outlives it', async () => {
  const { client: weekly } = await addClient({ refreshAbsoluteSeconds: 60 * 86_400, refreshIdleSeconds: 8 * 86_400 });
  let { first: newest, grantId } = await family(weekly);
  const endMs = (await grants.find(grantId))?.expiresAtMs ?? 0;
  for (let week = 1; week <= 8; week++) {
    clock.pass(7 * 86_400_000);
    newest = await refresh(weekly, newest.refresh_token);
    const grant = await grants.find(grantId);
    assert.equal(grant?.expiresAtMs, endMs);
    assert.ok((grant?.idleExpiresAtMs ?? 0) <= endMs);
  }
  clock.pass(7 * 86_400_000);
  const answer = await attempt(refresh(weekly, newest.refresh_token));
  assert.ok(answer instanceof OAuthError && answer.code === 'unauthorized.bad_refresh_token.expired');
});

test('BC-03 a family left alone for its idle time is over; a millisecond earlier it is not', async () => {
  ada.session = (await addUser('ada2@example.com')).session;
  const eve = await addUser('eve@example.com');
  const idleMs = client.refreshIdleSeconds * 1_000;
  const [one, two] = [await obtainTokens({ client, ...eve }), await obtainTokens({ client, ...eve })];
  clock.pass(idleMs - 1);
  await refresh(client, one.refresh_token);
  clock.pass(1);
  assert.ok((await attempt(refresh(client, two.refresh_token))) instanceof OAuthError);
});

test('a client disabled and enabled again while a refresh was under way gets nothing out of the old grant', async () => {
  const { client: authenticated } = await addClient();
  const eve = await addUser('eve2@example.com');
  const first = await obtainTokens({ client: authenticated, ...eve });
  const second = await refresh(authenticated, first.refresh_token);
  await authority.revocation.disableClient(authenticated.id);
  await authority.clients.enable(authenticated.id);
  // The request was authenticated before: what it holds of the client is what was true then.
  assert.ok((await attempt(refresh(authenticated, second.refresh_token))) instanceof OAuthError);
});

test('a forged refresh token rings where it is given back, too, and ends nothing', async () => {
  clock.pass(60_000);
  const { refresh_token: own } = await obtainTokens({ client, ...(await addUser('finn@example.com')) });
  const rung = async (claims: object) => {
    const before = (await alarmTypes()).length;
    const token = await forge('refresh', 'rt+jwt', { ...claimsOf(own), ...claims });
    await revokePresented({ ...authority, store }, { client, token, address: HOME });
    return (await alarmTypes()).slice(before).join();
  };
  assert.equal(await rung({ sub: 'x' }), 'alarm.forged');
  assert.equal(await rung({ gid: createId('grant', clock.now(), new Uint8Array(8)) }), 'alarm.forged');
  assert.equal(await rung({ iat: 1 }), 'alarm.tampered');
  assert.ok((await refresh(client, own)).access_token);
});

test('RV-06 what is over, or not yet good, by the clock of the node that is asked is dead at the others, too', async () => {
  const mine = await addUser('gina@example.com');
  const obtain = () => obtainTokens({ client, ...mine });
  const first = await obtain();
  await refresh(client, first.refresh_token);
  const cases: [token: string, skewMs: number][] = [
    [first.access_token, client.overlapSeconds * 1_000],
    [(await obtain()).access_token, client.accessLifetimeSeconds * 1_000 + 60_000],
    [(await obtain()).access_token, -60_000],
  ];
  const isLive = async (token: string) => {
    const judgement = await tokens.judge(token, { address: HOME });
    return judgement.kind === 'judged' && judgement.verdict === 'live';
  };
  for (const [token, skewMs] of cases) {
    assert.equal(await isLive(token), true);
    clock.pass(skewMs);
    assert.equal(await isLive(token), false, 'by this clock');
    await revokePresented({ ...authority, store }, { client: other, token, address: HOME });
    clock.pass(-skewMs);
    assert.equal(await isLive(token), true, 'another client takes nothing back');
    clock.pass(skewMs);
    await revokePresented({ ...authority, store }, { client, token, address: HOME });
    clock.pass(-skewMs);
    assert.equal(await isLive(token), false, 'revoked');
  }
});
