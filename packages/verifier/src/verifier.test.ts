import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, beforeEach, describe, test } from 'node:test';
import { MAX_CHECK_BATCH } from '@countersign/protocol';
import type { RefusalCode } from './errors.ts';
import {
  AUDIENCE,
  CREDENTIALS,
  encodeJson,
  type FakeAuthority,
  newSigningKey,
  payloadOf,
  signCompact,
  startFakeAuthority,
} from './testing/fake-authority.ts';
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

describe('a good token', () => {
  test('is accepted with its claims, handles and remaining life, and without its entropy bucket', async () => {
    const token = await authority.issue();
    const result = await verifier.verify(token, { scopes: ['accounts:read'] });
    const { eb: _, ...claims } = payloadOf(token);
    assert.equal(result.kind, 'accepted');
    assert.deepEqual(result.kind === 'accepted' && result.claims, claims);
    assert.deepEqual(result.kind === 'accepted' && result.handles, {
      token: 't1',
      client: 'c1',
      key: 'k1',
      grant: 'g1',
      user: 'u1',
    });
    assert.ok(result.kind === 'accepted' && result.expiresInMs > 890_000 && result.expiresInMs <= 900_000);
    assert.deepEqual(authority.seen.reports, []);
  });

  for (const alg of ['ES256', 'Ed25519', 'RS256'] as const) {
    test(`JT-06 is accepted when signed by ${alg}`, async () => {
      const key = newSigningKey(alg);
      authority.keys.push(key);
      assert.equal((await verifier.verify(await authority.issue({}, key))).kind, 'accepted');
    });
  }

  for (const typ of ['at+jwt', 'application/at+jwt', 'at+JWT']) {
    test(`JT-01 is accepted with typ ${typ}`, async () => {
      const token = authority.forge(authority.claims(), { typ });
      authority.record(token);
      assert.equal((await verifier.verify(token)).kind, 'accepted');
    });
  }

  test('stays good under a compromised key, for its record proves it', async () => {
    const key = newSigningKey('ES256', 'compromised');
    authority.keys.push(key);
    assert.equal((await verifier.verify(await authority.issue({}, key))).kind, 'accepted');
  });

  test('stays good when its ECDSA signature is re-spelled: that is no forgery and rings nothing', async () => {
    const [header, payload, signature = ''] = (await authority.issue()).split('.');
    const bytes = Buffer.from(signature, 'base64url');
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const s = (order - BigInt(`0x${bytes.subarray(32).toString('hex')}`)).toString(16).padStart(64, '0');
    const respelled = Buffer.concat([bytes.subarray(0, 32), Buffer.from(s, 'hex')]).toString('base64url');
    assert.equal((await verifier.verify(`${header}.${payload}.${respelled}`)).kind, 'accepted');
    assert.deepEqual(authority.seen.reports, []);
  });

  test('of an issuer with a path is accepted', async () => {
    const tenant = await startFakeAuthority('/t1');
    started.push(tenant);
    const result = await createVerifier(tenant.options()).verify(await tenant.issue());
    assert.equal(result.kind, 'accepted');
  });
});

describe('before the signature', () => {
  test('BR-04 no token is refused without an error in the challenge', async () => {
    for (const token of [undefined, '']) {
      const result = await verifier.verify(token);
      assert.deepEqual(result, {
        kind: 'refused',
        code: 'token_missing',
        status: 401,
        challenge: `Bearer realm="${AUDIENCE}"`,
      });
    }
  });

  test('JT-10 JT-18 other shapes and spellings are refused', async () => {
    const token = await authority.issue();
    const [header = '', payload = '', signature = ''] = token.split('.');
    const spaced = Buffer.from(Buffer.from(header, 'base64url').toString().replace('{', '{ ')).toString('base64url');
    const doubled = Buffer.from(Buffer.from(payload, 'base64url').toString().replace('{', '{"sub":"user_2",')).toString(
      'base64url',
    );
    for (const malformed of [
      `${token}.`,
      `${header}.${payload}`,
      `${token}=`,
      ` ${token}`,
      `${spaced}.${payload}.${signature}`,
      `${header}.${doubled}.${signature}`,
      `${header}.${payload}.a.b.c`,
      'a'.repeat(1_000_000),
      JSON.stringify({ protected: header, payload, signature }),
    ]) {
      await assertRefused(malformed, 'token_malformed');
    }
    assert.equal(authority.seen.keys, 0);
  });

  test('JT-01 JT-11 other kinds of token are refused', async () => {
    for (const typ of ['JWT', 'rt+jwt', 'ml+jwt', 'logout+jwt', 'secevent+jwt', 'dpop+jwt', 'at+jwt2', '', 1, null]) {
      await assertRefused(authority.forge(authority.claims(), { typ }), 'token_wrong_type');
    }
    const { alg, kid } = authority.key();
    await assertRefused(signCompact({ alg, kid }, authority.claims(), authority.key()), 'token_wrong_type');
  });

  test('JT-04 algorithms outside the allowlist are refused, none and HS256 under the public key among them', async () => {
    for (const alg of ['none', 'None', 'nOnE', 'HS256', 'PS256', 'ES384', 'EdDSA', 1, null]) {
      await assertRefused(authority.forge(authority.claims(), { alg }), 'token_algorithm_refused');
    }
    const rsa = newSigningKey('RS256');
    authority.keys.push(rsa);
    const input = `${encodeJson({ alg: 'HS256', typ: 'at+jwt', kid: rsa.kid })}.${encodeJson(authority.claims())}`;
    const publicPem = rsa.publicKey.export({ type: 'spki', format: 'pem' });
    const signature = createHmac('sha256', publicPem).update(input).digest('base64url');
    await assertRefused(`${input}.${signature}`, 'token_algorithm_refused');
  });

  test('JT-05 a key is used with its own algorithm only', async () => {
    const rsa = newSigningKey('RS256');
    authority.keys.push(rsa);
    await assertRefused(authority.forge(authority.claims(), { alg: 'ES256' }, rsa), 'token_algorithm_refused');
  });

  test('JT-08 JT-09 headers with more than alg, typ and kid are refused, signed or not', async () => {
    const jwk = authority.key().publicKey.export({ format: 'jwk' });
    for (const extra of [
      { jku: `${authority.issuer}/verifier/keys` },
      { x5u: 'https://evil.example/x' },
      { jwk },
      { x5c: ['AAAA'] },
      { crit: ['x'], x: 1 },
      { crit: ['b64'], b64: true },
      { b64: false },
      { cty: 'JWT' },
      { zip: 'DEF' },
    ]) {
      await assertRefused(authority.forge(authority.claims(), extra), 'token_header_refused');
    }
    for (const kid of ['', 1, null, ['k']]) {
      await assertRefused(authority.forge(authority.claims(), { kid }), 'token_header_refused');
    }
  });

  test('JT-13 a thousand unknown kids cost one read of the keys', async () => {
    await verifier.ready();
    assert.equal(authority.seen.keys, 1);
    for (let i = 0; i < 500; i++) {
      await assertRefused(authority.forge(authority.claims(), { kid: `key_${i}` }), 'token_unknown_key');
    }
    await Promise.all(
      Array.from({ length: 500 }, (_, i) =>
        assertRefused(authority.forge(authority.claims(), { kid: `../../${i}' OR 1=1` }), 'token_unknown_key'),
      ),
    );
    assert.equal(authority.seen.keys, 2);
    assert.equal(authority.seen.metadata, 1);
    assert.equal(authority.seen.checks.length, 0);
  });

  test('JT-13 a key published later is found at once, and again half a minute after', async () => {
    await verifier.ready();
    for (const pauseMs of [0, 30_000]) {
      authority.nowMs += pauseMs;
      const key = newSigningKey('ES256');
      authority.keys.push(key);
      assert.equal((await verifier.verify(await authority.issue({}, key))).kind, 'accepted');
    }
    assert.equal(authority.seen.keys, 3);
  });
});

describe('the signature', () => {
  test('of another key, or changed, or zero, is refused and asks for no record', async () => {
    const token = await authority.issue();
    const input = token.slice(0, token.lastIndexOf('.'));
    const stranger = newSigningKey('ES256');
    for (const bad of [
      signCompact({ alg: 'ES256', typ: 'at+jwt', kid: authority.key().kid }, payloadOf(token), stranger),
      `${input}.${Buffer.alloc(64).toString('base64url')}`, // r = s = 0
      `${input}.${Buffer.alloc(63, 1).toString('base64url')}`,
      `${input}.AA`,
      `${encodeJson({ alg: 'ES256', typ: 'at+jwt', kid: authority.key().kid })}.${encodeJson({
        ...payloadOf(token),
        sub: 'user_2',
      })}.${token.slice(token.lastIndexOf('.') + 1)}`,
    ]) {
      await assertRefused(bad, 'token_bad_signature');
    }
    assert.equal(authority.seen.checks.length, 0);
    await verifier.close();
    assert.deepEqual(authority.seen.reports, []);
  });
});

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
      ...['iss', 'sub', 'aud', 'client_id', 'jti', 'iat', 'exp', 'scope'].map((name) => ({ [name]: undefined })),
    ];
    for (const overrides of impossible) {
      const token = authority.forge(authority.claims(overrides));
      authority.record(token);
      await assertRefused(token, 'token_forged');
    }
    assert.equal(authority.seen.checks.length, 0);
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

describe('an authority that is away or lies', () => {
  async function assertUnavailable(code: string): Promise<void> {
    const result = await verifier.verify(await authority.issue());
    assert.equal(result.kind, 'unavailable');
    assert.equal(result.kind === 'unavailable' && result.code, code);
    assert.equal(result.kind === 'unavailable' && result.status, 503);
  }

  test('away: verification fails closed, says so without throwing, and recovers', async () => {
    authority.intercept = () => ({ status: 500 });
    await assertUnavailable('authority_unreachable');
    authority.intercept = () => undefined;
    authority.nowMs += 1000;
    assert.equal((await verifier.verify(await authority.issue())).kind, 'accepted');
    const token = await authority.issue();
    await authority.close();
    const result = await verifier.verify(token);
    assert.equal(result.kind === 'unavailable' && result.code, 'authority_unreachable');
    assert.match(result.kind === 'unavailable' ? result.message : '', /ECONNREFUSED|ECONNRESET|UND_ERR_SOCKET/);
    assert.ok(result.kind === 'unavailable' && !result.message.includes(token));
  });

  test('EB-10 failing metadata is asked once a second, by however many requests', async () => {
    let asked = 0;
    authority.intercept = () => {
      asked++;
      return { status: 503 };
    };
    const token = await authority.issue();
    await Promise.all(Array.from({ length: 50 }, () => verifier.verify(token)));
    for (let i = 0; i < 50; i++) await verifier.verify(token);
    assert.equal(asked, 1);
  });

  test('slow: the time limit ends the wait', async () => {
    await verifier.ready();
    const token = await authority.issue();
    const hanging = createVerifier({
      ...authority.options(),
      timeoutMs: 50,
      fetch: (url, init) =>
        url.endsWith('/check')
          ? new Promise((_, reject) => init.signal?.addEventListener('abort', () => reject(init.signal?.reason)))
          : globalThis.fetch(url, init),
    });
    const keepAlive = setInterval(() => {}, 1000); // the limit's own timer holds no process open
    const result = await hanging.verify(token);
    clearInterval(keepAlive);
    assert.equal(result.kind === 'unavailable' && result.code, 'authority_unreachable');
    assert.match(result.kind === 'unavailable' ? result.message : '', /timed out/);
  });

  test('wrong credentials are told apart from an outage', async () => {
    verifier = createVerifier({
      ...authority.options(),
      credentials: { ...CREDENTIALS, clientSecret: 'wrong' },
    });
    await assertUnavailable('authority_credentials_refused');
    await assert.rejects(verifier.ready(), (error: Error) => !error.message.includes('wrong'));
  });

  test('MD-06 metadata of another issuer, or leading elsewhere, is not believed and receives no credentials', async () => {
    const true_ = { issuer: authority.issuer };
    for (const lie of [
      { issuer: `${authority.issuer}/` },
      { ...true_, countersign_check_endpoint: 'https://evil.example/check' },
    ]) {
      verifier = createVerifier(authority.options());
      authority.intercept = (endpoint, body) =>
        endpoint === 'oauth-authorization-server' ? { body: { ...(body as object), ...lie } } : undefined;
      await assert.rejects(verifier.ready(), { code: 'authority_metadata_invalid' });
      await assertUnavailable('authority_metadata_invalid');
    }
    assert.equal(authority.seen.keys, 0);
  });

  test('redirects are not followed', async () => {
    authority.intercept = (endpoint) =>
      endpoint === 'check' ? { status: 307, headers: { location: `${authority.issuer}/verifier/report` } } : undefined;
    await assertUnavailable('authority_unreachable');
    assert.deepEqual(authority.seen.reports, []);
  });

  test('answers that are none, or for another token, accept nothing', async () => {
    const other = await authority.issue();
    const live = { verdict: 'live', expires_in_ms: 1000, handles: { token: 't', client: 'c', key: 'k' } };
    const lies = [
      '',
      'not JSON',
      {},
      { epoch: 1, answers: [] },
      { epoch: 1, answers: [{ ...live, jti: payloadOf(other).jti }] },
    ];
    for (const body of lies) {
      authority.intercept = (endpoint) => (endpoint === 'check' ? { body } : undefined);
      await assertUnavailable('authority_answer_invalid');
    }
  });

  test('an answer longer than any true one is not read to its end', async () => {
    authority.intercept = (endpoint, body) =>
      endpoint === 'check' ? { body: { ...(body as object), padding: 'x'.repeat(1024 * 1024) } } : undefined;
    await assertUnavailable('authority_answer_invalid');
  });

  test('a store older than one seen before accepts nothing', async () => {
    authority.epoch = 7;
    assert.equal((await verifier.verify(await authority.issue())).kind, 'accepted');
    authority.epoch = 6;
    await assertUnavailable('authority_epoch_went_back');
    authority.epoch = 8;
    assert.equal((await verifier.verify(await authority.issue())).kind, 'accepted');
  });
});

describe('the verifier itself', () => {
  test('counts what it did and accepts nothing once closed', async () => {
    const token = await authority.issue();
    await verifier.verify(token);
    await verifier.verify('x');
    await verifier.close();
    const result = await verifier.verify(token);
    assert.equal(result.kind === 'unavailable' && result.code, 'verifier_closed');
    assert.deepEqual(verifier.status(), {
      accepted: 1,
      refused: { token_malformed: 1 },
      unavailable: { verifier_closed: 1 },
      evidence: { sent: 0, failed: 0, suppressed: 0 },
    });
  });

  test('refuses settings that can never work', () => {
    const options = authority.options();
    for (const wrong of [
      { issuer: 'http://localhost' },
      { issuer: 'https://localhost?x' },
      { issuer: 'https://user:pw@localhost' },
      { issuer: 'localhost' },
      { audience: '' },
      { audience: 'a"b' },
      { credentials: { clientId: '', clientSecret: 'x' } },
      { credentials: { clientId: 'x', clientSecret: '' } },
      { mode: 'offline' as 'strict' }, // as plain JavaScript could pass it
      { timeoutMs: 0 },
      { timeoutMs: 1.5 },
    ]) {
      assert.throws(() => createVerifier({ ...options, ...wrong }), TypeError);
    }
  });
});
