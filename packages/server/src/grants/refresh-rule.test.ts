import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decideRefresh,
  type GrantState,
  MAX_REPEATS,
  type Presented,
  RETRY_MS,
  type RefreshDecision,
} from './refresh-rule.ts';

const NOW = 1_800_000_000_000;
const GRACE_MS = 10_000;
const GRANT: GrantState = {
  generation: 5,
  clientId: 'client',
  hasEnded: false,
  isInForce: true,
  idleExpiresAtMs: NOW + 1_000_000,
  expiresAtMs: NOW + 2_000_000,
  rotatedAtMs: NOW - 1_000,
  rotatedFrom: 'home',
  hasSealedResponse: true,
  hasPreviousRecord: true,
  repeats: 0,
};
const CURRENT: Presented = { generation: 5, isCurrent: true, isPrevious: false, isOurs: true };
const PREVIOUS: Presented = { generation: 4, isCurrent: false, isPrevious: true, isOurs: true };
const OLDER: Presented = { generation: 3, isCurrent: false, isPrevious: false, isOurs: true };
const BY_CLIENT = { clientId: 'client', graceMs: GRACE_MS, address: 'home' };

interface Case {
  grant?: Partial<GrantState> | 'none';
  presented: Presented;
  by?: Partial<typeof BY_CLIENT>;
}
function decide({ grant = {}, presented, by = {} }: Case): RefreshDecision {
  return decideRefresh({
    grant: grant === 'none' ? undefined : { ...GRANT, ...grant },
    presented,
    presenter: { ...BY_CLIENT, ...by },
    nowMs: NOW,
  });
}

const refuse = (why: Extract<RefreshDecision, { kind: 'refuse' }>['why']): RefreshDecision => ({ kind: 'refuse', why });
const ROTATE: RefreshDecision = { kind: 'rotate' };
const REPEAT: RefreshDecision = { kind: 'repeat' };
const THEFT: RefreshDecision = { kind: 'replayed', rings: true };
const CLUMSY: RefreshDecision = { kind: 'replayed', rings: false };
const FORGED: RefreshDecision = { kind: 'forged' };
const TAMPERED: RefreshDecision = { kind: 'tampered' };

const table: [string, Case, RefreshDecision][] = [
  ['the good token rotates', { presented: CURRENT }, ROTATE],
  ['the good token of an ended grant', { presented: CURRENT, grant: { hasEnded: true } }, refuse('revoked')],
  ['the good token of a disabled user', { presented: CURRENT, grant: { isInForce: false } }, refuse('revoked')],
  ['BC-03 the good token at its idle end', { presented: CURRENT, grant: { idleExpiresAtMs: NOW } }, refuse('expired')],
  ['BC-03 a millisecond before its idle end', { presented: CURRENT, grant: { idleExpiresAtMs: NOW + 1 } }, ROTATE],
  ['BC-03 the good token at the absolute end', { presented: CURRENT, grant: { expiresAtMs: NOW } }, refuse('expired')],
  ['the good token with another client', { presented: CURRENT, by: { clientId: 'other' } }, refuse('other_client')],
  ['BC-04 a retry gets the same answer', { presented: PREVIOUS }, REPEAT],
  ['BC-04 a retry from elsewhere, too', { presented: PREVIOUS, by: { address: 'train' } }, REPEAT],
  [
    'BC-04 a retry at the last moment of grace',
    { presented: PREVIOUS, grant: { rotatedAtMs: NOW - GRACE_MS + 1 } },
    REPEAT,
  ],
  ['BC-04 the third repeat', { presented: PREVIOUS, grant: { repeats: MAX_REPEATS - 1 } }, REPEAT],
  [
    'BC-04 a fourth repeat ends nothing',
    { presented: PREVIOUS, grant: { repeats: MAX_REPEATS } },
    refuse('repeated_too_often'),
  ],
  ['BC-04 past grace, from where it rotated', { presented: PREVIOUS, grant: { rotatedAtMs: NOW - RETRY_MS } }, CLUMSY],
  [
    'BC-01 past grace, from elsewhere',
    { presented: PREVIOUS, grant: { rotatedAtMs: NOW - GRACE_MS }, by: { address: 'x' } },
    THEFT,
  ],
  ['BC-01 long past grace', { presented: PREVIOUS, grant: { rotatedAtMs: NOW - RETRY_MS - 1 } }, THEFT],
  [
    'BC-04 without grace the very same millisecond is a replay',
    { presented: PREVIOUS, grant: { rotatedAtMs: NOW }, by: { graceMs: 0 } },
    CLUMSY,
  ],
  ['BC-01 an older generation, from elsewhere', { presented: OLDER, by: { address: 'x' } }, THEFT],
  ['BC-01 an older generation, soon and from home, is clumsy but ends it', { presented: OLDER }, CLUMSY],
  [
    'an older generation with another client kills nothing',
    { presented: OLDER, by: { clientId: 'x' } },
    refuse('other_client'),
  ],
  [
    'a predecessor with another client kills nothing',
    { presented: PREVIOUS, grant: { rotatedAtMs: 0 }, by: { clientId: 'x' } },
    refuse('other_client'),
  ],
  ['an older generation of an ended grant', { presented: OLDER, grant: { hasEnded: true } }, refuse('revoked')],
  ['an older generation after the absolute end', { presented: OLDER, grant: { expiresAtMs: NOW } }, refuse('expired')],
  ['the current generation in other bytes, our tag', { presented: { ...CURRENT, isCurrent: false } }, TAMPERED],
  [
    'the current generation in other bytes, no tag',
    { presented: { ...CURRENT, isCurrent: false, isOurs: false } },
    FORGED,
  ],
  ['the predecessor in other bytes, our tag', { presented: { ...PREVIOUS, isPrevious: false } }, TAMPERED],
  ['the predecessor in other bytes, no tag', { presented: { ...PREVIOUS, isPrevious: false, isOurs: false } }, FORGED],
  ['an older generation without our tag', { presented: { ...OLDER, isOurs: false } }, FORGED],
  [
    'a forgery against an ended grant is still one',
    { presented: { ...OLDER, isOurs: false }, grant: { hasEnded: true } },
    FORGED,
  ],
  [
    'a forgery by another client is still one',
    { presented: { ...OLDER, isOurs: false }, by: { clientId: 'x' } },
    FORGED,
  ],
  [
    'a later generation with our tag: a rotation was lost',
    { presented: { ...CURRENT, generation: 6, isCurrent: false } },
    refuse('unknown'),
  ],
  [
    'a later generation without our tag',
    { presented: { ...CURRENT, generation: 6, isCurrent: false, isOurs: false } },
    FORGED,
  ],
  ['no such grant, our tag', { presented: { ...CURRENT, isCurrent: false }, grant: 'none' }, refuse('unknown')],
  ['no such grant, no tag', { presented: { ...CURRENT, isCurrent: false, isOurs: false }, grant: 'none' }, FORGED],
  [
    'after a restore that lost the predecessor’s record, the predecessor is old, not tampered with',
    {
      presented: { ...PREVIOUS, isPrevious: false },
      grant: { hasPreviousRecord: false, hasSealedResponse: false, rotatedFrom: undefined },
    },
    CLUMSY,
  ],
  [
    'after such a restore one that is older still was copied',
    {
      presented: { ...PREVIOUS, generation: PREVIOUS.generation - 1, isPrevious: false },
      grant: { hasPreviousRecord: false, hasSealedResponse: false, rotatedFrom: undefined },
    },
    THEFT,
  ],
  [
    'after a restore that lost the predecessor’s record, a forgery is still one',
    { presented: { ...PREVIOUS, isPrevious: false, isOurs: false }, grant: { hasPreviousRecord: false } },
    FORGED,
  ],
];
for (const [what, given, expected] of table) {
  test(`${what}: ${expected.kind === 'refuse' ? expected.why : expected.kind}`, () => {
    assert.deepEqual(decide(given), expected);
  });
}

/** One act in the life of a family: time passes, then somebody presents something. */
const act = fc.record({
  waitMs: fc.oneof(fc.nat(3_000), fc.nat(40_000), fc.constantFrom(0, GRACE_MS - 1, GRACE_MS)),
  /** How many generations back from the newest; negative: one that was never issued. */
  back: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(0, 1) },
    { weight: 1, arbitrary: fc.integer({ min: -2, max: 6 }) },
  ),
  how: fc.constantFrom(
    'genuine' as const,
    'genuine' as const,
    'genuine' as const,
    'forged' as const,
    'tampered' as const,
  ),
  clientId: fc.constantFrom('client', 'client', 'client', 'other'),
  address: fc.constantFrom('home', 'elsewhere'),
});

test('BC-01 BC-04 over random histories: one successor each, forgers end nothing, thieves always, honest retries never', () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
      let nowMs = NOW;
      const grant: GrantState = {
        ...GRANT,
        generation: 1,
        rotatedAtMs: undefined,
        rotatedFrom: undefined,
        hasSealedResponse: false,
        expiresAtMs: NOW + 1e9,
        idleExpiresAtMs: NOW + 1e9,
      };
      const successors = new Map<number, Set<number>>();
      for (const { waitMs, back, how, clientId, address } of acts) {
        nowMs += waitMs;
        const generation = grant.generation - back;
        const isGenuine = how === 'genuine' && generation >= 1 && back >= 0;
        const before = { ...grant };
        const decision = decideRefresh({
          grant,
          presented: {
            generation,
            isCurrent: isGenuine && back === 0,
            isPrevious: isGenuine && back === 1,
            isOurs: isGenuine || how === 'tampered',
          },
          presenter: { clientId, graceMs: GRACE_MS, address },
          nowMs,
        });
        if (decision.kind === 'rotate') {
          note(successors, generation, generation + 1);
          Object.assign(grant, {
            generation: generation + 1,
            rotatedAtMs: nowMs,
            rotatedFrom: address,
            hasSealedResponse: true,
            repeats: 0,
          });
        }
        if (decision.kind === 'repeat') {
          note(successors, generation, grant.generation);
          grant.repeats++;
        }
        if (decision.kind === 'replayed') Object.assign(grant, { hasEnded: true, hasSealedResponse: false });

        const isDead = before.hasEnded;
        const isChanged = decision.kind === 'rotate' || decision.kind === 'repeat' || decision.kind === 'replayed';
        if (isChanged) assert.equal(isDead, false, 'dead is final');
        if (isChanged) assert.equal(clientId, 'client', 'another client changes nothing');
        if (how === 'forged' || back < 0) assert.equal(isChanged, false, 'a forgery changes nothing');
        if (how === 'tampered' && back <= 1) assert.equal(isChanged, false, 'nor do other bytes under a known record');
        if (!isGenuine || clientId !== 'client' || isDead) continue;
        const sinceMs = nowMs - (before.rotatedAtMs ?? Number.NEGATIVE_INFINITY);
        if (back === 0) assert.equal(decision.kind, 'rotate');
        if (back >= 2) assert.equal(grant.hasEnded, true, 'an older generation is theft');
        if (back === 1 && sinceMs >= GRACE_MS) assert.equal(grant.hasEnded, true, 'a predecessor past grace is theft');
        if (back === 1 && sinceMs < GRACE_MS) assert.equal(grant.hasEnded, false, 'a retry within grace ends nothing');
      }
      for (const made of successors.values()) assert.equal(made.size, 1);
    }),
    { numRuns: 2_000 },
  );
});

function note(successors: Map<number, Set<number>>, of: number, successor: number): void {
  successors.set(of, (successors.get(of) ?? new Set()).add(successor));
}
