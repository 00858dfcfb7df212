import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { MAX_CHECK_BATCH } from '@countersign/protocol';
import type { RefusalCode } from './errors.ts';
import { AUDIENCE, type FakeAuthority, payloadOf, startFakeAuthority } from './testing/fake-authority.ts';
import { createVerifier, type Verifier } from './verifier.ts';

let authority: FakeAuthority;
let verifier: Verifier;
const started: FakeAuthority[] = [];

beforeEach(async () => {
  authority = await startFakeAuthority();
  started.push(authority);
  verifier = createVerifier(authority.options());
});
after(() => Promise.all(started.map((each) => each.close())));

async function assertRefused(token: string | undefined, code: RefusalCode): Promise<void> {
  const result = await verifier.verify(token);
  assert.equal(result.kind, 'refused');
  assert.equal(result.kind === 'refused' && result.code, code);
}

describe('behind a stolen signing key', () => {
  test('EB-04 without an entropy bucket, or with something else in its place, a token is forged and reported', async () => {
    const tokens = [
      undefined,
      null,
      '',
      'AAAA',
      'A'.repeat(63),
      'A'.repeat(65),
      `${'A'.repeat(63)}=`,
      ['A'.repeat(64)],
      { eb: 1 },
      1,
    ].map((eb) => authority.forge(authority.claims({ eb })));
    for (const token of tokens) authority.record(token); // even a record does not help it
    for (const token of tokens) {
      const result = await verifier.verify(token);
      assert.equal(result.kind === 'refused' && result.code, 'token_forged');
      assert.equal(result.kind === 'refused' && result.verdict, 'forged');
    }
    await verifier.close();
    assert.equal(authority.seen.checks.length, 0);
    const { sent, suppressed } = verifier.status().evidence;
    assert.equal(sent + suppressed, tokens.length);
    assert.equal(authority.seen.reports.length, sent);
  });

  test('JT-02 claims the authority never writes are forged and reported', async () => {
    const { iat, jti } = authority.claims();
    const impossible: Record<string, unknown>[] = [
      { iss: 'https://other.example' },
      { iss: `${authority.issuer}/` },
      { exp: Number(iat) + 86_401 },
      { exp: iat },
      { exp: '9999999999' },
      { aud: [AUDIENCE] },
      { nbf: 0 },
      { jti: `${jti}'` },
      { jti: 'user_0000000000000000000000' },
      ...[null, 'x', 5, [], { jkt: 5 }, { jkt: null }].map((cnf) => ({ cnf })),
      ...['iss', 'sub', 'aud', 'client_id', 'jti', 'iat', 'exp', 'scope'].map((name) => ({ [name]: undefined })),
    ];
    for (const overrides of impossible) {
      const token = authority.forge(authority.claims(overrides));
      authority.record(token);
      await assertRefused(token, 'token_forged');
    }
    assert.equal(authority.seen.checks.length, 0);
  });

  test('EB-03 claims that spell an outcome of ours are claims and nothing more', async () => {
    const outcome = {
      kind: 'accepted',
      basis: 'record',
      claims: { sub: 'user_victim' },
      expiresAtMs: 9e15,
      handles: {},
    };
    const spelled = [
      outcome,
      { ...outcome, kind: 'known', known: { accepted: outcome, scopes: [] } },
      { ...outcome, kind: 'sound', status: 'good' },
      { kind: 'refused', code: 'token_expired', status: 200, challenge: 'x' },
      { kind: 'unavailable', code: 'verifier_closed', status: 200, message: 'x' },
      { kind: 'live', record: { kind: 'live' }, accepted: outcome, value: outcome },
    ];
    for (const mode of ['strict', 'coherent'] as const) {
      for (const claims of spelled) {
        const result = await verifier.verify(authority.forge(authority.claims(claims)), { mode });
        assert.equal(result.kind === 'refused' && result.code, 'token_unknown', JSON.stringify([mode, claims]));
      }
      const result = await verifier.verify(await authority.issue(outcome), { mode, scopes: ['accounts:read'] });
      assert.ok(result.kind === 'accepted');
      assert.equal(result.claims.sub, 'user_1');
      assert.equal(result.handles?.client, 'c1');
    }
    for (const claims of spelled) {
      const forged = authority.forge(authority.claims(claims));
      const result = await verifier.verify(forged, { mode: 'offline', scopes: ['pay'] });
      assert.equal(result.kind === 'refused' && result.code, 'scope_insufficient');
    }
    await verifier.close();
  });

  test('EB-03 own jti and eb with another subject is tampered and reported', async () => {
    const own = await authority.issue();
    const token = authority.forge({ ...payloadOf(own), sub: 'user_victim' });
    await assertRefused(token, 'token_tampered');
    await verifier.close();
    assert.deepEqual(authority.seen.reports, [token]);
  });

  test('a token minted from nothing has no record and is reported', async () => {
    const token = authority.forge(authority.claims());
    await assertRefused(token, 'token_unknown');
    await verifier.close();
    assert.deepEqual(authority.seen.reports, [token]);
  });

  test('one key rings thirty times a minute at most, and what is held back is counted', async () => {
    for (let i = 0; i < 40; i++) {
      await assertRefused(authority.forge(authority.claims()), 'token_unknown');
    }
    await verifier.close();
    const { sent, suppressed, failed } = verifier.status().evidence;
    assert.ok(sent <= 30);
    assert.equal(failed, 0);
    assert.equal(sent + suppressed, 40);
    assert.equal(authority.seen.reports.length, sent);
  });
});

describe('claims', () => {
  test('JT-03 a token for another resource server is refused quietly', async () => {
    await assertRefused(await authority.issue({ aud: 'https://other.example' }), 'token_wrong_audience');
    assert.equal(authority.seen.checks.length, 0);
  });

  test('JT-12 expiry and issue time count, with thirty seconds of leeway', async () => {
    const token = await authority.issue();
    const { exp, iat } = payloadOf(token);
    authority.nowMs = (Number(exp) + 30) * 1000 - 1;
    authority.records.clear(); // what the record says is not the subject here
    await assertRefused(token, 'token_unknown');
    authority.nowMs += 1;
    await assertRefused(token, 'token_expired');
    authority.nowMs = (Number(iat) - 31) * 1000;
    await assertRefused(token, 'token_not_yet_valid');
  });
});

describe('the record', () => {
  for (const verdict of ['revoked', 'superseded', 'expired', 'forged'] as const) {
    test(`BR-05 a ${verdict} token is refused without evidence`, async () => {
      const token = await authority.issue();
      assert.equal((await verifier.verify(token)).kind, 'accepted');
      authority.record(token, verdict);
      const result = await verifier.verify(token);
      assert.equal(result.kind === 'refused' && result.code, `token_${verdict}`);
      assert.equal(result.kind === 'refused' && result.verdict, verdict);
      assert.match(result.kind === 'refused' ? result.challenge : '', /error="invalid_token"/);
      await verifier.close();
      assert.deepEqual(authority.seen.reports, []);
    });
  }

  test('causes are not told apart outside', async () => {
    const revoked = await authority.issue();
    authority.record(revoked, 'revoked');
    const challenges = new Set<string>();
    for (const token of ['x', revoked, authority.forge(authority.claims()), authority.forge({})]) {
      const result = await verifier.verify(token);
      if (result.kind === 'refused') challenges.add(result.challenge);
    }
    assert.equal(challenges.size, 1);
  });

  test('of many tokens at once is asked in few calls, none above the limit', async () => {
    await verifier.ready();
    const tokens = await Promise.all(Array.from({ length: 300 }, () => authority.issue()));
    const results = await Promise.all(tokens.map((token) => verifier.verify(token)));
    assert.ok(results.every((result) => result.kind === 'accepted'));
    for (const [index, result] of results.entries()) {
      assert.equal(result.kind === 'accepted' && result.claims.jti, payloadOf(tokens[index] ?? '').jti);
    }
    assert.ok(authority.seen.checks.length < 150, `${authority.seen.checks.length} calls for 300 tokens`);
    assert.ok(authority.seen.checks.every((tokens) => tokens.length <= MAX_CHECK_BATCH));
  });
});

describe('binding and scope', () => {
  test('a sender-constrained token is no bearer token', async () => {
    await assertRefused(await authority.issue({ cnf: { jkt: 'x' } }), 'token_binding_unproven');
  });

  test('BR-05 every required scope must be there, whole and in its own case', async () => {
    const token = await authority.issue({ scope: 'accounts:read profile' });
    assert.equal((await verifier.verify(token, { scopes: ['profile', 'accounts:read'] })).kind, 'accepted');
    for (const scopes of [['accounts'], ['Profile'], ['accounts:read', 'pay']]) {
      const result = await verifier.verify(token, { scopes });
      assert.equal(result.kind === 'refused' && result.status, 403);
      assert.match(
        result.kind === 'refused' ? result.challenge : '',
        new RegExp(`error="insufficient_scope".*scope="${scopes.join(' ')}"$`),
      );
    }
    await assert.rejects(verifier.verify(token, { scopes: ['a"b'] }), TypeError);
  });
});
