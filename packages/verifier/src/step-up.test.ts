import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authenticationProblem } from './step-up.ts';

const NOW_MS = 1_800_000_000_000;
const NOW = NOW_MS / 1000;
const PROBLEM = 'authentication_insufficient';

test('EB-11 without a requirement every login will do', () => {
  assert.equal(authenticationProblem({}, {}, NOW_MS), undefined);
  assert.equal(authenticationProblem({}, { acrValues: [] }, NOW_MS), undefined);
});

test('EB-11 the login must be one of those listed, letter by letter', () => {
  const required = { acrValues: ['urn:mfa', 'urn:hardware'] };
  for (const acr of required.acrValues) assert.equal(authenticationProblem({ acr }, required, NOW_MS), undefined);
  for (const acr of [undefined, '', 'urn:MFA', 'urn', 'urn:mfa urn:hardware', ['urn:mfa'], 1, null]) {
    assert.equal(authenticationProblem({ acr }, required, NOW_MS), PROBLEM);
  }
});

test('EB-11 the login must be as recent as asked', () => {
  const required = { maxAgeSeconds: 300 };
  for (const [auth_time, problem] of [
    [NOW, undefined],
    [NOW - 300, undefined],
    [NOW - 300.001, PROBLEM],
    [0, PROBLEM],
    [NOW + 20, undefined],
  ] as const) {
    assert.equal(authenticationProblem({ auth_time }, required, NOW_MS), problem);
  }
  assert.equal(authenticationProblem({ auth_time: NOW }, { maxAgeSeconds: 0 }, NOW_MS), undefined);
  assert.equal(authenticationProblem({ auth_time: NOW - 1 }, { maxAgeSeconds: 0 }, NOW_MS), PROBLEM);
});

test('EB-11 a token that does not say when its user logged in is not recent', () => {
  for (const auth_time of [undefined, null, `${NOW}`, Number.NaN, Number.POSITIVE_INFINITY, {}, true]) {
    assert.equal(authenticationProblem({ auth_time }, { maxAgeSeconds: Number.MAX_SAFE_INTEGER }, NOW_MS), PROBLEM);
  }
});

test('EB-11 both must hold', () => {
  const required = { acrValues: ['a'], maxAgeSeconds: 10 };
  assert.equal(authenticationProblem({ acr: 'a', auth_time: NOW }, required, NOW_MS), undefined);
  assert.equal(authenticationProblem({ acr: 'b', auth_time: NOW }, required, NOW_MS), PROBLEM);
  assert.equal(authenticationProblem({ acr: 'a', auth_time: NOW - 11 }, required, NOW_MS), PROBLEM);
});
