import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EvidenceReporter } from './evidence.ts';

test('thirty reports of one key a minute, then they are counted only', async () => {
  let nowMs = 0;
  const sent: string[] = [];
  const evidence = new EvidenceReporter({
    send: async ({ token }) => void sent.push(token),
    clock: { now: () => nowMs, monotonicMs: () => nowMs },
  });
  const report = async (kid: string) => {
    evidence.report({ kid, token: 'x' });
    await evidence.settled();
  };
  for (let i = 0; i < 31; i++) await report('a');
  assert.deepEqual(evidence.counts(), { sent: 30, failed: 0, suppressed: 1 });
  await report('b');
  assert.equal(evidence.counts().sent, 31);
  nowMs += 59_999;
  await report('a');
  assert.equal(evidence.counts().suppressed, 2);
  nowMs += 1;
  await report('a');
  assert.equal(sent.length, 32);
});

test('eight reports under way at most', async () => {
  const finish: (() => void)[] = [];
  const send = () => new Promise<void>((resolve) => finish.push(resolve));
  const evidence = new EvidenceReporter({ send, clock: { now: () => 0, monotonicMs: () => 0 } });
  for (let i = 0; i < 9; i++) evidence.report({ kid: 'a', token: 'x' });
  assert.equal(finish.length, 8);
  for (const each of finish) each();
  await evidence.settled();
  assert.deepEqual(evidence.counts(), { sent: 8, failed: 0, suppressed: 1 });
});

test('a report that fails is counted and disturbs nobody', async () => {
  const evidence = new EvidenceReporter({
    send: () => Promise.reject(new Error('away')),
    clock: { now: () => 0, monotonicMs: () => 0 },
  });
  evidence.report({ kid: 'a', token: 'x' });
  await evidence.settled();
  assert.deepEqual(evidence.counts(), { sent: 0, failed: 1, suppressed: 0 });
});
