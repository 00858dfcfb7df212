import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, beforeEach, describe, test } from 'node:test';
import type { RefusalCode } from './errors.ts';
import { eventually } from './testing/eventually.ts';
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
    assert.ok(result.kind === 'accepted');
    assert.deepEqual(result.handles, {
      token: `t-${result.claims.jti}`,
      client: 'c1',
      key: 'k1',
      grant: `g-${result.claims.jti}`,
      user: 'u1',
    });
    const livesMs = result.expiresAtMs - authority.nowMs;
    assert.ok(livesMs > 890_000 && livesMs <= 900_000);
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

describe('the verifier itself', () => {
  test('counts what it did and accepts nothing once closed', async () => {
    const token = await authority.issue();
    await verifier.verify(token);
    await verifier.verify('x');
    await verifier.close();
    const result = await verifier.verify(token);
    assert.equal(result.kind === 'unavailable' && result.code, 'verifier_closed');
    const { accepted, refused, unavailable, evidence, stream } = verifier.status();
    assert.deepEqual(
      { accepted, refused, unavailable, evidence, stream },
      {
        accepted: 1,
        refused: { token_malformed: 1 },
        unavailable: { verifier_closed: 1 },
        evidence: { sent: 0, failed: 0, suppressed: 0 },
        stream: 'off',
      },
    );
  });

  test('keeps its settings, whatever becomes of the object they came in', async () => {
    const options = { ...authority.options(), credentials: { ...CREDENTIALS } };
    const made = createVerifier(options);
    options.issuer = 'https://other.example';
    options.audience = 'https://other.example';
    options.mode = 'offline';
    options.credentials.clientSecret = 'another';
    Object.assign(options, { whenStale: 'refuse', replayStore: { addIfAbsent: () => false } });
    const result = await made.verify(await authority.issue());
    assert.ok(result.kind === 'accepted');
    assert.equal(result.basis, 'record');
    assert.deepEqual([made.issuer, made.audience, made.status().mode], [authority.issuer, AUDIENCE, 'strict']);
    await made.close();
    assert.deepEqual(authority.seen.reports, []);
  });

  test('is ready for nothing once it is closed, also while it gets ready', async () => {
    const closed = { code: 'verifier_closed' };
    const made = createVerifier({ ...authority.options(), mode: 'coherent' });
    authority.streams.isSilent = true; // so that it waits for a lease
    const readying = made.ready();
    await eventually('the stream is asked for', () => authority.streams.opened.length > 0);
    await Promise.all([made.close(), assert.rejects(readying, closed)]);
    await assert.rejects(made.ready(), closed);
  });

  test('ends with the block it is used in', async () => {
    let kept: Verifier;
    {
      await using made = createVerifier({ ...authority.options(), mode: 'coherent' });
      kept = made;
      await made.ready();
      assert.equal(made.status().stream, 'open');
    }
    assert.equal(kept.status().stream, 'off');
    const result = await kept.verify(await authority.issue());
    assert.equal(result.kind === 'unavailable' && result.code, 'verifier_closed');
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
      { mode: 'lenient' as 'strict' }, // as plain JavaScript could pass it
      { maxStalenessMs: 2_999 },
      { maxStalenessMs: 3_600_001 },
      { maxEntries: 0 },
      { maxEntries: 10_000_001 },
      { credentials: { clientId: 5, clientSecret: 'x' } as never },
      { whenStale: 'accept' as 'check' },
      { origin: 'https://api.example/path' },
      { timeoutMs: 30_001 },
      { timeoutMs: 0 },
      { timeoutMs: 1.5 },
      { maxStaleness: 5_000 } as object, // a misspelt bound
    ]) {
      assert.throws(() => createVerifier({ ...options, ...wrong }), TypeError);
    }
  });
});
