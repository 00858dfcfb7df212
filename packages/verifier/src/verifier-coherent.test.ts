import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import type { Handles } from '@countersign/protocol';
import type { RefusalCode } from './errors.ts';
import type { VerifierOptions } from './options.ts';
import { ProofClient } from './proof/testing/proofs.ts';
import { eventually } from './testing/eventually.ts';
import { type FakeAuthority, handlesOf, payloadOf, startFakeAuthority } from './testing/fake-authority.ts';
import { createVerifier, type Presentation, type Requirement, type Verifier } from './verifier.ts';

let authority: FakeAuthority;
let verifier: Verifier;
/** Requests of every kind that the authority saw. */
let calls = 0;
const started: FakeAuthority[] = [];

beforeEach(async () => {
  authority = await startFakeAuthority();
  started.push(authority);
  authority.intercept = () => {
    calls++;
    return undefined;
  };
  verifier = await coherent();
});
afterEach(() => verifier.close());
after(() => Promise.all(started.map((each) => each.close())));

async function coherent(more: Partial<VerifierOptions> = {}): Promise<Verifier> {
  const made = createVerifier({ ...authority.options(), mode: 'coherent', ...more });
  const keys = authority.seen.keys;
  await made.ready();
  await eventually('the keys are read again, behind the hello', () => authority.seen.keys === keys + 2);
  calls = 0;
  return made;
}

async function accept(token: string, asked: Requirement & Presentation = {}) {
  const result = await verifier.verify(token, asked);
  assert.equal(result.kind, 'accepted', result.kind === 'accepted' ? '' : result.code);
  assert.ok(result.kind === 'accepted');
  return result;
}

async function refuse(token: string, code: RefusalCode, asked: Requirement & Presentation = {}) {
  const result = await verifier.verify(token, asked);
  assert.equal(result.kind === 'accepted' ? 'accepted' : result.code, code);
  return result;
}

function jtiOf(token: string): string {
  return String(payloadOf(token).jti);
}

describe('a token that was seen before', () => {
  test('asks nobody', async () => {
    const token = await authority.issue();
    await accept(token);
    assert.equal(authority.seen.checks.length, 1);
    calls = 0;
    for (let i = 0; i < 1_000; i++) await accept(token);
    assert.equal(calls, 0);
    const { hits, misses, hitRate, entries } = verifier.status();
    assert.deepEqual(
      { hits, misses, hitRate, entries },
      { hits: 1_000, misses: 1, hitRate: 1_000 / 1_001, entries: 1 },
    );
  });

  test('is known by all of it: with another signature, payload or header it is another token', async () => {
    const token = await authority.issue();
    await accept(token);
    const [header = '', payload = '', signature = ''] = token.split('.');
    const other = await authority.issue();
    await refuse(`${header}.${payload}.${other.split('.')[2]}`, 'token_bad_signature');
    await refuse(`${header}.${other.split('.')[1]}.${signature}`, 'token_bad_signature');
    await refuse(`${token} `, 'token_malformed');
    assert.equal(authority.seen.checks.length, 1);
  });

  test('gives every request the same frozen result, without the entropy bucket', async () => {
    const token = await authority.issue({ acr: '1', amr: ['email'], cnf: undefined });
    for (let i = 0; i < 2; i++) {
      const { claims, handles, basis } = await accept(token);
      assert.equal(basis, 'record');
      assert.ok(!('eb' in claims));
      assert.ok(!JSON.stringify({ claims, handles }).includes(String(payloadOf(token).eb)));
      // As a handler in plain JavaScript would.
      const loose = claims as unknown as Record<string, unknown>;
      assert.throws(() => Object.assign(loose, { sub: 'user_2' }), TypeError);
      assert.throws(() => delete loose.exp, TypeError);
      assert.throws(() => (claims.amr as string[]).push('hwk'), TypeError);
      assert.throws(() => Object.assign(handles ?? {}, { user: 'u2' }), TypeError);
    }
    const first = await accept(token);
    assert.throws(() => Object.assign(first, { claims: {} }), TypeError);
    const { claims } = await accept(token);
    const { eb: _, ...expected } = payloadOf(token);
    assert.deepEqual(claims, expected);
  });

  test('EB-08 is not accepted beyond its exp, nor beyond what the authority gave it', async () => {
    const byOwnWord = await authority.issue({ exp: Math.floor(authority.nowMs / 1_000) + 10 });
    const byAuthority = await authority.issue();
    const record = authority.records.get(jtiOf(byAuthority));
    assert.ok(record);
    record.expMs = authority.nowMs + 10_000;
    await accept(byOwnWord);
    await accept(byAuthority);
    authority.nowMs += 10_001;
    const checks = authority.seen.checks.length;
    await verifier.verify(byOwnWord);
    await verifier.verify(byAuthority);
    assert.equal(authority.seen.checks.flat().length - checks, 2, 'neither was a hit');
  });

  test('says when it ends, counted from when that was asked: not later by the time the answer took', async () => {
    await verifier.close();
    verifier = await coherent({
      fetch: async (url, init) => {
        const response = await globalThis.fetch(url, init);
        if (url.endsWith('/check')) authority.nowMs += 1_500;
        return response;
      },
    });
    const sentAtMs = authority.nowMs;
    const token = await authority.issue();
    const expMs = Number(payloadOf(token).exp) * 1_000;
    assert.equal((await accept(token)).expiresAtMs, expMs);
    assert.equal(authority.nowMs, sentAtMs + 1_500);
  });

  test('EB-10 costs the authority nothing once it has expired', async () => {
    const token = await authority.issue({ exp: Math.floor(authority.nowMs / 1_000) + 10 });
    await accept(token);
    authority.nowMs += 41_000; // with the leeway between two clocks
    calls = 0;
    authority.seen.checks.length = 0;
    for (let i = 0; i < 10; i++) await refuse(token, 'token_expired');
    assert.deepEqual(authority.seen.checks, []);
  });

  test('EB-08 takes bounded room: the memory holds no more than it was given', async () => {
    await verifier.close();
    verifier = await coherent({ maxEntries: 10 });
    const tokens = await Promise.all(Array.from({ length: 30 }, () => authority.issue()));
    for (const token of tokens) await accept(token);
    assert.equal(verifier.status().entries, 10);
    await accept(await authority.issue({ scope: 'x'.repeat(4_000) })); // six kibibytes: the room of six
    assert.ok(verifier.status().entries <= 5);
  });

  test('EB-08 has one entry, however its signature is spelled', async () => {
    const token = await authority.issue();
    const input = token.slice(0, token.lastIndexOf('.'));
    const again = authority.forge(payloadOf(token)); // ECDSA: the same input, another signature
    assert.equal(again.slice(0, again.lastIndexOf('.')), input);
    await accept(token);
    await accept(again);
    assert.equal(verifier.status().entries, 1);
    authority.revoke(token);
    await eventually('both are gone', () => verifier.status().entries === 0);
    await refuse(token, 'token_revoked');
    await refuse(again, 'token_revoked');
  });
});

describe('a revocation', () => {
  test('is believed when it arrives, and touches no other token', async () => {
    const [dead, alive] = [await authority.issue(), await authority.issue()];
    await accept(dead);
    await accept(alive);
    authority.revoke(dead);
    await eventually('the entry is gone', () => verifier.status().entries === 1);
    await refuse(dead, 'token_revoked');
    const checks = authority.seen.checks.length;
    await accept(alive);
    assert.equal(authority.seen.checks.length, checks);
  });

  for (const subject of ['token', 'grant', 'client', 'user', 'key'] satisfies (keyof Handles)[]) {
    test(`of a ${subject} takes every token of it`, async () => {
      const tokens = await Promise.all([authority.issue(), authority.issue()]);
      for (const token of tokens) await accept(token);
      const [first = ''] = tokens;
      authority.streams.invalidate(subject, handlesOf(jtiOf(first))[subject] ?? '');
      const left = subject === 'token' || subject === 'grant' ? 1 : 0;
      await eventually('what it names is gone', () => verifier.status().entries === left);
    });
  }

  test('EB-08 that arrives while a check is under way outlives its answer, which was read before', async () => {
    const held = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<void>();
    let isHolding = false;
    await verifier.close();
    verifier = await coherent({
      fetch: async (url, init) => {
        const response = await globalThis.fetch(url, init);
        if (!isHolding || !url.endsWith('/check')) return response;
        isHolding = false;
        answered.resolve();
        await held.promise;
        return response;
      },
    });
    const [witness, token] = [await authority.issue(), await authority.issue()];
    await accept(witness);
    isHolding = true;
    const first = verifier.verify(token);
    await answered.promise; // "live", and on its way
    authority.revoke(token);
    authority.revoke(witness);
    await eventually('the stream said so', () => verifier.status().entries === 0);
    const second = verifier.verify(token); // joins the check under way
    held.resolve();
    for (const result of await Promise.all([first, second])) {
      assert.equal(result.kind === 'refused' && result.code, 'token_revoked');
    }
    await refuse(token, 'token_revoked');
    assert.equal(verifier.status().entries, 0);
  });

  test('EB-08 storm that overtakes every check ends in "ask again", never in an acceptance', async () => {
    await verifier.close();
    const token = await authority.issue();
    verifier = await coherent({
      fetch: async (url, init) => {
        const response = await globalThis.fetch(url, init);
        if (url.endsWith('/check') && String(init.body).includes(jtiOf(token))) {
          const witness = await authority.issue();
          await verifier.verify(witness);
          assert.equal(verifier.status().entries, 1);
          authority.streams.invalidate('grant', handlesOf(jtiOf(token)).grant ?? '');
          authority.streams.invalidate('grant', handlesOf(jtiOf(witness)).grant ?? '');
          await eventually('the stream said so', () => verifier.status().entries === 0);
        }
        return response;
      },
    });
    const result = await verifier.verify(token);
    assert.equal(result.kind === 'unavailable' && result.code, 'check_contended');
    assert.equal(authority.seen.checks.flat().filter(({ jti }) => jti === jtiOf(token)).length, 3);
  });

  test('that another way of asking finds is believed by all', async () => {
    const token = await authority.issue();
    await accept(token);
    authority.record(token, 'revoked'); // and no push
    await accept(token);
    await refuse(token, 'token_revoked', { mode: 'strict' });
    await refuse(token, 'token_revoked');
    assert.equal(verifier.status().entries, 0);
  });
});

describe('first sights', () => {
  test('EB-10 in parallel cost one check', async () => {
    const token = await authority.issue();
    const results = await Promise.all(Array.from({ length: 100 }, () => verifier.verify(token)));
    assert.ok(results.every(({ kind }) => kind === 'accepted'));
    assert.deepEqual(
      authority.seen.checks.map((tokens) => tokens.length),
      [1],
    );
    assert.equal(calls, 1);
  });

  test('of a strict route are each asked about, in parallel too', async () => {
    const token = await authority.issue();
    const results = await Promise.all(Array.from({ length: 10 }, () => verifier.verify(token, { mode: 'strict' })));
    assert.ok(results.every(({ kind }) => kind === 'accepted'));
    await accept(token, { mode: 'strict' });
    assert.equal(authority.seen.checks.flat().length, 11);
  });

  test('before the stream is open are asked about, and cost no stream', async () => {
    await verifier.close();
    const opened = authority.streams.opened.length;
    const checked = Promise.withResolvers<void>();
    verifier = createVerifier({
      ...authority.options(),
      mode: 'coherent',
      fetch: async (url, init) => {
        if (url.includes('/stream?')) await checked.promise;
        return globalThis.fetch(url, init);
      },
    });
    const tokens = await Promise.all(Array.from({ length: 20 }, () => authority.issue()));
    for (const token of tokens) await accept(token);
    checked.resolve();
    await eventually('it is leased', () => verifier.status().stalenessMs !== undefined);
    assert.equal(authority.streams.opened.length - opened, 1);
    assert.equal(verifier.status().stream, 'open');
  });

  test('EB-10 of ten thousand strings that are no good token cost the authority nothing', async () => {
    const key = authority.key();
    const good = await authority.issue();
    const input = good.slice(0, good.lastIndexOf('.'));
    const garbage = Array.from(
      { length: 9_000 },
      (_, i) => [`garbage${i}`, `${input}.${i}`, `a.b.${i}`, 'x'.repeat(i), `${good}${i}`, `${i}.${good}`][i % 6],
    );
    for (let i = 0; i < 1_000; i++) {
      const badSignature = Buffer.alloc(64, 1 + (i % 250)).toString('base64url');
      garbage.push(`${input}.${badSignature}`);
    }
    const longAgo = Math.floor(authority.nowMs / 1_000) - 10_000;
    garbage.push(authority.forge(authority.claims({ iat: longAgo, exp: longAgo + 900 }), {}, key));
    garbage.push(authority.forge(authority.claims({ aud: 'https://other.example' }), {}, key));
    for (const each of garbage) assert.equal((await verifier.verify(each)).kind, 'refused');
    assert.equal(calls, 0);
    assert.equal(verifier.status().entries, 0);
  });

  test('EB-10 of a thousand unknown kids cost one read of the keys', async () => {
    const claims = authority.claims();
    const keys = authority.seen.keys;
    const results = await Promise.all(
      Array.from({ length: 1_000 }, (_, i) => verifier.verify(authority.forge(claims, { kid: `key_${i}` }))),
    );
    assert.ok(results.every((result) => result.kind === 'refused' && result.code === 'token_unknown_key'));
    assert.equal(authority.seen.keys - keys, 1);
    assert.deepEqual(authority.seen.checks, []);
  });
});

describe('what is looked at in each request', () => {
  test('EB-11 scopes', async () => {
    const token = await authority.issue({ scope: 'accounts:read profile' });
    await accept(token, { scopes: ['accounts:read'] });
    const refused = await refuse(token, 'scope_insufficient', { scopes: ['accounts:write'] });
    assert.equal(refused.kind === 'refused' && refused.status, 403);
    await accept(token, { scopes: ['profile'] });
    await refuse(token, 'scope_insufficient', { scopes: ['profile', 'accounts'] });
    assert.equal(authority.seen.checks.length, 1);
  });

  test('EB-11 how and when the user logged in', async () => {
    const auth_time = Math.floor(authority.nowMs / 1_000) - 50;
    const token = await authority.issue({ acr: 'email', auth_time });
    await accept(token, { acrValues: ['email'], maxAgeSeconds: 60 });
    await refuse(token, 'authentication_insufficient', { acrValues: ['passkey'] });
    authority.nowMs += 12_000; // still within the lease
    await refuse(token, 'authentication_insufficient', { maxAgeSeconds: 60 });
    await accept(token, { maxAgeSeconds: 120 });
    await refuse(await authority.issue(), 'authentication_insufficient', { maxAgeSeconds: 60 });
    assert.equal(authority.seen.checks.length, 2);
  });

  test('EB-11 the proof of a bound token, also when the token is remembered', async () => {
    const [owner, thief] = [new ProofClient(), new ProofClient()];
    const token = await authority.issue({ cnf: { jkt: owner.jkt } });
    const url = 'https://api.example/accounts';
    const clock = { now: () => authority.nowMs, monotonicMs: () => authority.nowMs };
    const ath = hash('sha256', token, 'base64url');
    const by = (client: ProofClient): Presentation => ({
      scheme: 'DPoP',
      proof: { jwt: client.prove(clock, { claims: { ath, htu: url } }), method: 'GET', url },
    });
    const proven = by(owner);
    await accept(token, proven);
    await accept(token, by(owner));
    await refuse(token, 'proof_replayed', proven);
    await refuse(token, 'proof_wrong_key', by(thief));
    const untaken = await refuse(token, 'proof_not_taken', { scheme: 'DPoP' }); // no `origin` is set up
    assert.equal(untaken.kind === 'refused' && untaken.challenge, `Bearer realm="${verifier.audience}"`);
    await refuse(token, 'token_binding_unproven');
    await refuse(token, 'token_binding_unproven', { mode: 'strict' });
    await refuse(await authority.issue(), 'token_not_bound', by(owner));
    assert.equal(verifier.status().entries, 2);
  });
});

describe('evidence', () => {
  test('of a tampered and of an unknown token is handed over whole, once while it is remembered', async () => {
    const token = await authority.issue();
    const tampered = authority.forge({ ...payloadOf(token), scope: 'everything' });
    const unknown = authority.forge(authority.claims());
    for (let i = 0; i < 3; i++) {
      await refuse(tampered, 'token_tampered');
      await refuse(unknown, 'token_unknown');
    }
    await accept(token); // what somebody else wrote under its name does it no harm
    await verifier.close();
    assert.deepEqual(authority.seen.reports.toSorted(), [tampered, unknown].toSorted());
    assert.equal(authority.seen.checks.flat().length, 3);
  });

  test('is handed over once a check, however many requests wait for it', async () => {
    const forged = authority.forge(authority.claims());
    await Promise.all(Array.from({ length: 100 }, () => verifier.verify(forged)));
    await verifier.close();
    assert.deepEqual(authority.seen.reports, [forged]);
    assert.deepEqual(verifier.status().evidence, { sent: 1, failed: 0, suppressed: 0 });
  });

  test('is not what everyday refusals are', async () => {
    const token = await authority.issue();
    await accept(token);
    authority.revoke(token);
    await eventually('the entry is gone', () => verifier.status().entries === 0);
    await refuse(token, 'token_revoked');
    const superseded = await authority.issue();
    authority.record(superseded, 'superseded');
    await refuse(superseded, 'token_superseded');
    await verifier.close();
    assert.deepEqual(authority.seen.reports, []);
  });
});
