import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { after, test } from 'node:test';
import { encodeBase64url } from '@countersign/protocol';
import { CompactSign, exportJWK, exportSPKI, importJWK } from 'jose';
import { Events } from '../events/events.ts';
import { SealBroken, Sealer } from '../sealing/sealing.ts';
import { claimsOf, ISSUER, openAuthority, openStore } from '../testing/testing.ts';
import { JWKS_CACHE_MS, Keys } from './keys.ts';
import type { Whose } from './whose.ts';

const opened = await openAuthority();
after(opened.close);
const { authority, clock, store, forge, stolenKey } = opened;
const { keys } = authority;

const TYP = 'at+jwt';
const { token } = await keys.sign({ purpose: 'access', typ: TYP, claims: { sub: 'user_1' } });
const verify = (text: string, typ: string = TYP, purpose: 'access' | 'refresh' | 'id' = 'access') =>
  keys.verify({ purpose, typ, token: text });

const spell = (value: object) => encodeBase64url(Buffer.from(JSON.stringify(value)));
const [, payload = '', signature = ''] = token.split('.');
const { kid } = await stolenKey('access');
const [accessJwk] = keys.publicKeys().filter((jwk) => jwk.kid === kid);
const strangerPair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const strangerJwk = await exportJWK(strangerPair.publicKey);
const byStranger = (header: object) =>
  new CompactSign(Buffer.from('{}'))
    .setProtectedHeader({ alg: 'ES256', typ: TYP, ...header })
    .sign(strangerPair.privateKey);

/** HS256 with the published key as the secret, in the forms a library might take it. */
async function macUnderPublicKey(secret: Uint8Array): Promise<string> {
  const input = `${spell({ alg: 'HS256', typ: TYP, kid })}.${payload}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}
const publicPem = Buffer.from(await exportSPKI((await importJWK(accessJwk ?? {}, 'ES256')) as CryptoKey));

const tricks: [string, string, string][] = [
  ['JT-04 alg none', `${spell({ alg: 'none', typ: TYP, kid })}.${payload}.${signature}`, 'wrong_header'],
  ['JT-04 alg None', `${spell({ alg: 'None', typ: TYP, kid })}.${payload}.${signature}`, 'wrong_header'],
  ['JT-04 alg nOnE', `${spell({ alg: 'nOnE', typ: TYP, kid })}.${payload}.${signature}`, 'wrong_header'],
  ['JT-04 no alg', `${spell({ typ: TYP, kid })}.${payload}.${signature}`, 'wrong_header'],
  ['JT-04 HS256 under the public PEM', await macUnderPublicKey(publicPem), 'wrong_header'],
  ['JT-04 HS256 under the public JWK', await macUnderPublicKey(Buffer.from(JSON.stringify(accessJwk))), 'wrong_header'],
  [
    'JT-05 another algorithm of the family',
    `${spell({ alg: 'ES384', typ: TYP, kid })}.${payload}.${signature}`,
    'wrong_header',
  ],
  ['JT-08 an embedded jwk', await byStranger({ kid, jwk: strangerJwk }), 'wrong_header'],
  ['JT-08 jku', await byStranger({ kid, jku: 'https://evil.example/jwks' }), 'wrong_header'],
  ['JT-08 x5u', await byStranger({ kid, x5u: 'https://evil.example/x' }), 'wrong_header'],
  ['JT-08 x5c', await byStranger({ kid, x5c: ['AA=='] }), 'wrong_header'],
  ['JT-09 crit', await forge('access', TYP, {}, { crit: ['b64'], b64: true }), 'wrong_header'],
  ['a header member that nobody writes', await forge('access', TYP, {}, { cty: 'JWT' }), 'wrong_header'],
  ['JT-01 no typ', `${spell({ alg: 'ES256', kid })}.${payload}.${signature}`, 'wrong_type'],
  ['JT-01 typ JWT, signed by the real key', await forge('access', 'JWT', {}), 'wrong_type'],
  ['JT-13 no kid', `${spell({ alg: 'ES256', typ: TYP })}.${payload}.${signature}`, 'unknown_key'],
  ['JT-13 an unknown kid', await byStranger({ kid: 'key_0' }), 'unknown_key'],
  ['JT-13 a kid that is a path', await byStranger({ kid: '../../dev/null' }), 'unknown_key'],
  ['JT-13 a kid that is SQL', await byStranger({ kid: "' OR 1=1 --" }), 'unknown_key'],
  ['JT-13 a kid that names a member of every object', await byStranger({ kid: '__proto__' }), 'unknown_key'],
  [
    'JT-13 a kid that is an array',
    `${spell({ alg: 'ES256', typ: TYP, kid: [kid] })}.${payload}.${signature}`,
    'unknown_key',
  ],
  ['JT-13 our kid under a stranger’s signature', await byStranger({ kid }), 'bad_signature'],
  ['JT-11 the key of another purpose', await forge('refresh', TYP, {}), 'unknown_key'],
  ['another payload', `${token.split('.')[0]}.${spell({ sub: 'user_2' })}.${signature}`, 'bad_signature'],
  ['an empty ECDSA signature of zeros', `${token.split('.')[0]}.${payload}.${'A'.repeat(86)}`, 'bad_signature'],
  ['a DER signature', `${token.split('.')[0]}.${payload}.MEUCIQ`, 'bad_signature'],
];
test('a token that was signed verifies, and says by which key', async () => {
  const verified = await verify(token);
  assert.equal(verified.kind, 'signed');
  assert.deepEqual(verified.kind === 'signed' && verified.parsed.claims, { sub: 'user_1' });
  assert.equal(verified.kind === 'signed' && verified.keyId, kid);
});

for (const [what, text, why] of tricks) {
  test(`${what} is refused: ${why}`, async () => assert.deepEqual(await verify(text), { kind: 'refused', why }));
}

test('JT-11 each kind of token is refused in the place of each other kind', async () => {
  const kinds = [
    { purpose: 'access', typ: 'at+jwt' },
    { purpose: 'refresh', typ: 'rt+jwt' },
    { purpose: 'id', typ: 'JWT' },
  ] as const;
  for (const made of kinds) {
    const { token: text } = await keys.sign({ ...made, claims: {} });
    for (const { purpose, typ } of kinds) {
      const isOwn = purpose === made.purpose;
      assert.equal((await verify(text, typ, purpose)).kind, isOwn ? 'signed' : 'refused', `${made.typ} as ${typ}`);
      if (!isOwn)
        assert.equal((await verify(text, made.typ, purpose)).kind, 'refused', 'also where its typ is believed');
    }
  }
});

test('JT-14 only public halves are published: asymmetric, of the purposes that others read, one algorithm each', () => {
  const published = keys.publicKeys();
  assert.equal(new Set(published.map((jwk) => jwk.kid)).size, published.length);
  assert.deepEqual(published.map(({ alg }) => alg).sort(), ['ES256', 'ES256', 'ES256', 'ES256', 'RS256', 'RS256']);
  for (const jwk of published) {
    assert.equal(jwk.use, 'sig');
    for (const member of Object.keys(jwk))
      assert.ok(['kty', 'kid', 'alg', 'use', 'crv', 'x', 'y', 'n', 'e'].includes(member));
    if (jwk.n) assert.ok(Buffer.from(jwk.n, 'base64url').length * 8 >= 2048, 'JT-15');
  }
});

test('TC-04 no file of the store holds a private key or the bucket key', async () => {
  const secrets: Buffer[] = [];
  const rows = await store.read.all<{ id: string; algorithm: string; sealed_private: Uint8Array }>(
    "SELECT id, algorithm, sealed_private FROM signing_key WHERE state <> 'retired'",
  );
  for (const row of rows) {
    const place = { table: 'signing_key', row: row.id, column: 'sealed_private' };
    const plain = Buffer.from(authority.sealer.open(place, row.sealed_private));
    // Of a PKCS #8 key the first bytes say only what kind it is.
    secrets.push(row.algorithm === 'HS256' ? plain : plain.subarray(36, 60));
  }
  const bucketKey = await store.read.get<{ sealed_key: Uint8Array }>('SELECT sealed_key FROM bucket_key');
  const bucketPlace = { table: 'bucket_key', row: '1', column: 'sealed_key' };
  secrets.push(Buffer.from(authority.sealer.open(bucketPlace, bucketKey?.sealed_key ?? new Uint8Array())));
  assert.ok(secrets.length > 10);
  const files = (await opened.copied()).map(({ bytes }) => bytes);
  assert.ok(
    files.some((file) => file.includes(Buffer.from(kid))),
    'what was copied is what is stored',
  );
  for (const secret of secrets) {
    for (const file of files) {
      assert.equal(file.includes(secret), false);
      assert.equal(file.includes(Buffer.from(secret.toString('base64url'))), false);
    }
  }
});

type OwnStore = Awaited<ReturnType<typeof openStore>>;

function keysOver(masterKey: Uint8Array, own: OwnStore, settings: Partial<Whose> = {}) {
  const { store, clock, random } = own;
  const sealer = new Sealer({ masterKey, random });
  const events = new Events({ store, clock, random });
  const whose: Whose = { issuer: ISSUER, accessAlgorithm: 'Ed25519', ...settings };
  return { ...own, keys: new Keys({ store, sealer, events, clock, random, ...whose }) };
}

test('TC-04 under a wrong master key nothing starts and nothing new is made', async () => {
  const { random } = opened;
  const own = keysOver(random.bytes(32), await openStore());
  try {
    await own.keys.prepare();
    const count = async () => (await own.store.read.all('SELECT id FROM signing_key')).length;
    const before = await count();
    const stranger = keysOver(random.bytes(32), own);
    await assert.rejects(stranger.keys.prepare(), SealBroken);
    assert.deepEqual(await count(), before);
    assert.equal(stranger.keys.isReady(), false);
  } finally {
    await own.close();
  }
});

test('a store that runs a work again, as it does when another node came first, gets the keys all the same', async () => {
  const own = keysOver(opened.random.bytes(32), await openStore());
  const { store } = own;
  const write: typeof store.write = async (work) => {
    const overtaken = new Error('another node came first');
    await assert.rejects(
      store.write(async (tx) => {
        await work(tx);
        throw overtaken;
      }),
      overtaken,
    );
    return store.write(work);
  };
  try {
    const again = { read: store.read, write } as typeof store; // all that keys use of it
    const { keys: overtakenKeys } = keysOver(opened.random.bytes(32), { ...own, store: again });
    await overtakenKeys.prepare();
    assert.equal(overtakenKeys.isReady(), true);
  } finally {
    await own.close();
  }
});

test('two nodes over one store: one rotation between them, and each reads what the other signs', async () => {
  const masterKey = opened.random.bytes(32);
  const one = keysOver(masterKey, await openStore());
  const two = keysOver(masterKey, one);
  try {
    await one.keys.prepare();
    await two.keys.prepare();
    assert.deepEqual(await two.keys.rotate(), [], 'the second found all it wants');
    one.clock.pass(91 * 86_400_000);
    const [first, second] = await Promise.all([one.keys.rotate(), two.keys.rotate()]);
    const activated = [...first, ...second].filter(({ kind }) => kind === 'activate').length;
    const active = await one.store.read.all("SELECT id FROM signing_key WHERE state = 'active'");
    assert.equal(active.length, 7);
    assert.equal(activated, 6, 'each kind that rotates did so once');
    one.clock.pass(JWKS_CACHE_MS);
    await one.keys.rotate({ now: 'access' });
    const { token: fresh } = await one.keys.sign({ purpose: 'access', typ: TYP, claims: { n: 1 } });
    assert.equal((await two.keys.verify({ purpose: 'access', typ: TYP, token: fresh })).kind, 'signed');
    assert.deepEqual(claimsOf(fresh), { n: 1 });
  } finally {
    await one.close();
  }
});

test('a kid that is not known is looked up at once, whatever was read just before; made-up ones once a second', async () => {
  const masterKey = opened.random.bytes(32);
  const one = keysOver(masterKey, await openStore());
  const two = keysOver(masterKey, one);
  try {
    await one.keys.prepare();
    await two.keys.prepare();
    await one.keys.rotate({ now: 'access' });
    await two.keys.reload();
    // The key that signs now was no standby yet when the other node read the table.
    await one.keys.rotate({ now: 'access' });
    await one.keys.rotate({ now: 'access' });
    const { token: fresh } = await one.keys.sign({ purpose: 'access', typ: TYP, claims: {} });
    const both = await Promise.all(
      [fresh, fresh].map((token) => two.keys.verify({ purpose: 'access', typ: TYP, token })),
    );
    assert.deepEqual(
      both.map(({ kind }) => kind),
      ['signed', 'signed'],
    );
    await one.keys.rotate({ now: 'access' });
    await one.keys.rotate({ now: 'access' });
    const { token: next } = await one.keys.sign({ purpose: 'access', typ: TYP, claims: {} });
    const verified = async () => (await two.keys.verify({ purpose: 'access', typ: TYP, token: next })).kind;
    assert.equal(await verified(), 'refused', 'the look of this second is used up');
    one.clock.pass(1_000);
    assert.equal(await verified(), 'signed');
  } finally {
    await one.close();
  }
});

test('a database is of one issuer and one access algorithm: who comes with others is refused, and changes nothing', async () => {
  const masterKey = opened.random.bytes(32);
  const one = keysOver(masterKey, await openStore());
  try {
    await one.keys.prepare();
    const before = await one.keys.list();
    const others: [Partial<Whose>, RegExp][] = [
      [{ issuer: 'https://other.example' }, /issuer https:\/\/auth\.example.*issuer is https:\/\/other\.example/],
      [{ accessAlgorithm: 'ES256' }, /accessAlgorithm Ed25519.*accessAlgorithm is ES256/],
    ];
    for (const [settings, message] of others) {
      const other = keysOver(masterKey, one, settings);
      await assert.rejects(other.keys.prepare(), { code: 'other_settings', message });
    }
    assert.deepEqual(await one.keys.list(), before);
    await keysOver(masterKey, one).keys.prepare();
  } finally {
    await one.close();
  }
});

test('an algorithm that was adopted is followed by nodes that run with another, which never take its key away', async () => {
  const masterKey = opened.random.bytes(32);
  const one = keysOver(masterKey, await openStore());
  const two = keysOver(masterKey, one, { accessAlgorithm: 'ES256' });
  const signing = async () =>
    (await one.keys.list())
      .filter(({ purpose, state }) => purpose === 'access' && state === 'active')
      .map(({ algorithm }) => algorithm);
  try {
    await one.keys.prepare();
    const { token: old } = await one.keys.sign({ purpose: 'access', typ: TYP, claims: {} });
    await two.keys.prepare({ adopts: true });
    assert.deepEqual(await signing(), ['ES256']);
    assert.deepEqual(await one.keys.rotate(), [], 'a node that does not know yet');
    await one.keys.reload();
    assert.equal(one.keys.isReady(), true);
    const { token: fresh } = await one.keys.sign({ purpose: 'access', typ: TYP, claims: {} });
    for (const token of [old, fresh]) {
      for (const { keys } of [one, two])
        assert.equal((await keys.verify({ purpose: 'access', typ: TYP, token })).kind, 'signed');
    }
    await assert.rejects(keysOver(masterKey, one).keys.prepare(), { code: 'other_settings' });
    await keysOver(masterKey, one, { issuer: 'https://other.example', accessAlgorithm: 'ES256' }).keys.prepare({
      adopts: true,
    });
    await one.keys.reload();
    assert.equal(one.keys.isReady(), false, 'of another issuer');
  } finally {
    await one.close();
  }
});

test('JT-16 across a rotation old tokens verify until nobody can hold one, then the private half is erased', async () => {
  clock.pass(JWKS_CACHE_MS);
  const { token: old, keyId } = await keys.sign({ purpose: 'access', typ: TYP, claims: {} });
  await keys.rotate({ now: 'access' });
  const { keyId: next } = await keys.sign({ purpose: 'access', typ: TYP, claims: {} });
  assert.notEqual(next, keyId);
  assert.equal((await verify(old)).kind, 'signed');
  clock.pass(2 * 86_400_000);
  await keys.rotate();
  assert.deepEqual(await verify(old), { kind: 'refused', why: 'unknown_key' });
  const row = await store.read.get<{ sealed_private: Uint8Array }>(
    'SELECT sealed_private FROM signing_key WHERE id = $1',
    keyId,
  );
  assert.equal(row?.sealed_private.length, 0);
});

test('retired keys, of which a daily rotation leaves hundreds a year, are listed and otherwise not read', async () => {
  const own = keysOver(opened.random.bytes(32), await openStore());
  try {
    await own.keys.prepare();
    const living = (await own.keys.list()).length;
    for (let day = 0; day < 5; day++) {
      own.clock.pass(86_400_000);
      await own.keys.rotate();
      own.clock.pass(31 * 60_000);
      await own.keys.rotate();
    }
    assert.equal((await own.keys.list()).length, living + 5);
    let read = 0;
    const all: typeof own.store.read.all = async (...asked) => {
      const rows = await own.store.read.all<object>(...asked);
      read += rows.length;
      return rows as never[]; // handed on as they are
    };
    const counted = { ...own.store, read: { ...own.store.read, all }, write: own.store.write.bind(own.store) };
    const { keys: watched } = keysOver(opened.random.bytes(32), { ...own, store: counted as typeof own.store });
    await assert.rejects(watched.reload(), SealBroken, 'under a wrong master key: only the reading is looked at');
    assert.equal(read, living);
  } finally {
    await own.close();
  }
});
