import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type DecisionFacts, decideStep } from './decision.ts';
import type { Prompt } from './request.ts';

const NOW = 1_800_000_000_000;
const REQUEST: DecisionFacts['request'] = {
  clientId: 'oauth2client_1',
  redirectUri: 'https://app.example/cb',
  isRedirectUriSent: true,
  state: undefined,
  scope: ['openid', 'accounts:read'],
  codeChallenge: 'c',
  nonce: undefined,
  prompt: [],
  maxAgeSeconds: undefined,
  loginHint: undefined,
  hintedUserId: undefined,
  startedAtMs: NOW - 1_000,
};
/** A confidential client, a user who logged in an hour ago and agreed to everything. */
const FACTS: DecisionFacts = {
  request: REQUEST,
  session: { userId: 'user_1', authTimeMs: NOW - 3_600_000 },
  isIdentityAssured: true,
  consentedScope: ['openid', 'accounts:read', 'email'],
  nowMs: NOW,
};
const FRESH = { userId: 'user_1', authTimeMs: NOW - 500 };

function decide(facts: Partial<DecisionFacts>, request: Partial<DecisionFacts['request']> = {}): string {
  const step = decideStep({ ...FACTS, ...facts, request: { ...REQUEST, ...request } });
  return step.kind === 'refuse' ? step.error : step.kind;
}

const table: [string, string, Partial<DecisionFacts>, Partial<DecisionFacts['request']>?][] = [
  ['everything is there', 'issue', {}],
  ['nobody is logged in', 'login', { session: undefined }],
  ['prompt=login', 'login', {}, { prompt: ['login'] }],
  ['prompt=login, and a login since the request began', 'issue', { session: FRESH }, { prompt: ['login'] }],
  ['prompt=select_account', 'login', {}, { prompt: ['select_account'] }],
  ['max_age is over', 'login', {}, { maxAgeSeconds: 3_599 }],
  ['max_age is just not over', 'issue', {}, { maxAgeSeconds: 3_600 }],
  ['max_age=0', 'login', {}, { maxAgeSeconds: 0 }],
  ['max_age=0, and a login since', 'issue', { session: FRESH }, { maxAgeSeconds: 0 }],
  ['the hint names another user', 'login', {}, { hintedUserId: 'user_2' }],
  ['the hint names this user', 'issue', {}, { hintedUserId: 'user_1' }],
  ['never agreed', 'consent', { consentedScope: undefined }],
  ['agreed to less', 'consent', { consentedScope: ['openid'] }],
  ['prompt=consent', 'consent', {}, { prompt: ['consent'] }],
  ['a public client, although the user agreed before', 'consent', { isIdentityAssured: false }],
  ['prompt=login consent, logged in since', 'consent', { session: FRESH }, { prompt: ['login', 'consent'] }],
  ['prompt=none and everything is there', 'issue', {}, { prompt: ['none'] }],
  ['prompt=none and nobody is logged in', 'login_required', { session: undefined }, { prompt: ['none'] }],
  ['prompt=none and max_age is over', 'login_required', {}, { prompt: ['none'], maxAgeSeconds: 1 }],
  ['prompt=none and another user is hinted', 'login_required', {}, { prompt: ['none'], hintedUserId: 'user_2' }],
  ['prompt=none and the user would be asked', 'consent_required', { consentedScope: undefined }, { prompt: ['none'] }],
  ['prompt=none from a public client', 'consent_required', { isIdentityAssured: false }, { prompt: ['none'] }],
];
for (const [what, expected, facts, request] of table) {
  test(`${what}: ${expected}`, () => assert.equal(decide(facts, request), expected));
}

const prompt = fc.constantFrom<Prompt[]>(
  [],
  ['none'],
  ['login'],
  ['consent'],
  ['select_account'],
  ['login', 'consent'],
);

test('a code is never issued without a session, to a public client unasked, or beyond what was agreed to', () => {
  fc.assert(
    fc.property(
      fc.record({
        prompt,
        hasSession: fc.boolean(),
        ageSeconds: fc.nat(10_000),
        isIdentityAssured: fc.boolean(),
        consentedScope: fc.option(fc.subarray(['openid', 'accounts:read', 'email']), { nil: undefined }),
        maxAgeSeconds: fc.option(fc.nat(10_000), { nil: undefined }),
        hintedUserId: fc.constantFrom(undefined, 'user_1', 'user_2'),
      }),
      ({ prompt, hasSession, ageSeconds, isIdentityAssured, consentedScope, maxAgeSeconds, hintedUserId }) => {
        const authTimeMs = NOW - ageSeconds * 1_000;
        const session = hasSession ? { userId: 'user_1', authTimeMs } : undefined;
        const step = decide({ session, isIdentityAssured, consentedScope }, { prompt, maxAgeSeconds, hintedUserId });
        if (prompt.includes('none')) assert.notEqual(step, 'login');
        if (prompt.includes('none')) assert.notEqual(step, 'consent');
        if (step !== 'issue') return;
        assert.ok(session && isIdentityAssured && !prompt.includes('consent'));
        assert.ok(REQUEST.scope.every((word) => consentedScope?.includes(word)));
        assert.notEqual(hintedUserId, 'user_2');
        const isFresh = authTimeMs >= REQUEST.startedAtMs;
        if (maxAgeSeconds !== undefined && !isFresh) assert.ok(ageSeconds <= maxAgeSeconds);
        if (prompt.includes('login')) assert.ok(isFresh);
      },
    ),
    { numRuns: 1_000 },
  );
});
