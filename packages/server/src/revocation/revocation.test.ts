import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Verdict } from '@countersign/protocol';
import fc from 'fast-check';
import { digestOf } from '../buckets/buckets.ts';
import type { TokenResponse } from '../grants/grants.ts';
import { OAuthError } from '../oauth/oauth.ts';
import { claimsOf, HOME, openAuthority } from '../testing/testing.ts';
import { INVALIDATION_RETENTION_MS } from './revocation.ts';

const opened = await openAuthority();
after(opened.close);
const { authority, clock, store, addClient, addUser, obtainTokens, approve, refresh } = opened;
const { revocation, tokens, grants, clients, users, sessions } = authority;

/** What opens again comes more often than what closes, so that a history goes on after its first end. */
const ACTS = [
  ...([
    'obtain',
    'obtain',
    'obtain',
    'refresh',
    'refresh',
    'refresh old',
    'own credentials',
    'own credentials',
  ] as const),
  ...(['revoke token', 'end grant', 'end session', 'disable user', 'disable client', 'expire'] as const),
  ...(['enable user', 'enable user', 'enable client', 'enable client', 'enable client', 'log in', 'log in'] as const),
  ...(['pass a moment', 'pass a moment', 'pass the overlap'] as const),
] as const;

test('dead is final: over random histories no verdict returns to live', async () => {
  let number = 0;
  let deaths = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ act: fc.constantFrom(...ACTS), which: fc.nat(20) }), {
        minLength: 10,
        maxLength: 24,
        size: 'max',
      }),
      async (acts) => {
        const { client } = await addClient({
          grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
        });
        const person = await addUser(`user${number++}@example.com`);
        const issued: TokenResponse[] = [];
        const dead = new Map<string, Verdict>();
        const keep = (answer: TokenResponse | undefined) => void (answer && issued.push(answer));
        for (const { act, which } of acts) {
          const some = issued[which % Math.max(issued.length, 1)];
          const current = (await clients.find(client.id)) ?? client;
          await perform({ act, some, client: current, person, keep });
          for (const { access_token } of issued) {
            const verdict = await verdictOn(access_token);
            const known = dead.get(access_token);
            if (known) assert.notEqual(verdict, 'live', `${known} came back after ${act}`);
            if (verdict !== 'live') dead.set(access_token, verdict);
          }
        }
        deaths += dead.size;
      },
    ),
    { numRuns: 25 },
  );
  assert.ok(deaths > 10, `the histories hold only ${deaths} deaths`);
});

async function verdictOn(token: string): Promise<Verdict> {
  return (await tokens.check(String(claimsOf(token).jti), digestOf(token.slice(0, token.lastIndexOf('.'))))).verdict;
}

async function perform(given: {
  act: (typeof ACTS)[number];
  some: TokenResponse | undefined;
  client: Parameters<typeof refresh>[0];
  person: Awaited<ReturnType<typeof addUser>>;
  keep: (answer: TokenResponse | undefined) => void;
}): Promise<void> {
  const { act, some, client, person, keep } = given;
  const grantId = String(claimsOf(some?.refresh_token ?? 'e30.e30').gid);
  switch (act) {
    case 'obtain':
      return keep(await unlessRefused(obtainTokens({ client, ...person })));
    case 'refresh':
    case 'refresh old':
      if (act === 'refresh old') clock.pass(11_000);
      return keep(await unlessRefused(refresh(client, some?.refresh_token)));
    case 'own credentials':
      return keep(await unlessRefused(grants.clientCredentials(client, undefined)));
    case 'revoke token':
      if (some) await store.write((tx) => tokens.revoke(tx, String(claimsOf(some.access_token).jti)));
      return;
    case 'end grant':
      return void (await store.write((tx) => grants.end(tx, grantId, 'user')));
    case 'end session':
      return store.write(async (tx) => {
        await sessions.end(tx, { id: person.session.id, userId: person.user.id });
        await tx.do(await grants.endingOfSession(tx, person.session.id));
      });
    case 'disable user':
      return void (await revocation.disableUser(person.user.id));
    case 'enable user':
      return void (await store.write((tx) => users.enable(tx, person.user.id)));
    case 'disable client':
      return void (await revocation.disableClient(client.id));
    case 'enable client':
      return void (await clients.enable(client.id));
    case 'log in': {
      const login = { userId: person.user.id, amr: ['email'], userAgent: 'x', network: HOME };
      person.session = (await store.write((tx) => sessions.start(tx, login))).session;
      return;
    }
    case 'pass a moment':
      return clock.pass(1);
    case 'pass the overlap':
      return clock.pass(client.overlapSeconds * 1_000);
    case 'expire':
      return clock.pass(client.accessLifetimeSeconds * 1_000);
  }
}

async function unlessRefused(answer: Promise<TokenResponse>): Promise<TokenResponse | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof OAuthError) return undefined;
    throw error;
  }
}

test('every revocation stands in the log, in the order of commits, for its audience', async () => {
  const { client } = await addClient();
  const person = await addUser('ada@example.com');
  const [one, two] = [await obtainTokens({ client, ...person }), await obtainTokens({ client, ...person })];
  const start = (await revocation.after(0, 10_000)).at(-1)?.position ?? 0;
  const jti = String(claimsOf(one.access_token).jti);
  const gid = String(claimsOf(two.refresh_token).gid);
  await store.write((tx) => tokens.revoke(tx, jti));
  await store.write((tx) => grants.end(tx, gid, 'user'));
  await revocation.disableUser(person.user.id);
  await revocation.disableClient(client.id);
  const rows = await revocation.after(start, 10);
  assert.deepEqual(
    rows.map(({ kind, subjectId, audience }) => ({ kind, subjectId, audience })),
    [
      { kind: 'token', subjectId: jti, audience: client.audience },
      { kind: 'grant', subjectId: gid, audience: client.audience },
      { kind: 'user', subjectId: person.user.id, audience: undefined },
      { kind: 'client', subjectId: client.id, audience: undefined },
    ],
  );
  assert.deepEqual(
    rows.map(({ position }) => position),
    [1, 2, 3, 4].map((more) => start + more),
  );
  assert.equal(await store.write((tx) => tokens.revoke(tx, jti)), false, 'a second time changes nothing');
  assert.equal((await revocation.after(start, 10)).length, 4);
});

test('a revocation that is rolled back is in no log', async () => {
  const { client } = await addClient();
  const person = await addUser('bob@example.com');
  const { access_token } = await obtainTokens({ client, ...person });
  const before = (await revocation.after(0, 10_000)).length;
  const failing = store.write(async (tx) => {
    await tokens.revoke(tx, String(claimsOf(access_token).jti));
    throw new Error('no');
  });
  await assert.rejects(failing);
  assert.equal((await revocation.after(0, 10_000)).length, before);
  assert.equal(await verdictOn(access_token), 'live');
});

test('RV-05 disabling a user is one commit: tokens, grants, codes and sessions are dead together, and stay so', async () => {
  const { client } = await addClient();
  const person = await addUser('cid@example.com');
  const first = await obtainTokens({ client, ...person });
  const code = await approve({ client, ...person });
  await revocation.disableUser(person.user.id);
  assert.equal(await verdictOn(first.access_token), 'revoked');
  await store.write((tx) => users.enable(tx, person.user.id));
  clock.pass(1);
  assert.equal(await verdictOn(first.access_token), 'revoked');
  assert.equal(await unlessRefused(refresh(client, first.refresh_token)), undefined);
  assert.equal(await unlessRefused(grants.redeemCode(client, code)), undefined);
  assert.equal(await sessions.inForce(person.session.id), undefined);
  assert.equal(await revocation.disableUser('user_none'), false);
});

test('RV-05 disabling a client is one commit, and what it was issued stays dead when it is enabled again', async () => {
  const { client } = await addClient({ grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'] });
  const person = await addUser('dan@example.com');
  const first = await obtainTokens({ client, ...person });
  const own = await grants.clientCredentials(client, undefined);
  await revocation.disableClient(client.id);
  for (const { access_token } of [first, own]) assert.equal(await verdictOn(access_token), 'revoked');
  await clients.enable(client.id);
  clock.pass(1);
  for (const { access_token } of [first, own]) assert.equal(await verdictOn(access_token), 'revoked');
  const current = (await clients.find(client.id)) ?? client;
  assert.equal(await unlessRefused(refresh(current, first.refresh_token)), undefined);
  const later = await grants.clientCredentials(current, undefined);
  assert.equal(await verdictOn(later.access_token), 'live', 'it works again');
});

test('a row that concerns one token is swept when that token is over, whatever stands before it; others stay', async () => {
  const { client } = await addClient();
  const person = await addUser('eve@example.com');
  const first = await obtainTokens({ client, ...person });
  const ended = await obtainTokens({ client, ...person });
  await store.write((tx) => grants.end(tx, String(claimsOf(ended.refresh_token).gid), 'user'));
  await refresh(client, first.refresh_token);
  await revocation.disableClient(client.id); // the newest row always stays
  const rows = async (kind: string, subject: unknown) =>
    (await revocation.after(0, 10_000)).filter((row) => row.kind === kind && row.subjectId === String(subject)).length;
  const jti = claimsOf(first.access_token).jti;
  assert.equal(await rows('superseded', jti), 1);
  clock.pass(client.accessLifetimeSeconds * 1_000);
  while ((await revocation.sweep(1_000)).deleted > 0);
  assert.equal(await rows('superseded', jti), 1, 'a verifier whose clock is late could still take it');
  clock.pass(91_000);
  while ((await revocation.sweep(1_000)).deleted > 0);
  assert.equal(await rows('superseded', jti), 0);
  assert.equal(await rows('grant', claimsOf(ended.refresh_token).gid), 1);
});

test('the log is swept past its retention, never its newest row, so that positions never start anew', async () => {
  const newest = (await revocation.after(0, 10_000)).at(-1);
  clock.pass(INVALIDATION_RETENTION_MS + 1);
  while ((await revocation.sweep(1_000)).deleted > 0);
  assert.deepEqual(await revocation.after(0, 10), [newest]);
});
