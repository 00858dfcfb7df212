/** The judge of the cluster's stories: it finds each thing that must not be, and is silent on what may be. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Judge } from './judge.ts';

const BOUND_MS = 3_000;
const ROTATION = { family: 'f', presented: 'r1', successor: 'r2', accessToken: token('a2'), supersedes: true };

function token(jti: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'ES256' })}.${part({ jti })}.signature`;
}

function judged(tell: (judge: Judge) => void): readonly string[] {
  const judge = new Judge({ boundMs: BOUND_MS });
  judge.issued(token('a1'), 'f');
  tell(judge);
  return judge.violations;
}

const WRONG: [RegExp, (judge: Judge) => void][] = [
  [/forked/, (judge) => ['r2', 'r3'].map((successor) => judge.rotated({ ...ROTATION, successor }))],
  [/died/, (judge) => judge.refusedRefresh({ family: 'f', status: 400, error: 'invalid_grant', lost: 3 })],
  [
    /accepted a1 3001 ms after/,
    (judge) => {
      judge.revoked(token('a1'), 1_000);
      judge.saw('api', token('a1'), { outcome: 'accepted', atMs: 4_001 });
    },
  ],
  [
    /accepted a2 .* after/,
    (judge) => {
      judge.ended('f', 1_000);
      judge.issued(token('a2'), 'f'); // told late
      judge.saw('api', token('a2'), { outcome: 'accepted', atMs: 4_001 });
    },
  ],
  [/refused a1/, (judge) => judge.saw('api', token('a1'), { outcome: 'token_revoked', atMs: 1 })],
  [/refused a1/, (judge) => judge.saw('api', token('a1'), { outcome: 'token_superseded', atMs: 1 })],
  [
    /refused a1/,
    (judge) => {
      judge.rotated({ ...ROTATION, supersedes: false });
      judge.saw('api', token('a1'), { outcome: 'token_superseded', atMs: 1 });
    },
  ],
  [/lost a1/, (judge) => judge.heard('node', token('a1'), { verdict: 'unknown', askedAtMs: 1 })],
  [
    /a1 lives/,
    (judge) => {
      judge.revoked(token('a1'), 1_000);
      judge.heard('node', token('a1'), { verdict: 'live', askedAtMs: 1_001 });
    },
  ],
  [
    /a1 lives/,
    (judge) => {
      judge.restored(1_000);
      judge.heard('node', token('a1'), { verdict: 'live', askedAtMs: 1_001 });
    },
  ],
];

const RIGHT: [string, (judge: Judge) => void][] = [
  ['a repeated answer', (judge) => [1, 2].map(() => judge.rotated(ROTATION))],
  [
    'an answer lost too often',
    (judge) => judge.refusedRefresh({ family: 'f', status: 400, error: 'invalid_grant', lost: 4 }),
  ],
  [
    'a family that somebody asked to end',
    (judge) => {
      judge.asksToEnd('f');
      judge.refusedRefresh({ family: 'f', status: 400, error: 'invalid_grant', lost: 0 });
      judge.saw('api', token('a1'), { outcome: 'token_revoked', atMs: 1 });
      judge.saw('api', token('a1'), { outcome: 'accepted', atMs: 9_000 });
    },
  ],
  [
    'an acceptance within the bound',
    (judge) => {
      judge.revoked(token('a1'), 1_000);
      judge.saw('api', token('a1'), { outcome: 'accepted', atMs: 4_000 });
      judge.heard('node', token('a1'), { verdict: 'live', askedAtMs: 999 });
    },
  ],
  ['failing closed', (judge) => judge.saw('api', token('a1'), { outcome: 'authority_unreachable', atMs: 1 })],
  [
    'a superseded token',
    (judge) => {
      judge.rotated(ROTATION);
      judge.saw('api', token('a1'), { outcome: 'token_superseded', atMs: 1 });
      judge.heard('node', token('a1'), { verdict: 'superseded', askedAtMs: 1 });
    },
  ],
  [
    'whatever a restore took',
    (judge) => {
      judge.restoring();
      judge.saw('api', token('a1'), { outcome: 'token_unknown', atMs: 1 });
      judge.refusedRefresh({ family: 'f', status: 400, error: 'invalid_grant', lost: 0 });
    },
  ],
];

describe('the judge', () => {
  test('lets pass, where clocks differ, that good ones are refused, and nothing else', () => {
    const judge = new Judge({ boundMs: BOUND_MS, clocksDiffer: true });
    judge.issued(token('a1'), 'f');
    judge.refusedRefresh({ family: 'f', status: 400, error: 'invalid_grant', lost: 0 });
    judge.saw('api', token('a1'), { outcome: 'token_not_yet_valid', atMs: 1 });
    judge.heard('node', token('a1'), { verdict: 'expired', askedAtMs: 1 });
    assert.deepEqual(judge.violations, []);
    judge.revoked(token('a1'), 1_000);
    judge.saw('api', token('a1'), { outcome: 'accepted', atMs: 4_001 });
    assert.equal(judge.violations.length, 1);
  });

  for (const [index, [says, tell]] of WRONG.entries()) {
    test(`finds ${says} (${index + 1})`, () => {
      const found = judged(tell);
      assert.equal(found.length, 1, found.join('\n'));
      assert.match(found[0] ?? '', says);
    });
  }
  for (const [what, tell] of RIGHT) {
    test(`lets pass: ${what}`, () => assert.deepEqual(judged(tell), []));
  }
});
