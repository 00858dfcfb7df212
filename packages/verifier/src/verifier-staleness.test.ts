import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import type { VerifierOptions } from './options.ts';
import { eventually } from './testing/eventually.ts';
import { type FakeAuthority, handlesOf, payloadOf, startFakeAuthority } from './testing/fake-authority.ts';
import { RunningClock } from './testing/running-clock.ts';
import { createVerifier, type Verifier } from './verifier.ts';

const BOUND_MS = 30_000;

let authority: FakeAuthority;
let verifier: Verifier;
let clock: RunningClock;
const started: FakeAuthority[] = [];

beforeEach(async () => {
  authority = await startFakeAuthority();
  started.push(authority);
  clock = new RunningClock();
  verifier = await coherent();
});
afterEach(() => verifier.close());
after(() => Promise.all(started.map((each) => each.close())));

async function coherent(more: Partial<VerifierOptions> = {}): Promise<Verifier> {
  await verifier?.close();
  const made = createVerifier({
    ...authority.options(),
    ...{ mode: 'coherent', maxStalenessMs: BOUND_MS, clock },
    ...more,
  });
  await made.ready();
  assert.notEqual(made.status().stalenessMs, undefined, 'it has a lease');
  return made;
}

/** `accepted`, or the code of why not. */
async function outcomeOf(token: string): Promise<string> {
  const result = await verifier.verify(token);
  return result.kind === 'accepted' ? result.kind : result.code;
}

/** How many checks the authority answers while something is done. */
async function checksDuring(work: () => Promise<unknown>): Promise<number> {
  const before = authority.seen.checks.length;
  await work();
  return authority.seen.checks.length - before;
}

async function seen(overrides: Record<string, unknown> = {}): Promise<string> {
  const token = await authority.issue(overrides);
  assert.equal(await outcomeOf(token), 'accepted');
  assert.equal(await checksDuring(() => outcomeOf(token)), 0, 'it is remembered');
  return token;
}

/** The record says so; nobody is told. */
function revokeSilently(token: string): void {
  authority.record(token, 'revoked');
}

function goAway(): void {
  authority.intercept = () => ({ status: 503 });
  authority.streams.cut();
}

describe('EB-09 a stream that is silent', () => {
  test('EB-07 ends the lease at the bound, and each request is asked about from then on', async () => {
    const [token, dead] = [await seen(), await seen()];
    authority.streams.isSilent = true;
    revokeSilently(dead);
    clock.pass(BOUND_MS - 2_000);
    assert.equal(await checksDuring(() => outcomeOf(token)), 0);
    const { stalenessMs = 0, maxStalenessMs } = verifier.status();
    assert.ok(stalenessMs >= BOUND_MS - 2_000 && stalenessMs <= maxStalenessMs);
    clock.pass(2_001);
    assert.equal(await outcomeOf(dead), 'token_revoked');
    assert.equal(
      await checksDuring(async () => {
        for (let i = 0; i < 3; i++) assert.equal(await outcomeOf(token), 'accepted');
      }),
      3,
    );
    assert.ok((verifier.status().stalenessMs ?? Number.POSITIVE_INFINITY) > BOUND_MS);
  });

  test('EB-07 fails closed at the bound where the policy is to refuse, and asks nothing', async () => {
    verifier = await coherent({ whenStale: 'refuse' });
    const token = await seen();
    authority.streams.isSilent = true;
    clock.pass(BOUND_MS + 1);
    assert.equal(
      await checksDuring(async () => {
        assert.equal(await outcomeOf(token), 'verification_stale');
        assert.equal(await outcomeOf(await authority.issue()), 'verification_stale');
      }),
      0,
    );
    assert.equal(verifier.status().unavailable.verification_stale, 2);
    assert.equal((await verifier.verify(token, { mode: 'strict' })).kind, 'accepted', 'a route may ask');
  });

  test('is given up after three pulses, and another one is opened', async () => {
    authority.streams.isSilent = true;
    const opened = authority.streams.opened.length;
    await eventually('another stream', () => {
      clock.pass(500);
      authority.streams.invalidate('token', 'any'); // whatever is said makes the driver look at the time
      return authority.streams.opened.length > opened;
    });
    authority.streams.isSilent = false;
    await eventually('the lease is back', () => {
      clock.pass(100);
      authority.streams.invalidate('token', 'any');
      return (verifier.status().stalenessMs ?? Number.POSITIVE_INFINITY) < BOUND_MS;
    });
  });

  test('gives no lease by echoing what was not asked on it', async () => {
    const token = await seen();
    authority.streams.isSilent = true;
    const nonces = authority.streams.opened.map(({ nonce = '' }) => nonce);
    clock.pass(BOUND_MS + 1);
    for (const nonce of [...nonces, 'A'.repeat(22)]) authority.streams.echo(nonce);
    authority.streams.invalidate('token', handlesOf(String(payloadOf(token).jti)).token);
    await eventually('all of it was heard', () => verifier.status().entries === 0);
    assert.equal(await outcomeOf(token), 'accepted');
    assert.equal(await checksDuring(() => outcomeOf(token)), 1);
  });
});

describe('EB-07 the lease', () => {
  test('begins when it was asked for: an echo that was long on its way brings a lease that is as old', async () => {
    authority.streams.isSilent = true;
    await eventually('a pulse', () => {
      clock.pass(500);
      authority.streams.invalidate('token', 'any');
      return authority.streams.pulsed.length > 0;
    });
    const age = () => verifier.status().stalenessMs ?? Number.POSITIVE_INFINITY;
    clock.pass(8_000);
    const before = age();
    authority.streams.echo(authority.streams.pulsed[0] ?? '');
    await eventually('the echo is heard', () => age() < before);
    assert.ok(age() >= 8_000, `${age()} ms`);
  });

  test('is not what an answer is measured by that was itself under way for longer than the bound', async () => {
    const token = await authority.issue();
    let checks = 0;
    verifier = await coherent({
      fetch: async (url, init) => {
        const response = await globalThis.fetch(url, init);
        if (!url.endsWith('/check')) return response;
        checks++;
        if (checks > 1) return response;
        clock.pass(BOUND_MS + 1); // as a machine that was suspended, or a network that kept it
        revokeSilently(token);
        return response;
      },
    });
    assert.equal(await outcomeOf(token), 'authority_unreachable');
    assert.equal(checks, 1, 'whoever is as slow is not asked again at once');
    assert.equal(await outcomeOf(token), 'token_revoked');
    assert.equal(checks, 2);
  });

  test('EB-06 of a machine that slept brings no token back that ended meanwhile, though its exp is far away', async () => {
    const token = await authority.issue();
    const record = authority.records.get(String(payloadOf(token).jti));
    assert.ok(record);
    record.expMs = authority.nowMs + 10_000; // superseded, in its overlap
    assert.equal(await outcomeOf(token), 'accepted');
    clock.wallAheadMs += 600_000;
    authority.nowMs += 600_000;
    authority.record(token, 'superseded');
    await eventually('another lease', () => {
      clock.pass(100);
      authority.streams.invalidate('token', 'any'); // whatever is said makes the driver look at the time
      return (verifier.status().stalenessMs ?? Number.POSITIVE_INFINITY) < BOUND_MS;
    });
    assert.equal(await outcomeOf(token), 'token_superseded');
  });
});

describe('EB-09 an authority that is away', () => {
  test('EB-07 is not missed until the bound; past it verification fails closed, and recovers by itself', async () => {
    const [token, dead] = [await seen(), await seen()];
    goAway();
    await eventually('the stream is noticed as closed', () => verifier.status().stream !== 'open');
    authority.revoke(dead);
    clock.pass(BOUND_MS - 2_000);
    assert.equal(await outcomeOf(token), 'accepted');
    assert.equal(await outcomeOf(await authority.issue()), 'authority_unreachable', 'a new one cannot be asked about');
    clock.pass(2_001);
    assert.equal(await outcomeOf(token), 'authority_unreachable');
    assert.equal(await outcomeOf(dead), 'authority_unreachable');
    authority.intercept = () => undefined;
    await eventually('it is accepted again', async () => {
      clock.pass(50);
      return (await outcomeOf(token)) === 'accepted';
    });
    assert.equal(await outcomeOf(dead), 'token_revoked');
    await eventually('the lease is back', () => {
      clock.pass(50);
      return verifier.status().stream === 'open' && (verifier.status().stalenessMs ?? BOUND_MS) < BOUND_MS;
    });
  });

  test('EB-10 costs each request nothing after the third failure', async () => {
    const tokens = await Promise.all(Array.from({ length: 50 }, () => authority.issue()));
    let asked = 0;
    authority.intercept = (endpoint) => {
      if (endpoint === 'check') asked++;
      return endpoint === 'check' ? { status: 503 } : undefined;
    };
    for (const token of tokens) assert.equal(await outcomeOf(token), 'authority_unreachable');
    assert.ok(asked >= 3 && asked < 10, `${asked} calls`);
    assert.equal(verifier.status().unavailable.authority_unreachable, 50);
  });
});

describe('a clock that jumps', () => {
  for (const [name, wallMs, monotonicMs] of [
    ['the wall clock is set ahead', 5_000, 0],
    ['the wall clock is set back', -5_000, 0],
    ['the machine was suspended', 3_000, 0],
    ['the steady clock ran ahead', 0, 3_000],
  ] as const) {
    test(`ends the lease at once, far below the bound: ${name}`, async () => {
      const [token, dead] = [await seen(), await seen()];
      authority.streams.isSilent = true;
      revokeSilently(dead);
      clock.wallAheadMs += wallMs;
      clock.monotonicAheadMs += monotonicMs;
      assert.equal(await outcomeOf(dead), 'token_revoked');
      assert.equal(await checksDuring(() => outcomeOf(token)), 1);
    });
  }

  test('and jumps back does not bring the lease back', async () => {
    const token = await seen();
    authority.streams.isSilent = true;
    clock.wallAheadMs += 600_000;
    assert.equal(await checksDuring(() => outcomeOf(token)), 1);
    clock.wallAheadMs -= 600_000;
    assert.equal(await checksDuring(() => outcomeOf(token)), 1);
  });

  test('back over days makes no expired token good', async () => {
    const token = await seen({ exp: Math.floor(authority.nowMs / 1_000) + 20 });
    clock.monotonicAheadMs += 21_000;
    clock.wallAheadMs -= 86_400_000;
    authority.nowMs += 21_000;
    authority.record(token, 'expired');
    assert.equal(await outcomeOf(token), 'token_expired');
  });

  test('by less than a second, as clocks that are slewed do, changes nothing', async () => {
    const token = await seen();
    authority.streams.isSilent = true;
    clock.wallAheadMs += 900;
    assert.equal(await checksDuring(() => outcomeOf(token)), 0);
  });

  test('finds another lease as soon as the stream echoes again', async () => {
    const token = await seen();
    clock.wallAheadMs += 3_000;
    assert.equal(await outcomeOf(token), 'accepted');
    clock.pass(3_000); // the next pulse is due
    authority.streams.invalidate('token', 'any');
    await eventually('it asks nobody', async () => (await checksDuring(() => outcomeOf(token))) === 0);
  });
});

describe('a dead token', () => {
  test('EB-08 costs one check in five seconds, and a live one is never taken for dead', async () => {
    const [dead, alive] = [await authority.issue(), await seen()];
    revokeSilently(dead);
    assert.equal(await checksDuring(async () => void (await Promise.all([dead, dead, dead].map(outcomeOf)))), 1);
    assert.equal(
      await checksDuring(async () => {
        for (let i = 0; i < 20; i++) assert.equal(await outcomeOf(dead), 'token_revoked');
        assert.equal(await outcomeOf(alive), 'accepted');
      }),
      0,
    );
    clock.pass(5_000);
    assert.equal(await checksDuring(() => outcomeOf(dead)), 1);
  });

  test('EB-08 without a stream is asked about anew: what is not remembered cannot be wrong', async () => {
    authority.intercept = (endpoint) => (endpoint === 'stream' ? { status: 503 } : undefined);
    verifier = createVerifier({ ...authority.options(), mode: 'coherent', clock });
    const token = await authority.issue();
    revokeSilently(token);
    assert.equal(await checksDuring(async () => [await outcomeOf(token), await outcomeOf(token)]), 2);
  });

  test('EB-08 fills no memory with strangers’ strings', async () => {
    const token = await authority.issue();
    const bad = `${token.slice(0, token.lastIndexOf('.'))}.${'A'.repeat(86)}`;
    assert.equal(await outcomeOf(bad), 'token_bad_signature');
    assert.equal(await outcomeOf(bad), 'token_bad_signature', 'refused by its signature, not by a memory of it');
    assert.equal(await outcomeOf(token), 'accepted');
  });
});

describe('EB-09 another stream', () => {
  test('that goes on where the last one ended leaves entries standing, and brings what was missed', async () => {
    const [token, missed] = [await seen(), await seen()];
    authority.intercept = (endpoint) => (endpoint === 'stream' ? { status: 503 } : undefined);
    authority.streams.cut();
    await eventually('it is noticed', () => verifier.status().stream !== 'open');
    authority.revoke(missed);
    authority.intercept = () => undefined;
    const checks = await checksDuring(async () => {
      await eventually('what was missed arrives', () => {
        clock.pass(20);
        return verifier.status().entries === 1;
      });
      assert.equal(await outcomeOf(token), 'accepted');
    });
    assert.equal(checks, 0);
    assert.equal(await outcomeOf(missed), 'token_revoked');
    const { epoch, cursor } = authority.streams.opened.at(-1) ?? {};
    assert.deepEqual({ epoch, cursor }, { epoch: '1', cursor: '0' });
  });

  test('that cannot go on makes every entry be asked about again, once', async () => {
    const [token, missed] = [await seen(), await seen()];
    authority.streams.canResume = false;
    revokeSilently(missed);
    const keys = authority.seen.keys;
    authority.streams.cut();
    await eventually('another stream', () => authority.seen.keys > keys);
    assert.equal(await outcomeOf(missed), 'token_revoked');
    assert.equal(await checksDuring(() => outcomeOf(token)), 1);
    await eventually('it asks nobody', async () => (await checksDuring(() => outcomeOf(token))) === 0);
  });
});

describe('an epoch', () => {
  test('that rises, for the store was restored, makes every entry be asked about again', async () => {
    const [token, lost] = [await seen(), await seen()];
    authority.epoch = 2;
    authority.records.delete(String(payloadOf(lost).jti));
    const keys = authority.seen.keys;
    authority.streams.cut();
    await eventually('another stream', () => authority.seen.keys > keys);
    assert.equal(await outcomeOf(lost), 'token_unknown');
    assert.equal(await checksDuring(() => outcomeOf(token)), 1);
  });

  test('that rises is believed of a check, before the stream tells', async () => {
    const [token, lost] = [await seen(), await seen()];
    authority.epoch = 2;
    revokeSilently(lost);
    assert.equal(await outcomeOf(await authority.issue()), 'accepted');
    assert.equal(await outcomeOf(lost), 'token_revoked');
    assert.equal(await checksDuring(() => outcomeOf(token)), 1);
    await eventually('it asks nobody', async () => (await checksDuring(() => outcomeOf(token))) === 0);
  });

  for (const [name, goBack] of Object.entries({
    'an epoch': () => {
      authority.epoch = 4;
    },
    'a cursor': () => authority.streams.forget(),
  })) {
    test(`${name} that falls stops service until it is higher than ever: an older copy of the store speaks`, async () => {
      authority.epoch = 5;
      authority.streams.invalidate('token', 'any');
      verifier = await coherent();
      const token = await seen();
      goBack();
      authority.streams.cut();
      await eventually('service stops', async () => (await outcomeOf(token)) === 'authority_epoch_went_back');
      assert.equal(await outcomeOf(await authority.issue()), 'authority_epoch_went_back');
      const strict = await verifier.verify(token, { mode: 'strict' });
      assert.equal(strict.kind === 'unavailable' && strict.code, 'authority_epoch_went_back');
      authority.epoch = 6;
      await eventually('service is back', async () => {
        clock.pass(100);
        return (await outcomeOf(token)) === 'accepted';
      });
    });
  }

  test('a cursor that falls within a stream stops service, too', async () => {
    const token = await seen();
    for (let i = 0; i < 2; i++) authority.streams.invalidate('token', 'any');
    authority.streams.forget();
    authority.streams.invalidate('token', 'any');
    await eventually('service stops', async () => (await outcomeOf(token)) === 'authority_epoch_went_back');
  });
});
