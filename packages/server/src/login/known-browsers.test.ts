import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sealer } from '../sealing/sealing.ts';
import { systemRandom } from '../world/random.ts';
import { KnownBrowsers } from './known-browsers.ts';

const sealed = () => new KnownBrowsers(new Sealer({ masterKey: systemRandom.bytes(32), random: systemRandom }));

test('a browser is known for the last five addresses it logged in with, and for no other', () => {
  const known = sealed();
  let cookie: string | undefined;
  for (let number = 1; number <= 6; number++) cookie = known.remember(cookie, `user${number}@example.com`);
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6].map((number) => known.knows(cookie, `user${number}@example.com`)),
    [false, true, true, true, true, true],
  );
  cookie = known.remember(cookie, 'user2@example.com');
  cookie = known.remember(cookie, 'user7@example.com');
  assert.ok(known.knows(cookie, 'user2@example.com'), 'a login again makes an address the newest');
  assert.ok(!known.knows(cookie, 'user3@example.com'));
});

test('the cookie fits, reads as nothing, and counts under its own master key only', () => {
  const known = sealed();
  let cookie: string | undefined;
  for (let number = 0; number < 9; number++) cookie = known.remember(cookie, `user${number}@example.com`);
  assert.ok(cookie && cookie.length <= 512);
  assert.ok(!Buffer.from(cookie, 'base64url').toString('latin1').includes('user8'));
  assert.ok(!sealed().knows(cookie, 'user8@example.com'));
  for (const odd of [undefined, '', 'A', '!!', `${cookie}AAAA`]) assert.ok(!known.knows(odd, 'user8@example.com'));
});
