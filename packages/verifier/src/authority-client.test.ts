import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CheckRequest, MAX_CHECK_BATCH } from '@countersign/protocol';
import { AuthorityClient, parseCheckResponse } from './authority-client.ts';
import { Breaker } from './breaker.ts';
import type { AuthorityConnection } from './connection.ts';
import type { Discovery } from './discovery.ts';
import { AuthorityError } from './errors.ts';
import { eventually } from './testing/eventually.ts';

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

/** A client whose calls are answered by the test, and whose clock it sets. */
function steeredClient({ timeoutMs = 1_000 } = {}) {
  const calls: { questions: CheckRequest['tokens']; end: PromiseWithResolvers<unknown> }[] = [];
  const clock = { nowMs: 0, now: () => clock.nowMs, monotonicMs: () => clock.nowMs };
  const client = new AuthorityClient({
    discovery: { metadata: async () => ({ countersign_check_endpoint: 'x' }) } as unknown as Discovery, // all it reads of it
    connection: {
      call: ({ body }: { body: CheckRequest }) => {
        const end = Promise.withResolvers<unknown>();
        calls.push({ questions: body.tokens, end });
        return end.promise;
      },
    } as unknown as AuthorityConnection, // the same
    breaker: new Breaker({ clock, random: () => 1 }),
    clock,
    timeoutMs,
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  /** `live`, or the code of why not; by the order asked. */
  const outcomes: string[] = [];
  const ask = (count: number) => {
    for (let i = 0; i < count; i++) {
      const index = outcomes.push('waits') - 1;
      client.check({ jti: `jti-${index}`, digest: 'x' }).then(
        ({ record }) => {
          outcomes[index] = record.kind;
        },
        (error: AuthorityError) => {
          outcomes[index] = error.code;
        },
      );
    }
  };
  const answer = (call: (typeof calls)[number] | undefined) =>
    call?.end.resolve({ epoch: 1, answers: call.questions.map(({ jti }) => ({ ...live, jti })) });
  const settle = async () => {
    for (let i = 0; i < 4; i++) await turn();
  };
  const counts = () => {
    const counted: Record<string, number> = {};
    for (const outcome of outcomes) counted[outcome] = (counted[outcome] ?? 0) + 1;
    return counted;
  };
  return { calls, clock, ask, answer, settle, counts };
}

/** Calls at once, and questions in each. */
const [CALLS, BATCH] = [8, MAX_CHECK_BATCH];

test('EB-10 a question waits for its call no longer than a call may take, whether calls end or not', async () => {
  const { calls, clock, ask, answer, settle, counts } = steeredClient();
  ask(CALLS * BATCH + 100);
  await settle();
  assert.equal(calls.length, CALLS);
  clock.nowMs += 1_000;
  answer(calls[0]); // there is room now, but for whom?
  await settle();
  assert.equal(calls.length, CALLS, 'those are asked no more');
  assert.deepEqual(counts(), { live: BATCH, waits: (CALLS - 1) * BATCH, authority_unreachable: 100 });
});

test('EB-10 a question whose calls hang is let go by a timer', async () => {
  const { clock, ask, settle, counts } = steeredClient({ timeoutMs: 20 });
  ask(CALLS * BATCH + 1);
  await settle();
  clock.nowMs += 20;
  const keepAlive = setInterval(() => {}, 1_000); // the timer holds no process open
  await eventually('it is let go', () => counts().authority_unreachable === 1);
  clearInterval(keepAlive);
});

test('EB-10 questions that waited while the authority was found away are not asked any more', async () => {
  const { calls, ask, settle, counts } = steeredClient();
  ask(CALLS * BATCH + 600);
  await settle();
  for (const { end } of calls.slice(0, 3)) end.reject(new AuthorityError('authority_unreachable', 'away'));
  await settle();
  assert.equal(calls.length, CALLS);
  assert.deepEqual(counts(), { authority_unreachable: 3 * BATCH + 600, waits: (CALLS - 3) * BATCH });
});

test('EB-10 after an outage one call is the probe, with all that its turn asks; the rest is told so', async () => {
  const { calls, clock, ask, answer, settle, counts } = steeredClient();
  for (let i = 0; i < 3; i++) {
    ask(1);
    await settle();
    calls[i]?.end.reject(new AuthorityError('authority_unreachable', 'away'));
    await settle();
  }
  ask(10);
  await settle();
  assert.equal(calls.length, 3);
  clock.nowMs += 250;
  ask(BATCH + 5);
  await settle();
  assert.equal(calls.length, 4);
  assert.deepEqual(counts(), { authority_unreachable: 3 + 10 + 5, waits: BATCH });
  answer(calls[3]);
  await settle();
  ask(1);
  await settle();
  assert.equal(calls.length, 5, 'and now it is asked as ever');
});
