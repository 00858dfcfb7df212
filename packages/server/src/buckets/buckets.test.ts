import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { decodeBase64url, encodeBase64url, hasEntropyBucketForm } from '@countersign/protocol';
import fc from 'fast-check';
import { SealBroken, Sealer } from '../sealing/sealing.ts';
import { openStore } from '../testing/testing.ts';
import type { Random } from '../world/random.ts';
import { Buckets, digestOf } from './buckets.ts';

const opened = await openStore();
after(opened.close);
const { store, clock, random } = opened;
const masterKey = random.bytes(32);
const bucketsUnder = (key: Uint8Array) =>
  new Buckets({ store, clock, random, sealer: new Sealer({ masterKey: key, random }) });
const buckets = bucketsUnder(masterKey);
await buckets.prepare();

const JTI = 'acctok_0000000000000000000001';

test('EB-01 an eb is 48 bytes, 248 bits of them from chance: no two alike, also for one token', () => {
  const seen = new Set<string>();
  for (let made = 0; made < 20_000; made++) {
    const eb = buckets.mint('access', JTI);
    if (made === 0) assert.ok(hasEntropyBucketForm(eb));
    seen.add((decodeBase64url(eb) ?? new Uint8Array()).subarray(1, 32).join());
  }
  assert.equal(seen.size, 20_000);
});

test('EB-01 every one of the random bits is sometimes set and sometimes not', () => {
  const [or, and] = [new Uint8Array(48), new Uint8Array(48).fill(255)];
  for (let made = 0; made < 100; made++) {
    for (const [at, byte] of (decodeBase64url(buckets.mint('access', JTI)) ?? []).entries()) {
      or[at] = (or[at] ?? 0) | byte;
      and[at] = (and[at] ?? 0) & byte;
    }
  }
  assert.ok(or.subarray(1).every((byte) => byte === 255));
  assert.ok(and.subarray(1).every((byte) => byte === 0));
});

test('EB-01 the chance is the given one: 31 bytes for each eb', async () => {
  const asked: number[] = [];
  const counting: Random = {
    bytes(length) {
      asked.push(length);
      return random.bytes(length);
    },
  };
  const other = new Buckets({ store, clock, random: counting, sealer: new Sealer({ masterKey, random }) });
  await other.prepare();
  other.mint('access', JTI);
  assert.deepEqual(asked, [31]);
});

test('the tag knows its own kind and id, and no other', () => {
  const eb = buckets.mint('access', JTI);
  assert.equal(buckets.isOurs('access', JTI, eb), true);
  assert.equal(buckets.isOurs('refresh', JTI, eb), false);
  assert.equal(buckets.isOurs('access', `${JTI}x`, eb), false);
  assert.equal(buckets.isOurs('access', '', eb), false);
});

test('no two different kinds and ids spell alike to the tag', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (one, two) => {
      fc.pre(one !== two);
      assert.equal(buckets.isOurs('access', two, buckets.mint('access', one)), false);
    }),
  );
});

test('EB-04 one changed bit anywhere in an eb, and it is not ours', () => {
  const eb = decodeBase64url(buckets.mint('access', JTI)) ?? new Uint8Array();
  for (let bit = 0; bit < eb.length * 8; bit++) {
    const changed = Uint8Array.from(eb);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(buckets.isOurs('access', JTI, encodeBase64url(changed)), false);
  }
});

test('EB-04 what has not the form of an eb is not ours and throws nothing', () => {
  const eb = buckets.mint('access', JTI);
  for (const value of [undefined, null, '', 0, [eb], { eb }, eb.slice(1), `${eb}A`, `${eb.slice(1)}=`]) {
    assert.equal(buckets.isOurs('access', JTI, value), false);
  }
});

test('EB-02 EB-03 a record matches the bytes it was made of, under their jti, and nothing else', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii' }), fc.string({ unit: 'binary-ascii' }), (one, two) => {
      const stored = buckets.record(JTI, one);
      assert.equal(buckets.matches(stored, JTI, digestOf(one)), true);
      assert.equal(buckets.matches(stored, JTI, digestOf(two)), one === two);
      assert.equal(buckets.matches(stored, `${JTI}2`, digestOf(one)), false);
    }),
  );
});

test('EB-02 a record is no plain digest: whoever writes the database cannot make one', () => {
  const { record } = buckets.record(JTI, 'header.payload');
  assert.notDeepEqual(record, digestOf('header.payload'));
  assert.equal(
    buckets.matches({ version: 1, record: digestOf('header.payload') }, JTI, digestOf('header.payload')),
    false,
  );
});

test('TC-08 EB-04 records and digests of another length are unequal, not an exception', () => {
  const stored = buckets.record(JTI, 'x');
  const digest = digestOf('x');
  assert.equal(buckets.matches(stored, JTI, digest), true);
  assert.equal(buckets.matches(stored, JTI, digest.subarray(1)), false);
  assert.equal(buckets.matches({ ...stored, record: stored.record.subarray(1) }, JTI, digest), false);
  assert.equal(buckets.matches({ ...stored, record: new Uint8Array() }, JTI, new Uint8Array()), false);
  assert.equal(buckets.matches({ ...stored, version: 2 }, JTI, digest), false, 'a version there is no key of');
});

test('EB-02 another store’s buckets recognise nothing of ours', async () => {
  const other = await openStore();
  try {
    const stranger = new Buckets({ ...other, sealer: new Sealer({ masterKey, random }) });
    await stranger.prepare();
    assert.equal(stranger.isOurs('access', JTI, buckets.mint('access', JTI)), false);
    assert.equal(stranger.matches(buckets.record(JTI, 'x'), JTI, digestOf('x')), false);
  } finally {
    await other.close();
  }
});

test('TC-04 the bucket key survives a restart, and a wrong master key finds it sealed and makes no other', async () => {
  const again = bucketsUnder(masterKey);
  await again.prepare();
  assert.equal(again.isOurs('access', JTI, buckets.mint('access', JTI)), true);
  await assert.rejects(bucketsUnder(random.bytes(32)).prepare(), SealBroken);
  assert.equal((await store.read.all('SELECT version FROM bucket_key')).length, 1);
});
