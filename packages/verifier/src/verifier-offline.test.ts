import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import type { VerifierOptions } from './options.ts';
import { eventually } from './testing/eventually.ts';
import { type FakeAuthority, newSigningKey, startFakeAuthority } from './testing/fake-authority.ts';
import { RunningClock } from './testing/running-clock.ts';
import { createVerifier, type Verifier } from './verifier.ts';

let authority: FakeAuthority;
let verifier: Verifier;
let clock: RunningClock;
const started: FakeAuthority[] = [];

beforeEach(async () => {
  authority = await startFakeAuthority();
  started.push(authority);
  clock = new RunningClock();
  verifier = offline();
  await readied();
});
afterEach(() => verifier.close());
after(() => Promise.all(started.map((each) => each.close())));

function offline(more: Partial<VerifierOptions> = {}): Verifier {
  return createVerifier({ ...authority.options(), mode: 'offline', maxStalenessMs: 3_000, clock, ...more });
}

/** Ready, and its keys read again behind the hello of its first stream. */
async function readied(): Promise<void> {
  const { keys } = authority.seen;
  await verifier.ready();
  await eventually('the keys are read twice', () => authority.seen.keys === keys + 2);
}

/** `accepted`, or the code of why not. */
async function outcomeOf(token: string): Promise<string> {
  const result = await verifier.verify(token);
  return result.kind === 'accepted' ? result.kind : result.code;
}

/** Marks a key as compromised and tells the stream, as the authority does. */
function compromise(index = 0): void {
  authority.key(index).status = 'compromised';
  authority.streams.invalidate('key', `k${index + 1}`);
}

describe('on the signature alone', () => {
  test('a token is accepted without a question, and the result says on what it rests', async () => {
    const token = await authority.issue();
    for (let i = 0; i < 2; i++) {
      const result = await verifier.verify(token, { scopes: ['profile'] });
      assert.ok(result.kind === 'accepted');
      assert.equal(result.basis, 'signature');
      assert.equal(result.handles, undefined);
      assert.ok(!('eb' in result.claims));
      assert.equal(result.expiresAtMs, result.claims.exp * 1_000);
      assert.throws(() => Object.assign(result.claims, { sub: 'user_2' }), TypeError);
    }
    assert.deepEqual(authority.seen.checks, []);
    assert.equal(verifier.status().entries, 0);
  });

  test('a revoked token and the thief’s of a key not known as stolen are accepted: that is what the mode means', async () => {
    const token = await authority.issue();
    authority.revoke(token);
    assert.equal(await outcomeOf(token), 'accepted');
    assert.equal(await outcomeOf(authority.forge(authority.claims())), 'accepted');
    assert.deepEqual(authority.seen.checks, []);
  });

  test('everything else is refused as ever: signature, bucket form, claims, scope', async () => {
    const token = await authority.issue();
    assert.equal(await outcomeOf(`${token.slice(0, token.lastIndexOf('.'))}.${'A'.repeat(86)}`), 'token_bad_signature');
    assert.equal(await outcomeOf(authority.forge(authority.claims({ eb: undefined }))), 'token_forged');
    const longAgo = Math.floor(authority.nowMs / 1_000) - 10_000;
    assert.equal(
      await outcomeOf(authority.forge(authority.claims({ iat: longAgo, exp: longAgo + 900 }))),
      'token_expired',
    );
    assert.equal(await outcomeOf(await authority.issue({ aud: 'https://other.example' })), 'token_wrong_audience');
    const result = await verifier.verify(token, { scopes: ['pay'] });
    assert.equal(result.kind === 'refused' && result.code, 'scope_insufficient');
  });

  test('no outage of the authority is felt', async () => {
    const token = await authority.issue();
    authority.intercept = () => ({ status: 503 });
    authority.streams.cut();
    clock.pass(60_000);
    assert.equal(await outcomeOf(token), 'accepted');
  });
});

describe('a compromised key', () => {
  test('is refused as soon as the stream tells, and rings for nobody', async () => {
    const token = await authority.issue();
    assert.equal(await outcomeOf(token), 'accepted');
    compromise();
    await eventually('it is refused', async () => (await outcomeOf(token)) === 'token_key_compromised');
    const fresh = newSigningKey('ES256');
    authority.keys.push(fresh);
    assert.equal(await outcomeOf(await authority.issue({}, fresh)), 'accepted');
    await verifier.close();
    assert.deepEqual(authority.seen.reports, []);
  });

  test('right after another is refused just as soon', async () => {
    authority.keys.push(newSigningKey('ES256'));
    await verifier.close();
    verifier = offline();
    await readied();
    const [first, second] = [await authority.issue(), await authority.issue({}, authority.key(1))];
    assert.equal(await outcomeOf(second), 'accepted');
    compromise(0);
    await eventually('the first is refused', async () => (await outcomeOf(first)) === 'token_key_compromised');
    const keys = authority.seen.keys;
    compromise(1);
    await eventually('the keys are read again', () => authority.seen.keys > keys);
    await eventually('the second is refused', async () => (await outcomeOf(second)) === 'token_key_compromised');
  });

  test('of which the stream told while the keys could not be read is learnt of by the next use', async () => {
    const token = await authority.issue();
    let failed = 0;
    authority.intercept = (endpoint) => {
      if (endpoint !== 'keys') return undefined;
      failed++;
      return { status: 503 };
    };
    compromise();
    await eventually('reading failed', () => failed > 0);
    authority.intercept = () => undefined;
    await eventually('it is refused', async () => {
      clock.pass(10);
      return (await outcomeOf(token)) === 'token_key_compromised';
    });
    assert.ok(clock.wallAheadMs < 60_000, 'long before keys are old');
  });

  test('EB-09 of which the stream told stands for nothing while the keys cannot be read: it fails closed', async () => {
    const token = await authority.issue();
    assert.equal(await outcomeOf(token), 'accepted');
    let failed = 0;
    authority.intercept = (endpoint) => {
      if (endpoint !== 'keys') return undefined;
      failed++;
      return { status: 503 };
    };
    compromise();
    await eventually('reading failed', () => failed > 0);
    for (let i = 0; i < 3; i++) {
      assert.equal(await outcomeOf(token), 'authority_unreachable');
      clock.pass(1_000); // past the pause between two reads
    }
    authority.intercept = () => undefined;
    clock.pass(1_000);
    assert.equal(await outcomeOf(token), 'token_key_compromised');
  });

  test('of which nobody told, for the stream had a gap, is learnt of when it is open again', async () => {
    const token = await authority.issue();
    assert.equal(await outcomeOf(token), 'accepted');
    authority.streams.canResume = false;
    authority.key().status = 'compromised';
    authority.streams.cut();
    await eventually('it is refused', async () => (await outcomeOf(token)) === 'token_key_compromised');
    assert.equal(clock.wallAheadMs, 0);
  });

  test('is refused by age of the keys, where there is no stream', async () => {
    const token = await authority.issue();
    authority.intercept = (endpoint) => (endpoint === 'stream' ? { status: 503 } : undefined);
    authority.streams.cut();
    authority.key().status = 'compromised';
    clock.pass(5 * 60_000 - 1_000);
    const keys = authority.seen.keys;
    assert.equal(await outcomeOf(token), 'accepted');
    assert.equal(authority.seen.keys, keys);
    clock.pass(2_000);
    assert.equal(await outcomeOf(token), 'token_key_compromised', 'keys so old are read before, not beside');
  });

  for (const [name, pass] of [
    ['idle', (ms: number) => clock.pass(ms)],
    [
      'suspended',
      (ms: number) => {
        clock.wallAheadMs += ms;
      },
    ],
  ] as const) {
    test(`is refused by the first request of a program that was ${name} for an hour`, async () => {
      const token = await authority.issue({ exp: Math.floor(authority.nowMs / 1_000) + 86_000 });
      authority.intercept = (endpoint) => (endpoint === 'stream' ? { status: 503 } : undefined);
      authority.streams.cut();
      authority.key().status = 'compromised';
      pass(3_600_000);
      assert.equal(await outcomeOf(token), 'token_key_compromised');
    });
  }
});

describe('keys that cannot be read any more', () => {
  test('will do for an hour since they were read, then nothing is accepted on them', async () => {
    const token = await authority.issue({ exp: Math.floor(authority.nowMs / 1_000) + 86_000 });
    let reads = 0;
    authority.intercept = (endpoint) => {
      if (endpoint === 'keys') reads++;
      return { status: 503 };
    };
    authority.streams.cut();
    clock.pass(6 * 60_000);
    assert.equal(await outcomeOf(token), 'accepted');
    assert.equal(reads, 1, 'it was tried before');
    clock.pass(53 * 60_000);
    assert.equal(await outcomeOf(token), 'accepted');
    clock.pass(2 * 60_000);
    assert.equal(await outcomeOf(token), 'authority_unreachable');
    authority.intercept = () => undefined;
    clock.pass(1_000);
    assert.equal(await outcomeOf(token), 'accepted');
  });

  test('keep no request waiting while they will do, but the first', async () => {
    const token = await authority.issue({ exp: Math.floor(authority.nowMs / 1_000) + 86_000 });
    await verifier.close();
    let hanging = 0;
    let isHanging = false;
    verifier = offline({
      fetch: (url, init) => {
        if (!isHanging || !url.endsWith('/keys')) return globalThis.fetch(url, init);
        hanging++;
        if (hanging === 1) return Promise.reject(new Error('reset'));
        return new Promise(() => {}); // an address that swallows what is sent to it
      },
    });
    await readied();
    assert.equal(await outcomeOf(token), 'accepted');
    isHanging = true;
    clock.pass(6 * 60_000);
    assert.equal(await outcomeOf(token), 'accepted');
    clock.pass(2_000);
    for (let i = 0; i < 3; i++) assert.equal(await outcomeOf(token), 'accepted');
    assert.equal(hanging, 2);
  });
});
