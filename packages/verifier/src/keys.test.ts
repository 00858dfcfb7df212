import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import type { AuthorityConnection } from './connection.ts';
import type { Discovery } from './discovery.ts';
import { importKeys, KeyRing } from './keys.ts';
import { newSigningKey, publish } from './testing/fake-authority.ts';

const invalid = { code: 'authority_answer_invalid' };
const good = publish(newSigningKey('ES256'));

test('keys of the three algorithms are read, with what the authority says of them', () => {
  const keys = [good, publish(newSigningKey('Ed25519')), publish(newSigningKey('RS256', 'compromised'))];
  const read = importKeys({ keys });
  assert.deepEqual(
    [...read.values()].map(({ kid, alg, status }) => ({ kid, alg, status })),
    keys.map(({ kid, alg, status }) => ({ kid, alg, status })),
  );
});

test('an algorithm of a later version is passed over', () => {
  const read = importKeys({ keys: [good, { ...good, kid: 'later', alg: 'ML-DSA-65', jwk: { kty: 'AKP' } }] });
  assert.deepEqual([...read.keys()], [good.kid]);
});

test('a document that is none is refused', () => {
  for (const answer of [null, [], {}, { keys: {} }, { keys: [null] }, { keys: Array(101).fill(good) }]) {
    assert.throws(() => importKeys(answer), invalid);
  }
});

test('JT-14 private members and repeated kids are refused', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  assert.throws(() => importKeys({ keys: [{ ...good, jwk: privateKey.export({ format: 'jwk' }) }] }), invalid);
  assert.throws(() => importKeys({ keys: [{ ...good, jwk: { kty: 'oct', k: 'AAAA' } }] }), invalid);
  assert.throws(() => importKeys({ keys: [good, good] }), invalid);
});

test('JT-05 a key that is not for the algorithm it names is refused', () => {
  const rsa = publish(newSigningKey('RS256'));
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' });
  for (const entry of [
    { ...good, alg: 'RS256' },
    { ...rsa, alg: 'ES256' },
    { ...rsa, jwk: { ...rsa.jwk, alg: 'PS256' } },
    { ...rsa, jwk: { ...rsa.jwk, use: 'enc' } },
    { ...good, jwk: p384 },
    { ...good, jwk: { ...good.jwk, x: 'AAAA' } },
    { ...good, status: 'fine' },
    { ...good, kid: '' },
    { ...good, jwk: 'x' },
  ]) {
    assert.throws(() => importKeys({ keys: [entry] }), invalid);
  }
});

test('JT-15 an RSA key below 2048 bits is refused', () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const entry = { kid: 'k', alg: 'RS256', status: 'good', jwk: publicKey.export({ format: 'jwk' }) };
  assert.throws(() => importKeys({ keys: [entry] }), invalid);
});

/** A ring whose reads are answered by the test, in whatever order it likes. */
function steeredRing() {
  const asked: { resolve(answer: unknown): void; reject(error: unknown): void }[] = [];
  const clock = { nowMs: 0, now: () => clock.nowMs, monotonicMs: () => clock.nowMs };
  const ring = new KeyRing({
    discovery: { metadata: async () => ({ countersign_keys_endpoint: 'x' }) } as unknown as Discovery, // all it reads of it
    connection: {
      call: () => new Promise((resolve, reject) => asked.push({ resolve, reject })),
    } as unknown as AuthorityConnection, // the same
    clock,
    audience: 'api',
  });
  const answer = (status: 'good' | 'compromised') => ({ keys: [{ ...good, status }], audiences: ['api'] });
  const statusOf = async () => (await ring.find(good.kid))?.status;
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const load = async () => {
    const loading = ring.load();
    await turn();
    asked.shift()?.resolve(answer('good'));
    await loading;
  };
  return { asked, clock, ring, answer, statusOf, turn, load };
}

test('a key taken back while the keys are read calls for another read, and an older read never replaces a newer one', async () => {
  const { asked, ring, answer, statusOf, turn, load } = steeredRing();
  await load();
  const unknown = ring.find('unknown'); // begins a read of its own, which takes long
  await turn();
  const late = asked.shift();
  ring.takenBack();
  await turn();
  const first = asked.shift();
  ring.takenBack();
  ring.takenBack();
  first?.resolve(answer('good'));
  await turn();
  assert.equal(asked.length, 1, 'one more read for both');
  asked.shift()?.resolve(answer('compromised'));
  await turn();
  assert.equal(await statusOf(), 'compromised');
  late?.resolve(answer('good'));
  await unknown;
  assert.equal(await statusOf(), 'compromised');
  assert.equal(asked.length, 0);
});

test('of two reads that no word came between, too, the one that began later counts, whichever ends last', async () => {
  const { asked, clock, ring, answer, statusOf, turn, load } = steeredRing();
  await load();
  const unknown = ring.find('unknown');
  await turn();
  const early = asked.shift();
  clock.nowMs += 5 * 60_000 + 1; // old: another read, beside
  await statusOf();
  await turn();
  asked.shift()?.resolve(answer('compromised'));
  await turn();
  early?.resolve(answer('good'));
  assert.equal(await unknown, undefined);
  assert.equal(await statusOf(), 'compromised');
});

test('JT-13 a read for an unknown kid that failed is tried again a second later; one that did not, half a minute', async () => {
  const { asked, clock, ring, answer, turn, load } = steeredRing();
  await load();
  const find = async (kid: string) => {
    const found = ring.find(kid).then(
      (key) => key?.kid ?? 'none',
      () => 'failed',
    );
    await turn();
    return found;
  };
  const failing = find('new');
  await turn();
  asked.shift()?.reject(new Error('away'));
  assert.equal(await failing, 'failed');
  clock.nowMs += 999;
  assert.equal(await find('new'), 'failed');
  assert.equal(asked.length, 0);
  clock.nowMs += 1;
  const finding = find('new');
  await turn();
  asked.shift()?.resolve({ ...answer('good'), keys: [good, { ...good, kid: 'new' }] });
  assert.equal(await finding, 'new');
  clock.nowMs += 29_999;
  assert.equal(await find('newer'), 'none');
  assert.equal(asked.length, 0);
});
