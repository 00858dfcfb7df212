import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { systemRandom } from '../world/random.ts';
import { canonicalAddress, LIMITS, Limits, networkOf } from './limits.ts';

function steered(overrides: ConstructorParameters<typeof Limits>[0]['overrides'] = {}, maxKeys?: number) {
  const clock = { nowMs: 1_000_000, now: () => clock.nowMs };
  const limits = new Limits({ clock, random: systemRandom, overrides, ...(maxKeys === undefined ? {} : { maxKeys }) });
  return { clock, limits };
}

describe('limits', () => {
  test('takes up to the points, then says when to come back, then opens again', () => {
    const { clock, limits } = steered({ cleartextPerPeer: { points: 2, durationSeconds: 60 } });
    assert.deepEqual(limits.take('cleartextPerPeer', 'a'), { kind: 'ok' });
    assert.deepEqual(limits.take('cleartextPerPeer', 'a'), { kind: 'ok' });
    clock.nowMs += 10_500;
    assert.deepEqual(limits.take('cleartextPerPeer', 'a'), { kind: 'limited', retryAfterSeconds: 50 });
    assert.deepEqual(limits.take('cleartextPerPeer', 'b'), { kind: 'ok' });
    clock.nowMs += 49_500;
    assert.deepEqual(limits.take('cleartextPerPeer', 'a'), { kind: 'ok' });
  });

  test('refused takes do not prolong or deepen the limit', () => {
    const { clock, limits } = steered({ loginPerAddress: { points: 1, durationSeconds: 10 } });
    limits.take('loginPerAddress', 'a');
    for (let i = 0; i < 100; i++) limits.take('loginPerAddress', 'a');
    clock.nowMs += 10_000;
    assert.equal(limits.take('loginPerAddress', 'a').kind, 'ok');
  });

  test('OA-18 a client is limited where the guessing comes from, and nowhere else', () => {
    const { limits } = steered();
    const client = 'oauth2client_x';
    for (let i = 0; i < LIMITS.clientSecretPerNetwork.points; i++) {
      assert.equal(limits.take('clientSecretPerNetwork', `${client}|203.0.113.9`).kind, 'ok');
    }
    assert.equal(limits.take('clientSecretPerNetwork', `${client}|203.0.113.9`).kind, 'limited');
    assert.equal(limits.take('clientSecretPerNetwork', `${client}|198.51.100.1`).kind, 'ok');
  });

  test('a good try gives its point back; forget starts afresh', () => {
    const { limits } = steered({ codePerAddress: { points: 1, durationSeconds: 60 } });
    limits.take('codePerAddress', 'a');
    assert.equal(limits.take('codePerAddress', 'a').kind, 'limited');
    limits.giveBack('codePerAddress', 'a');
    assert.equal(limits.take('codePerAddress', 'a').kind, 'ok');
    assert.equal(limits.take('codePerAddress', 'a').kind, 'limited');
    limits.forget('codePerAddress', 'a');
    assert.equal(limits.take('codePerAddress', 'a').kind, 'ok');
  });

  test('a limit of thirty days counts thirty days', () => {
    const { clock, limits } = steered({ codePerAddress: { points: 1 } });
    limits.take('codePerAddress', 'a');
    clock.nowMs += 29 * 86_400_000;
    assert.equal(limits.take('codePerAddress', 'a').kind, 'limited');
  });

  test('a flood of strange keys neither lifts a limit nor goes uncounted', () => {
    const { limits } = steered({ loginPerNetwork: { points: 5 } }, 10);
    for (let i = 0; i < 5; i++) limits.take('loginPerNetwork', 'victim');
    let refused = 0;
    for (let i = 0; i < 50_000; i++) if (limits.take('loginPerNetwork', `stranger-${i}`).kind === 'limited') refused++;
    assert.equal(limits.take('loginPerNetwork', 'victim').kind, 'limited');
    assert.ok(refused > 25_000, 'keys past the cap share few counters');
  });

  test('long keys, of which a stranger can send many, are not kept whole, and are told apart to their last character', () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const { limits } = steered({ clientSecretPerNetwork: { points: 1 } });
    const longKey = (number: number) => Buffer.from(`${'x'.repeat(16_380)}${number}`).toString('latin1'); // flat, as from a form
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 2_000; i++) {
      assert.equal(limits.take('clientSecretPerNetwork', longKey(i)).kind, 'ok');
    }
    collectGarbage();
    assert.ok(process.memoryUsage().heapUsed - before < 8_000_000, 'of 32 megabytes of keys little is left');
    assert.equal(limits.take('clientSecretPerNetwork', longKey(7)).kind, 'limited');
    limits.giveBack('clientSecretPerNetwork', longKey(7));
    assert.equal(limits.take('clientSecretPerNetwork', longKey(7)).kind, 'ok');
    limits.forget('clientSecretPerNetwork', longKey(8));
    assert.equal(limits.take('clientSecretPerNetwork', longKey(8)).kind, 'ok');
  });

  test('a clock that was ahead and is set back leaves nobody limited until that time comes', () => {
    const { clock, limits } = steered({ loginPerAddress: { points: 1, durationSeconds: 60 } });
    clock.nowMs += 365 * 86_400_000;
    for (const key of ['a', 'b']) limits.take('loginPerAddress', key);
    assert.equal(limits.take('loginPerAddress', 'a').kind, 'limited');
    clock.nowMs -= 365 * 86_400_000;
    assert.equal(limits.take('loginPerAddress', 'a').kind, 'ok');
    assert.equal(limits.take('loginPerAddress', 'b').kind, 'ok');
    assert.deepEqual(limits.take('loginPerAddress', 'a'), { kind: 'limited', retryAfterSeconds: 60 });
  });

  test('ended counters make room again', () => {
    const { clock, limits } = steered({ loginPerNetwork: { points: 1, durationSeconds: 1 } }, 2);
    for (const key of ['a', 'b', 'c']) limits.take('loginPerNetwork', key);
    clock.nowMs += 1000;
    for (const key of ['d', 'e']) assert.equal(limits.take('loginPerNetwork', key).kind, 'ok');
    limits.forget('loginPerNetwork', 'd');
    assert.equal(limits.take('loginPerNetwork', 'd').kind, 'ok', 'd was counted by itself');
  });
});

describe('networkOf (attack 19)', () => {
  test('an IPv4 address is its own network, also when mapped into IPv6', () => {
    for (const spelling of ['192.0.2.7', '::ffff:192.0.2.7', '::FFFF:C000:0207', '0:0:0:0:0:ffff:c000:207']) {
      assert.equal(networkOf(spelling), '192.0.2.7', spelling);
    }
  });

  test('IPv6 counts by /64 in one spelling', () => {
    for (const spelling of ['2001:db8:0:1::1', '2001:DB8::1:ffff:ffff:ffff:ffff', '2001:0db8:0000:0001:0:0:0:2%eth0']) {
      assert.equal(networkOf(spelling), '2001:db8:0:1::/64', spelling);
    }
    assert.notEqual(networkOf('2001:db8:0:2::1'), networkOf('2001:db8:0:1::1'));
  });

  test('what is no address shares one counter', () => {
    for (const text of [undefined, '', 'evil', '1.2.3', '0x7f.1', '010.0.0.1', '1.2.3.4.5', '::g']) {
      assert.equal(networkOf(text), 'unknown', String(text));
      assert.equal(canonicalAddress(text), undefined);
    }
  });
});
