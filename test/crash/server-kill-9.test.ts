/**
 * kill -9 of the real server process, twenty times on one data folder, while clients refresh and revoke over HTTPS. What a client
 * was told is true afterwards: its tokens are known by their records, what it revoked is dead for ever, and its newest refresh token
 * still has at most one successor. `KILL_SEED` replays the choices and moments of a run.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { type Authority, composeAuthority, localCertificate, openSqliteStore, systemRandom } from '@countersign/server';
import { defaultJournalFolder } from '../../packages/server/src/store/store.ts';
import { systemClock } from '../../packages/server/src/world/clock.ts';
import { systemStopwatch } from '../../packages/server/src/world/stopwatch.ts';
import { systemTimers } from '../../packages/server/src/world/timers.ts';

const ROUNDS = 20;
const FLOWS = 12;
/** From the first answer on: long enough for dozens of commits, short enough that the moment of the kill matters. */
const LONGEST_LIFE_MS = 250;
/** Checking follows the kill within this; the overlap of superseded tokens and the grace of refresh tokens reach as far. */
const OVERLAP_SECONDS = 30;
const AUDIENCE = 'https://api.example';
const REDIRECT_URI = 'https://app.example/callback';

const main = fileURLToPath(new URL('../../packages/server/src/main.ts', import.meta.url));
const dataFolder = mkdtempSync(join(tmpdir(), 'countersign-server-kill-'));
const masterKey = randomBytes(32);
const port = await freePort();
const issuer = `https://localhost:${port}`;
let child: ChildProcess | undefined;

after(() => {
  child?.kill('SIGKILL');
  rmSync(dataFolder, { recursive: true });
});

/** What the clients know of a grant: every token they were given, and what they asked to be taken back. */
interface Family {
  grantId: string;
  refreshTokens: string[];
  accessTokens: string[];
  /** Asked for; and confirmed. */
  revoking: Set<string>;
  revoked: Set<string>;
  ending: boolean;
  ended: boolean;
}

test('kill -9 of the server, 20 rounds: what clients were told stays true', { timeout: 120_000 }, async (t) => {
  const seed = Number(process.env.KILL_SEED ?? Date.now() % 2 ** 31);
  t.diagnostic(`KILL_SEED=${seed}`);
  const random = seededRandom(seed);
  const certificate = await localCertificate({ dataFolder, clock: systemClock, random: systemRandom });
  const caCertificate = readFileSync(certificate.caCertificateFile, 'utf8');
  setDefaultCACertificates([...getCACertificates('default'), caCertificate]);

  const client = await within(register);
  const dead = new Map<string, string>();
  const sums = { refreshed: 0, revoked: 0, ended: 0 };
  for (let round = 1; round <= ROUNDS; round += 1) {
    const families = await within((authority) => begin(authority, client));
    await serveUntilKilled(random() * LONGEST_LIFE_MS, (onAnswer) =>
      Promise.all(families.map((family) => use(family, { client, random, onAnswer }))),
    );
    await within((authority) => check(authority, { client, families, dead }));
    for (const family of families) {
      sums.refreshed += family.refreshTokens.length - 1;
      sums.revoked += family.revoked.size;
      sums.ended += family.ended ? 1 : 0;
    }
  }
  t.diagnostic(`${sums.refreshed} rotations, ${sums.revoked} revocations and ${sums.ended} ends were acknowledged`);
  assert.ok(sums.refreshed > 5 * ROUNDS && sums.revoked > ROUNDS && sums.ended > 0, 'the rounds are too short');
});

interface Credentials {
  client: Awaited<ReturnType<Authority['clients']['add']>>['client'];
  secret: string;
}

async function register(authority: Authority): Promise<Credentials> {
  const { client, secret = '' } = await authority.clients.add({
    name: 'Application',
    isConfidential: true,
    redirectUris: [REDIRECT_URI],
    scopes: ['accounts:read'],
    audience: AUDIENCE,
    overlapSeconds: OVERLAP_SECONDS,
    graceSeconds: OVERLAP_SECONDS,
  });
  return { client, secret };
}

/** Begins the families of a round while no server runs. */
async function begin({ store, users, sessions, grants }: Authority, { client }: Credentials): Promise<Family[]> {
  const session = await store.write(async (tx) => {
    const user = await users.create(tx, `user-${randomBytes(8).toString('hex')}@example.com`);
    const login = { userId: user.id, amr: ['email'], userAgent: 'Firefox', network: '192.0.2.1' };
    return (await sessions.start(tx, login)).session;
  });
  return Promise.all(
    Array.from({ length: FLOWS }, async () => {
      const verifier = randomBytes(32).toString('base64url');
      const code = await grants.issueCode({
        ...{ client, userId: session.userId, sessionId: session.id, redirectUri: REDIRECT_URI },
        isRedirectUriSent: true,
        codeChallenge: createHash('sha256').update(verifier).digest('base64url'),
        ...{ scope: ['accounts:read'], nonce: undefined, authTimeMs: session.createdAtMs, amr: session.amr },
      });
      const address = '192.0.2.1';
      const { access_token, refresh_token = '' } = await grants.redeemCode(client, {
        ...{ code, verifier, redirectUri: REDIRECT_URI, address },
      });
      return {
        ...{
          grantId: String(claimsOf(refresh_token).gid),
          refreshTokens: [refresh_token],
          accessTokens: [access_token],
        },
        ...{ revoking: new Set<string>(), revoked: new Set<string>(), ending: false, ended: false },
      };
    }),
  );
}

/** Runs the server, lets the clients at it, kills it, and waits until they have noticed. */
async function serveUntilKilled(lifeMs: number, clients: (onAnswer: () => void) => Promise<unknown>): Promise<void> {
  const server = spawn(process.execPath, [main, 'start'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      NODE_OPTIONS: '--conditions=countersign-source',
      NODE_COMPILE_CACHE: join(dataFolder, 'compile-cache'),
      COUNTERSIGN_DATA_FOLDER: dataFolder,
      COUNTERSIGN_MASTER_KEY: masterKey.toString('base64'),
      COUNTERSIGN_ISSUER: issuer,
      COUNTERSIGN_PORT: String(port),
      COUNTERSIGN_PLAINTEXT_PORT: '0',
    },
  });
  child = server;
  const closed = once(server, 'close');
  let complaints = '';
  server.stderr.on('data', (chunk) => {
    complaints += chunk;
  });
  // It prints for the person who started it once it listens.
  await Promise.race([once(server.stdout, 'data'), closed]);
  let timer: NodeJS.Timeout | undefined;
  const flows = clients(() => {
    timer ??= setTimeout(() => server.kill('SIGKILL'), lifeMs);
  });
  flows.catch(() => server.kill('SIGKILL')); // what they found wrong is thrown below
  const [code, signal] = await closed;
  clearTimeout(timer);
  assert.deepEqual([code, signal], [null, 'SIGKILL'], `the server ended by itself: ${complaints}`);
  await flows;
}

/** One client: refreshes, and now and then revokes a token or the whole family, until nobody answers any more. */
async function use(
  family: Family,
  by: { client: Credentials; random: () => number; onAnswer: () => void },
): Promise<void> {
  const { random, onAnswer } = by;
  const { client, secret } = by.client;
  const credentials = { client_id: client.id, client_secret: secret };
  const post = async (path: string, form: Record<string, string>): Promise<string | undefined> => {
    try {
      const body = new URLSearchParams({ ...form, ...credentials });
      const response = await fetch(`${issuer}${path}`, { method: 'POST', body });
      const text = await response.text();
      assert.equal(response.status, 200, `${path} answered ${response.status}: ${text}`);
      onAnswer();
      return text;
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      return undefined; // killed: nothing was acknowledged
    }
  };
  while (!family.ended) {
    const [choice, refreshToken, accessToken] = [random(), family.refreshTokens.at(-1), family.accessTokens.at(-1)];
    if (choice < 0.03) {
      family.ending = true;
      if ((await post('/oauth2/revoke', { token: refreshToken ?? '' })) === undefined) return;
      family.ended = true;
    } else if (choice < 0.25 && accessToken && !family.revoked.has(accessToken)) {
      family.revoking.add(accessToken);
      if ((await post('/oauth2/revoke', { token: accessToken })) === undefined) return;
      family.revoked.add(accessToken);
    } else {
      const form = { grant_type: 'refresh_token', refresh_token: refreshToken ?? '' };
      const text = await post('/oauth2/token', form);
      if (text === undefined) return;
      const answer = JSON.parse(text) as { access_token: string; refresh_token: string }; // RFC 6749 §5.1, status 200
      family.accessTokens.push(answer.access_token);
      family.refreshTokens.push(answer.refresh_token);
    }
  }
}

async function check(
  authority: Authority,
  known: { client: Credentials; families: Family[]; dead: Map<string, string> },
): Promise<void> {
  const { dead, families, client } = known;
  for (const [token, was] of dead) {
    assert.notEqual(await verdictOn(authority, token), 'live', `a token that was ${was} came back`);
  }
  for (const [number, family] of families.entries()) {
    await checkTokens(authority, family, dead);
    await checkFamily(authority, family, { client: client.client, isStolen: number % 2 === 0 });
  }
}

/** Every acknowledged token has its record, and every acknowledged revocation holds. */
async function checkTokens(authority: Authority, family: Family, dead: Map<string, string>): Promise<void> {
  for (const token of family.accessTokens) {
    const verdict = await verdictOn(authority, token);
    if (family.revoked.has(token)) assert.equal(verdict, 'revoked', 'an acknowledged revocation');
    else if (family.ended) assert.equal(verdict, 'revoked', 'a token of a family whose end was acknowledged');
    else if (!family.revoking.has(token) && !family.ending) {
      assert.equal(verdict, 'live', 'an acknowledged token that nobody took back');
    } else assert.ok(verdict === 'live' || verdict === 'revoked', `acknowledged, then ${verdict}`);
    if (verdict !== 'live') dead.set(token, verdict);
  }
}

/** The newest acknowledged refresh token has exactly one successor; older ones have none and end the family. */
async function checkFamily(
  { grants }: Authority,
  family: Family,
  by: { client: Credentials['client']; isStolen: boolean },
): Promise<void> {
  const grant = await grants.find(family.grantId);
  const acknowledged = family.refreshTokens.length;
  assert.ok(grant && grant.generation >= acknowledged, 'an acknowledged rotation is there');
  assert.ok(grant.generation <= acknowledged + 1, 'at most the one under way besides');
  if (family.ended) assert.notEqual(grant.endedAtMs, undefined, 'an acknowledged end holds');
  if (!family.ending) assert.equal(grant.endedAtMs, undefined, 'nobody ended it');
  const present = (token: string | undefined) =>
    grants.refresh(by.client, { token: token ?? '', scope: undefined, resource: undefined, address: '192.0.2.1' });
  const newest = family.refreshTokens.at(-1);
  if (grant.endedAtMs !== undefined) {
    await assert.rejects(present(newest), { error: 'invalid_grant' });
    return;
  }
  const answer = await present(newest);
  assert.deepEqual(
    await present(newest),
    answer,
    'the successor stays the same, whether it was made before the kill or now',
  );
  const older = family.refreshTokens.at(-2);
  if (!by.isStolen || older === undefined) return;
  await assert.rejects(present(older), { error: 'invalid_grant' });
  assert.notEqual((await grants.find(family.grantId))?.endedAtMs, undefined, 'an older generation is theft');
}

async function verdictOn({ tokens }: Authority, token: string): Promise<string> {
  const digest = createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest();
  return (await tokens.check(String(claimsOf(token).jti), digest)).verdict;
}

function claimsOf(token: string): Record<string, unknown> {
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
  return JSON.parse(payload) as Record<string, unknown>; // a JSON object, as every payload of ours
}

/** Opens the data folder as the server would, without a network. */
async function within<T>(work: (authority: Authority) => Promise<T>): Promise<T> {
  const journal = { kind: 'folder' as const, folder: defaultJournalFolder(dataFolder) };
  const store = openSqliteStore({ dataFolder, clock: systemClock, journal });
  try {
    const silent = { info: () => {}, warn: () => {}, error: () => {} };
    const authority = await composeAuthority({
      world: {
        ...{ clock: systemClock, random: systemRandom, stopwatch: systemStopwatch, log: silent },
        timers: systemTimers({ onError: () => {} }),
        mailTransport: { send: async () => {} },
      },
      settings: {
        ...{ issuer, accessAlgorithm: 'ES256', mailsPerMinute: 600, organizationName: 'Countersign', signUp: true },
        ...{ hstsPreload: false, trustedProxies: [] },
      },
      store,
      masterKey,
    });
    return await work(authority);
  } finally {
    await store.close();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, 'localhost');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

/** mulberry32: small, seeded, good enough to choose moments. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
