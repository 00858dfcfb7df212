import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCheckResponse } from './authority-client.ts';

const handles = { token: 't', client: 'c', key: 'k' };
const live = { jti: 'a', verdict: 'live', expires_in_ms: 1, handles };
const asked = { tokens: [{ jti: 'a', digest: 'x' }] };

test('an answer is read in the order asked', () => {
  const response = parseCheckResponse(
    { epoch: 3, answers: [live, { jti: 'b', verdict: 'revoked' }] },
    { tokens: [...asked.tokens, { jti: 'b', digest: 'y' }] },
  );
  assert.deepEqual(response, { epoch: 3, answers: [{ kind: 'live', expiresInMs: 1, handles }, { kind: 'revoked' }] });
});

test('a live token without life left is expired', () => {
  for (const expires_in_ms of [0, -1]) {
    const { answers } = parseCheckResponse({ epoch: 1, answers: [{ ...live, expires_in_ms }] }, asked);
    assert.deepEqual(answers, [{ kind: 'expired' }]);
  }
});

test('what is not an answer to the question accepts nothing', () => {
  for (const answer of [
    null,
    [],
    'x',
    { answers: [live] },
    { epoch: '1', answers: [live] },
    { epoch: -1, answers: [live] },
    { epoch: 1 },
    { epoch: 1, answers: {} },
    { epoch: 1, answers: [] },
    { epoch: 1, answers: [live, live] },
    { epoch: 1, answers: [null] },
    { epoch: 1, answers: [{ ...live, jti: 'b' }] },
    { epoch: 1, answers: [{ ...live, jti: undefined }] },
    { epoch: 1, answers: [{ ...live, verdict: 'LIVE' }] },
    { epoch: 1, answers: [{ ...live, verdict: true }] },
    { epoch: 1, answers: [{ ...live, verdict: ['live'] }] },
    { epoch: 1, answers: [{ ...live, expires_in_ms: undefined }] },
    { epoch: 1, answers: [{ ...live, expires_in_ms: 0.5 }] },
    { epoch: 1, answers: [{ ...live, expires_in_ms: '1' }] },
    { epoch: 1, answers: [{ ...live, handles: undefined }] },
    { epoch: 1, answers: [{ ...live, handles: { token: 't', client: 'c' } }] },
    { epoch: 1, answers: [{ ...live, handles: { ...handles, grant: 1 } }] },
    { epoch: 1, answers: [{ ...live, handles: { ...handles, user: null } }] },
  ]) {
    assert.throws(() => parseCheckResponse(answer, asked), { code: 'authority_answer_invalid' });
  }
});
