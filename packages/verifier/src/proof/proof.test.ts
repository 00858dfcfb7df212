import assert from 'node:assert/strict';
import { generateKeyPairSync, hash, sign } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import { decodeBase64url } from '@countersign/protocol';
import type { RefusalCode } from '../errors.ts';
import { PROOF_ALGORITHMS } from './algorithms.ts';
import { MAX_PROOF_LENGTH } from './jwt.ts';
import { ProofChecker } from './proof.ts';
import { ProofClient, SteeredClock, TOKEN, thumbprintOf, URL_OF_REQUEST } from './testing/proofs.ts';

let clock: SteeredClock;
let client: ProofClient;
let checker: ProofChecker;

beforeEach(() => {
  clock = new SteeredClock();
  client = new ProofClient();
  checker = new ProofChecker({ clock });
});

async function check(jwt: string, request: { method?: string; url?: string; token?: string; jkt?: string } = {}) {
  const { method = 'GET', url = URL_OF_REQUEST, token = TOKEN, jkt = client.jkt } = request;
  return checker.check({ proof: { jwt, method, url }, token, jkt });
}

async function assertProven(jwt: string, request: Parameters<typeof check>[1] = {}): Promise<void> {
  assert.deepEqual(await check(jwt, request), { kind: 'proven' });
}

/** Twice: what is remembered of a good key must not carry a bad proof. */
async function assertRefused(jwt: string, code: RefusalCode, request: Parameters<typeof check>[1] = {}): Promise<void> {
  assert.deepEqual(await check(jwt, request), { kind: 'refused', code });
  await assertProven(client.prove(clock));
  assert.deepEqual(await check(jwt, request), { kind: 'refused', code });
}

describe('a good proof', () => {
  for (const alg of PROOF_ALGORITHMS) {
    test(`SC-01 by ${alg} is proven, and so is the next with the same key`, async () => {
      client = new ProofClient(alg);
      await assertProven(client.prove(clock));
      await assertProven(client.prove(clock));
    });
  }

  test('SC-02 of RFC 9449 §7.1 is proven', async () => {
    clock.wallMs = 1_562_262_618_000;
    const header =
      'eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQy' +
      'VVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19';
    const proof =
      `${header}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0` +
      'ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.' +
      '2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA';
    const request = {
      url: 'https://resource.example.org/protectedresource',
      jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I', // §6.1
      token: 'Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU',
    };
    await assertProven(proof, request);
    // §4.1: another proof by the same key, for the token endpoint and without a token's hash
    const forTokenEndpoint =
      `${header}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0` +
      'IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg';
    assert.deepEqual(
      await check(forTokenEndpoint, { ...request, method: 'POST', url: 'https://server.example.com/token' }),
      { kind: 'refused', code: 'proof_wrong_token' },
    );
  });

  test('is understood in whatever way its client spells JSON', async () => {
    const spaced = JSON.stringify({ ...client.claims(clock), note: 'é' }, null, 2);
    await assertProven(client.sign(JSON.stringify(client.header(), null, 1), spaced));
    const escaped = JSON.stringify(client.claims(clock)).replaceAll('/', '\\/');
    await assertProven(client.sign(client.header(), escaped));
  });

  test('may hold a kid, members without a meaning here, a nonce nobody asked for, and a typ spelled in full', async () => {
    const header = { typ: 'application/DPoP+JWT', kid: 'mine', other: 1, jwk: { ...client.jwk, use: 'sig', kid: 'k' } };
    await assertProven(client.prove(clock, { header, claims: { nonce: 'n', exp: clock.now() / 1000 + 1 } }));
  });
});

describe('SC-02 shape', () => {
  test('two proofs in one header are refused', async () => {
    await assertRefused(`${client.prove(clock)}, ${client.prove(clock)}`, 'proof_repeated');
    await assertRefused(`${client.prove(clock)},`, 'proof_repeated');
  });

  test('what is not one compact JWS of canonical base64url is refused', async () => {
    const proof = client.prove(clock);
    const notUtf8 = Buffer.from(JSON.stringify({ ...client.claims(clock), note: 'ÿ' }), 'latin1');
    const [header = '', payload = '', signature = ''] = proof.split('.');
    const last = signature.slice(-1);
    const respelled = `${signature.slice(0, -1)}${last === 'A' ? 'B' : String.fromCharCode(last.charCodeAt(0) + 1)}`;
    assert.equal(decodeBase64url(respelled), undefined);
    for (const jwt of [
      ...[
        '',
        '..',
        `${header}.${payload}`,
        `${header}.${payload}.`,
        `${proof}.`,
        `${proof}.a`,
        ` ${proof}`,
        `${proof} `,
      ],
      ...[`${proof}=`, `${header}.${payload}.${respelled}`, `${header}.${payload} .${signature}`, 'é.é.é'],
      ...[client.sign('[]', '{}'), client.sign(client.header(), '[]'), client.sign(client.header(), 'null')],
      ...[client.sign(client.header(), '{'), client.sign(client.header(), notUtf8)],
    ]) {
      await assertRefused(jwt, 'proof_malformed');
    }
  });

  test('a proof may be as long as its limit and no longer', async () => {
    const room = MAX_PROOF_LENGTH - client.prove(clock, { claims: { pad: '' } }).length;
    const longest = client.prove(clock, { claims: { pad: 'x'.repeat(Math.floor((room * 3) / 4)) } });
    assert.ok(longest.length > MAX_PROOF_LENGTH - 4 && longest.length <= MAX_PROOF_LENGTH, `${longest.length}`);
    await assertProven(longest);
    const longer = client.prove(clock, { claims: { pad: 'x'.repeat(Math.floor((room * 3) / 4) + 4) } });
    await assertRefused(longer, 'proof_malformed');
  });
});

describe('SC-02 header', () => {
  test('another typ is refused', async () => {
    for (const typ of [undefined, 'JWT', 'at+jwt', 'dpop+jwt2', 'xdpop+jwt', '', 1, null, ['dpop+jwt']]) {
      await assertRefused(client.prove(clock, { header: { typ } }), 'proof_wrong_type');
    }
  });

  test('SC-01 another algorithm is refused, none and symmetric ones first of all', async () => {
    for (const alg of ['none', 'HS256', 'HS512', 'ES384', 'RS1', 'es256', '', undefined, null, ['ES256'], 'toString']) {
      await assertRefused(client.prove(clock, { header: { alg } }), 'proof_algorithm_refused');
    }
  });

  test('members that bring a key along or change what is signed are refused', async () => {
    for (const member of ['jku', 'x5u', 'x5c', 'crit', 'b64']) {
      await assertRefused(client.prove(clock, { header: { [member]: ['exp'] } }), 'proof_header_refused');
    }
  });
});

describe('SC-02 key', () => {
  test('no key, or none of its kind, is refused', async () => {
    const { x, ...withoutX } = client.jwk;
    const curve = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' });
    for (const jwk of [
      ...[
        undefined,
        null,
        'key',
        [client.jwk],
        {},
        { ...client.jwk, kty: 'RSA' },
        { ...client.jwk, crv: 'P-384' },
        curve,
      ],
      ...[withoutX, { ...client.jwk, x: '' }, { ...client.jwk, x: 1 }, new ProofClient('Ed25519').jwk],
      ...[
        { kty: 'oct', k: 'AAAA' },
        { ...client.jwk, use: 'enc' },
        { ...client.jwk, alg: 'ES384' },
      ],
    ]) {
      await assertRefused(client.prove(clock, { header: { jwk } }), 'proof_key_refused');
    }
  });

  test('a private key is refused, although its public half is the right one', async () => {
    const jwk = client.privateKey.export({ format: 'jwk' });
    await assertRefused(client.prove(clock, { header: { jwk } }), 'proof_key_refused');
    for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) {
      const header = { jwk: { ...client.jwk, [member]: 'AA' } };
      await assertRefused(client.prove(clock, { header }), 'proof_key_refused');
    }
  });

  async function assertKeyRefused(signer: ProofClient, change: Record<string, unknown> = {}): Promise<void> {
    const jwk: Record<string, unknown> = { ...signer.jwk, ...change };
    const answer = await check(signer.prove(clock, { header: { jwk } }), { jkt: thumbprintOf(jwk) });
    assert.deepEqual(answer, { kind: 'refused', code: 'proof_key_refused' });
  }

  test('a point that is not on the curve is refused', async () => {
    await assertKeyRefused(client, { y: Buffer.alloc(32, 7).toString('base64url') });
  });

  test('an RSA key that is short, or long so that it costs, is refused', async () => {
    for (const modulusLength of [1024, 4104]) {
      await assertKeyRefused(new ProofClient('RS256', generateKeyPairSync('rsa', { modulusLength })));
    }
    client = new ProofClient('RS256', generateKeyPairSync('rsa', { modulusLength: 4096 }));
    await assertProven(client.prove(clock));
  });

  test('an RSA key whose exponent costs, or with which anybody signs, is refused', async () => {
    for (const exponent of ['0100000001', '01']) {
      await assertKeyRefused(new ProofClient('RS256'), { e: Buffer.from(exponent, 'hex').toString('base64url') });
    }
    client = new ProofClient('RS256', generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }));
    await assertProven(client.prove(clock));
  });

  test('a good proof by another key than the token is bound to is refused', async () => {
    await assertRefused(new ProofClient().prove(clock), 'proof_wrong_key');
    await assertRefused(new ProofClient('Ed25519').prove(clock), 'proof_wrong_key');
  });

  test('EB-11 a known key does not carry a header that names another', async () => {
    await assertProven(client.prove(clock));
    const thief = new ProofClient();
    assert.deepEqual(await check(thief.prove(clock)), { kind: 'refused', code: 'proof_wrong_key' });
    const stolenHeader = thief.prove(clock, { header: { jwk: client.jwk } });
    assert.deepEqual(await check(stolenHeader), { kind: 'refused', code: 'proof_bad_signature' });
  });
});

describe('SC-02 signature', () => {
  for (const alg of PROOF_ALGORITHMS) {
    test(`of another key, or of other claims, is refused (${alg})`, async () => {
      client = new ProofClient(alg);
      const [header, payload, signature = ''] = client.prove(clock).split('.');
      const [, otherPayload] = client.prove(clock).split('.');
      await assertRefused(`${header}.${otherPayload}.${signature}`, 'proof_bad_signature');
      const short = Buffer.from(signature, 'base64url').subarray(1).toString('base64url');
      await assertRefused(`${header}.${payload}.${short}`, 'proof_bad_signature');
      await assertRefused(`${header}.${payload}.AAAA`, 'proof_bad_signature');
      const thief = new ProofClient(alg);
      await assertRefused(thief.prove(clock, { header: { jwk: client.jwk } }), 'proof_bad_signature');
    });
  }

  test('by another algorithm than the header names is refused', async () => {
    client = new ProofClient('PS256');
    await assertProven(client.prove(clock));
    const pkcs1 = new ProofClient('RS256', client);
    await assertRefused(pkcs1.prove(clock, { header: { alg: 'PS256' } }), 'proof_bad_signature');
    const der = new ProofClient();
    client = der;
    const input = der.prove(clock).split('.', 2).join('.');
    const signature = sign('sha256', Buffer.from(input), der.privateKey).toString('base64url');
    await assertRefused(`${input}.${signature}`, 'proof_bad_signature');
  });
});

describe('SC-02 claims', () => {
  test('a missing or mistyped claim is refused', async () => {
    for (const claims of [
      ...[{ jti: undefined }, { jti: 1 }, { jti: '' }, { jti: 'x'.repeat(257) }, { jti: null }],
      ...[{ htm: undefined }, { htm: ['GET'] }, { htu: undefined }, { htu: {} }],
      ...[{ iat: undefined }, { iat: `${clock.now() / 1000}` }, { iat: null }, { exp: 'soon' }, { nbf: {} }],
    ]) {
      await assertRefused(client.prove(clock, { claims }), 'proof_malformed');
    }
    await assertProven(client.prove(clock, { claims: { jti: 'x'.repeat(256) } }));
    const huge = JSON.stringify(client.claims(clock)).replace(/"iat":\d+/, '"iat":1e999');
    await assertRefused(client.sign(client.header(), huge), 'proof_malformed');
  });

  test('another method is refused; case counts', async () => {
    for (const htm of ['POST', 'get', 'HEAD', 'GET ', '*']) {
      await assertRefused(client.prove(clock, { claims: { htm } }), 'proof_wrong_method');
    }
  });

  test('another address is refused', async () => {
    for (const htu of ['https://other.example/accounts', 'https://api.example/accounts/', '/accounts', '', 'null']) {
      await assertRefused(client.prove(clock, { claims: { htu } }), 'proof_wrong_url');
    }
  });

  test('the address is compared without query and fragment', async () => {
    await assertProven(client.prove(clock), { url: `${URL_OF_REQUEST}?page=2` });
    await assertProven(client.prove(clock, { claims: { htu: `${URL_OF_REQUEST}?page=1#top` } }));
  });

  test('a proof is good for 60 seconds, and 10 before its time, by the wall clock', async () => {
    const iat = clock.now() / 1000;
    for (const [offset, isTimely] of [
      ...([
        [-60, true],
        [-60.001, false],
        [10, true],
        [10.001, false],
      ] as const),
      ...([
        [-1e9, false],
        [1e9, false],
        [-Number.MAX_VALUE, false],
      ] as const),
    ]) {
      const proof = client.prove(clock, { claims: { iat: iat + offset } });
      if (isTimely) await assertProven(proof);
      else await assertRefused(proof, 'proof_untimely');
    }
  });

  test('a proof that says until when or from when it is good is held to it', async () => {
    const now = clock.now() / 1000;
    await assertRefused(client.prove(clock, { claims: { exp: now - 30 } }), 'proof_untimely');
    await assertProven(client.prove(clock, { claims: { exp: now - 29 } }));
    await assertRefused(client.prove(clock, { claims: { nbf: now + 31 } }), 'proof_untimely');
    await assertProven(client.prove(clock, { claims: { nbf: now + 30 } }));
  });

  test('a proof for another token, or for none, is refused', async () => {
    const ath = hash('sha256', `${TOKEN}x`, 'base64url');
    for (const claims of [{ ath: undefined }, { ath }, { ath: '' }, { ath: 1 }, { ath: `${ath}=` }, { ath: TOKEN }]) {
      await assertRefused(client.prove(clock, { claims }), 'proof_wrong_token');
    }
    await assertRefused(client.prove(clock), 'proof_wrong_token', { token: `${TOKEN}x` });
  });
});
