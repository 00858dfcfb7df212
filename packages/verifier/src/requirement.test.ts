import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Asked, readAsked, readRequirement } from './requirement.ts';

const PROOF = { jwt: 'a.b.c', method: 'GET', url: 'https://api.example/' };

/** With a member that all objects inherit, as a library with a hole lets a request's body hang it there. */
function polluting<T>(name: string, value: unknown, work: () => T): T {
  const everything: Record<string, unknown> = Object.prototype as Record<string, unknown>;
  everything[name] = value;
  try {
    return work();
  } finally {
    delete everything[name];
  }
}

describe('what is asked of a token', () => {
  test('is read with all its members, and with no others', () => {
    const whole = {
      ...{ scopes: ['pay'], mode: 'strict', acrValues: ['urn:a:b', '1'], maxAgeSeconds: 0 },
      ...{ scheme: 'DPoP', proof: PROOF },
    };
    assert.deepEqual({ ...readAsked(whole) }, whole);
    assert.deepEqual({ ...readAsked({}) }, {});
    assert.deepEqual({ ...readRequirement({ scopes: ['a/b', '!'] }) }, { scopes: ['a/b', '!'] });
  });

  test('EB-11 counts wherever it stands: on a class, on what a class extends, on a prototype', () => {
    class Paying {
      get scopes() {
        return ['pay'];
      }
    }
    class PayingStrictly extends Paying {
      override get scopes() {
        return ['pay', 'more'];
      }
      mode = 'strict';
    }
    for (const read of [readAsked, readRequirement]) {
      assert.deepEqual(read(new Paying()).scopes, ['pay']);
      assert.deepEqual({ ...read(new PayingStrictly()) }, { mode: 'strict', scopes: ['pay', 'more'] });
      assert.deepEqual(read(Object.create({ scopes: ['pay'] })).scopes, ['pay']);
      assert.deepEqual(read(Object.create(Object.create(null, { scopes: { value: ['pay'] } }))).scopes, ['pay']);
    }
  });

  test('is read once: a getter that changes its mind, and a list that grows shorter, change nothing', () => {
    let reads = 0;
    const scopes = ['pay'];
    const read = readAsked({
      get scopes() {
        reads++;
        return scopes;
      },
    });
    scopes.length = 0;
    assert.deepEqual([read.scopes, read.scopes, reads], [['pay'], ['pay'], 1]);
    const loose = read as unknown as { scopes: string[]; mode: string };
    assert.throws(() => loose.scopes.pop(), TypeError);
    assert.throws(() => {
      loose.scopes = [];
    }, TypeError);
    assert.throws(() => {
      loose.mode = 'offline';
    }, TypeError);
  });

  test('EB-11 is not what hangs on Object.prototype, neither while it is read nor later', () => {
    for (const read of [readAsked, readRequirement]) {
      const before = read({ scopes: ['pay'] });
      polluting('mode', 'offline', () => {
        assert.equal(before.mode, undefined);
        assert.equal(read({ scopes: ['pay'] }).mode, undefined);
        assert.equal(read({}).mode, undefined);
      });
    }
  });

  test('what was read is handed back as it is, and nothing else is taken for it', () => {
    const read = readAsked({ scopes: ['pay'] });
    assert.equal(readAsked(read), read);
    const copy = { ...read };
    assert.notEqual(readAsked(copy), copy);
    for (const disguised of [Object.create(read), Object.setPrototypeOf({ scopes: ['x'] }, Asked.prototype)]) {
      assert.equal(Asked.isOne(disguised), false);
      assert.notEqual(readAsked(disguised), disguised);
    }
  });
});

describe('what says nothing, or nothing that is known, stops the program instead of letting everybody in', () => {
  const refused: [string, unknown][] = [
    ...[null, '', 'admin', 5, true, ['admin'], [], () => ({}), new Map([['scopes', ['admin']]]), new Date(0)].map(
      (given): [string, unknown] => ['what is no requirement', given],
    ),
    ...[null, undefined, '', 'admin', [], {}, [undefined], [null], [''], ['a', ''], ['a b'], ['a"'], ['a\\'], ['é']]
      .concat([['a\n'], [['a']], new Set(['a']), { 0: 'a', length: 1 }, new Array(1)] as never[])
      .flatMap((value): [string, unknown][] => [
        ['scopes', { scopes: value }],
        ['ways of logging in', { acrValues: value }],
      ]),
    ...[null, undefined, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '60', []].map(
      (maxAgeSeconds): [string, unknown] => ['an age', { maxAgeSeconds }],
    ),
    ...[null, undefined, '', 'lax', 'Strict', ['strict']].map((mode): [string, unknown] => ['a mode', { mode }]),
    ...['scope', 'Scopes', 'constructor', '__proto__', 'toString'].map((name): [string, unknown] => [
      'an unknown member',
      JSON.parse(`{"scopes":["a"],"${name}":["a"]}`),
    ]),
    ['an unknown member by symbol', { [Symbol('scopes')]: ['a'] }],
    ['an unknown member that cannot be seen', Object.defineProperty({}, 'scope', { value: ['a'], enumerable: false })],
    [
      'an unknown member of a class',
      new (class {
        get scope() {
          return ['a'];
        }
      })(),
    ],
    ['an unknown member that is inherited', Object.create({ scope: ['a'] })],
  ];

  for (const [what, given] of refused) {
    const named =
      typeof given === 'object' && given !== null ? Reflect.ownKeys(given).map(String).join() : String(given);
    test(`${what}: ${named} ${JSON.stringify(given) ?? ''}`, () => {
      for (const read of [readAsked, readRequirement]) assert.throws(() => read(given), TypeError);
    });
  }

  test('is told what it should have been', () => {
    for (const given of [['admin'], 'admin', null]) assert.throws(() => readRequirement(given), /it must be an object/);
    assert.throws(() => readRequirement({ scopes: 'admin' }), /`scopes`: it must be a list/);
  });

  test('a presentation is none of a route’s, and has its own words', () => {
    for (const given of [{ scheme: 'Bearer' }, { proof: PROOF }]) {
      assert.throws(() => readRequirement(given), /no member .* may have scopes, mode, acrValues, maxAgeSeconds\./);
    }
    for (const scheme of ['dpop', 'bearer', '', null, undefined, ['DPoP']]) {
      assert.throws(() => readAsked({ scheme }), TypeError, String(scheme));
    }
    for (const proof of [
      null,
      undefined,
      '',
      'a.b.c',
      {},
      { ...PROOF, jwt: undefined },
      { ...PROOF, url: new URL(PROOF.url) },
    ]) {
      assert.throws(() => readAsked({ scheme: 'DPoP', proof }), TypeError, JSON.stringify(proof));
    }
  });
});
