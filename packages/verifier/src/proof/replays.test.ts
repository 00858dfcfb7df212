import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { ProofChecker, type ReplayStore } from './proof.ts';
import { REPLAY_TTL_MS } from './replays.ts';
import { ProofClient, SteeredClock, TOKEN, URL_OF_REQUEST } from './testing/proofs.ts';

const PROVEN = { kind: 'proven' };
const REPLAYED = { kind: 'refused', code: 'proof_replayed' };
const UNTIMELY = { kind: 'refused', code: 'proof_untimely' };
const FULL = { kind: 'full', code: 'proof_replay_cache_full' };
const STORE_FAILED = { kind: 'full', code: 'proof_replay_store_failed' };

let clock: SteeredClock;
let client: ProofClient;
let checker: ProofChecker;

beforeEach(() => {
  clock = new SteeredClock();
  client = new ProofClient();
  checker = new ProofChecker({ clock });
});

async function check(jwt: string, { of = client, by = checker }: { of?: ProofClient; by?: ProofChecker } = {}) {
  return by.check({ proof: { jwt, method: 'GET', url: URL_OF_REQUEST }, token: TOKEN, jkt: of.jkt });
}

describe('SC-02 a proof is used once', () => {
  test('and refused from then on, until it is too old anyway', async () => {
    const proof = client.prove(clock);
    assert.deepEqual(await check(proof), PROVEN);
    for (let second = 0; second <= 60; second++) {
      assert.deepEqual(await check(proof), REPLAYED);
      clock.pass(1);
    }
    assert.deepEqual(await check(proof), UNTIMELY);
  });

  test('of a hundred at once one passes', async () => {
    const proof = client.prove(clock);
    const answers = await Promise.all(Array.from({ length: 100 }, () => check(proof)));
    assert.deepEqual(
      answers.map(({ kind }) => kind).filter((kind) => kind === 'proven'),
      ['proven'],
    );
  });

  test('whatever its signature and header look like the second time', async () => {
    const [header, payload] = client.prove(clock).split('.');
    const respelled = JSON.stringify(client.header(), null, 1);
    for (const [index, jwt] of [
      ...[0, 1].map(() => `${header}.${payload}.${client.signature(`${header}.${payload}`).toString('base64url')}`),
      client.sign(respelled, Buffer.from(payload ?? '', 'base64url').toString()),
    ].entries()) {
      assert.deepEqual(await check(jwt), index === 0 ? PROVEN : REPLAYED);
    }
  });

  test('and another key may use the same jti', async () => {
    const other = new ProofClient();
    const claims = { jti: 'one' };
    assert.deepEqual(await check(client.prove(clock, { claims })), PROVEN);
    assert.deepEqual(await check(other.prove(clock, { claims }), { of: other }), PROVEN);
    assert.deepEqual(await check(client.prove(clock, { claims })), REPLAYED);
  });

  test('and what fails uses up nothing', async () => {
    const claims = { jti: 'one', iat: clock.now() / 1000 };
    const thief = new ProofClient();
    for (const jwt of [
      thief.prove(clock, { claims, header: { jwk: client.jwk } }),
      client.prove(clock, { claims: { ...claims, ath: 'x' } }),
      client.prove(clock, { claims: { ...claims, htm: 'PUT' } }),
    ]) {
      assert.equal((await check(jwt)).kind, 'refused');
    }
    assert.deepEqual(await check(client.prove(clock, { claims })), PROVEN);
  });

  test('at the far ends of its window, across two generations of the memory', async () => {
    for (let started = 0; started < 200; started += 7) {
      clock.pass(7);
      const ahead = client.prove(clock, { claims: { iat: clock.now() / 1000 + 10 } });
      assert.deepEqual(await check(ahead), PROVEN);
      clock.pass(70);
      assert.deepEqual(await check(ahead), REPLAYED, `${started}`);
      clock.pass(0.001);
      assert.deepEqual(await check(ahead), UNTIMELY);
    }
  });
});

describe('SC-02 setting the clock makes no replay possible', () => {
  for (const [jump, seconds] of [
    ['back a little', -30],
    ['back an hour', -3_600],
    ['forward an hour', 3_600],
  ] as const) {
    for (const quiet of [0, 65, 75, 89, 91, 200, 10_000]) {
      test(`${jump}, ${quiet} s after its use, and then to any time`, async () => {
        const proof = client.prove(clock);
        const usedAtMs = clock.wallMs;
        assert.deepEqual(await check(proof), PROVEN);
        clock.pass(quiet);
        clock.wallMs += seconds * 1000;
        await check(client.prove(clock)); // lets the memory see the new time
        for (const offset of [-10, 0, 30, 60]) {
          clock.wallMs = usedAtMs + offset * 1000;
          assert.notDeepEqual(await check(proof), PROVEN, `${offset}`);
          clock.steadyMs += 100_000;
        }
      });
    }
  }

  test('and new proofs are good again when the clock has caught up with the newest one forgotten', async () => {
    assert.deepEqual(await check(client.prove(clock)), PROVEN);
    clock.pass(200);
    clock.wallMs -= 300_000;
    assert.deepEqual(await check(client.prove(clock)), UNTIMELY);
    clock.pass(101);
    assert.deepEqual(await check(client.prove(clock)), PROVEN);
  });

  test('and while it only runs on, or steps by seconds, no timely proof is refused', async () => {
    for (let i = 0; i < 500; i++) {
      clock.pass(1);
      if (i % 100 === 50) clock.wallMs -= 8_000;
      for (const lead of [-60, 0, 10]) {
        const proof = client.prove(clock, { claims: { iat: clock.now() / 1000 + lead } });
        assert.deepEqual(await check(proof), PROVEN, `${i} ${lead}`);
      }
    }
  });
});

describe('the memory of used proofs is bounded', () => {
  test('full, it takes nothing in and forgets nothing, and has room again two generations later', async () => {
    checker = new ProofChecker({ clock, maxProofs: 3, maxProofsPerKey: 3 });
    const first = client.prove(clock);
    assert.deepEqual(await check(first), PROVEN);
    for (let i = 0; i < 2; i++) assert.deepEqual(await check(client.prove(clock)), PROVEN);
    const other = new ProofClient();
    assert.deepEqual(await check(other.prove(clock), { of: other }), FULL);
    assert.deepEqual(await check(first), REPLAYED);
    clock.pass(REPLAY_TTL_MS / 1000);
    assert.deepEqual(await check(other.prove(clock), { of: other }), FULL);
    clock.pass(REPLAY_TTL_MS / 1000);
    assert.deepEqual(await check(other.prove(clock), { of: other }), PROVEN);
  });

  test('after a long silence it has all its room at once', async () => {
    checker = new ProofChecker({ clock, maxProofs: 1 });
    assert.deepEqual(await check(client.prove(clock)), PROVEN);
    clock.pass((2 * REPLAY_TTL_MS) / 1000);
    assert.deepEqual(await check(client.prove(clock)), PROVEN);
  });

  test('one key takes no more than its share', async () => {
    checker = new ProofChecker({ clock, maxProofs: 100, maxProofsPerKey: 2 });
    for (let i = 0; i < 2; i++) {
      assert.deepEqual(await check(client.prove(clock)), PROVEN);
      clock.pass(REPLAY_TTL_MS / 1000 - 1); // both generations count
    }
    assert.deepEqual(await check(client.prove(clock)), FULL);
    const other = new ProofClient();
    assert.deepEqual(await check(other.prove(clock), { of: other }), PROVEN);
    clock.pass(REPLAY_TTL_MS / 1000);
    assert.deepEqual(await check(client.prove(clock)), PROVEN);
  });
});

describe('a shared memory', () => {
  class SharedStore implements ReplayStore {
    readonly kept = new Map<string, number>();
    async addIfAbsent(key: string, ttlMs: number): Promise<boolean> {
      if (this.kept.has(key)) return false;
      this.kept.set(key, ttlMs);
      return true;
    }
  }

  test('lets a proof pass in one of several processes only', async () => {
    const replayStore = new SharedStore();
    const [one, two] = [new ProofChecker({ clock, replayStore }), new ProofChecker({ clock, replayStore })];
    const proof = client.prove(clock);
    assert.deepEqual(await check(proof, { by: one }), PROVEN);
    assert.deepEqual(await check(proof, { by: two }), REPLAYED);
    assert.deepEqual([...replayStore.kept.values()], [REPLAY_TTL_MS]);
    const [key = ''] = replayStore.kept.keys();
    assert.match(key, /^[\w-]{43}$/);
  });

  test('may answer at once', async () => {
    const kept = new Set<string>();
    const replayStore = { addIfAbsent: (key: string) => kept.size !== kept.add(key).size };
    checker = new ProofChecker({ clock, replayStore });
    const proof = client.prove(clock);
    assert.deepEqual(await check(proof), PROVEN);
    assert.deepEqual(await check(proof), REPLAYED);
  });

  test('that fails, throws, hangs or answers otherwise lets nothing pass', async () => {
    const never = new Promise<boolean>(() => undefined);
    const sloppy: unknown[] = ['OK', 1, null, undefined];
    for (const addIfAbsent of [
      () => Promise.reject(new Error('connection lost')),
      () => {
        throw new Error('not connected');
      },
      () => never,
      ...sloppy.map((answer) => () => answer as boolean), // programs in plain JavaScript
    ]) {
      checker = new ProofChecker({ clock, replayStore: { addIfAbsent } });
      assert.deepEqual(await check(client.prove(clock)), STORE_FAILED);
    }
  });

  test('is not asked about a proof that fails', async () => {
    const replayStore = new SharedStore();
    checker = new ProofChecker({ clock, replayStore });
    await check(client.prove(clock, { claims: { htm: 'PUT' } }));
    assert.equal(replayStore.kept.size, 0);
  });
});
