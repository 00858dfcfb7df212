import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReportRequest } from '@countersign/protocol';
import { EvidenceReporter } from './evidence.ts';

test('thirty reports of one key a minute, then they are counted only', async () => {
  let nowMs = 0;
  const sent: string[] = [];
  const evidence = new EvidenceReporter({
    send: async ({ token }) => void sent.push(token),
    clock: { now: () => nowMs, monotonicMs: () => nowMs },
  });
  let made = 0;
  const report = async (kid: string) => {
    evidence.report({ kid, token: `token ${++made}` });
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
  for (let i = 0; i < 9; i++) evidence.report({ kid: 'a', token: `token ${i}` });
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
  await evidence.close();
  assert.deepEqual(evidence.counts(), { sent: 0, failed: 1, suppressed: 0 });
});

test('one token is shown once a minute, however often it is seen: its repetitions are counted, and crowd nobody out', async () => {
  let nowMs = 0;
  const sent: ReportRequest[] = [];
  const evidence = new EvidenceReporter({
    send: async (report) => void sent.push(report),
    clock: { now: () => nowMs, monotonicMs: () => nowMs },
  });
  const report = async (token: string) => {
    evidence.report({ kid: 'a', token });
    await evidence.settled();
  };
  for (let i = 0; i < 100; i++) await report('the same');
  await report('another');
  assert.deepEqual(sent, [{ token: 'the same' }, { token: 'another', suppressed: 99 }]);
  nowMs += 60_000;
  await report('the same');
  assert.deepEqual(sent[2], { token: 'the same' });
});

test('of each key one report that failed is tried again until it succeeds; what others held is counted with it', async () => {
  const sent: ReportRequest[] = [];
  const arrived = Promise.withResolvers<void>();
  let isAway = true;
  const evidence = new EvidenceReporter({
    send: async (report) => {
      if (isAway) throw new Error('away');
      sent.push(report);
      arrived.resolve();
    },
    clock: { now: () => 0, monotonicMs: () => 0 },
  });
  for (const token of ['first', 'second', 'third']) evidence.report({ kid: 'a', token });
  await evidence.settled();
  isAway = false;
  const keepAlive = setInterval(() => {}, 1_000); // the retry holds no process open
  await arrived.promise;
  clearInterval(keepAlive);
  await evidence.settled();
  assert.deepEqual(sent, [{ token: 'first', suppressed: 2 }]);
  assert.deepEqual(evidence.counts(), { sent: 1, failed: 3, suppressed: 0 });
  evidence.report({ kid: 'a', token: 'second' });
  await evidence.settled();
  assert.deepEqual(sent[1], { token: 'second' }, 'it was not shown yet');
  await evidence.close();
});

test('reports that fail spend the minute of their key, too', async () => {
  let attempts = 0;
  const evidence = new EvidenceReporter({
    send: () => Promise.reject(new Error(`away ${++attempts}`)),
    clock: { now: () => 0, monotonicMs: () => 0 },
  });
  for (let i = 0; i < 50; i++) {
    evidence.report({ kid: 'a', token: `token ${i}` });
    await evidence.settled();
  }
  assert.equal(attempts, 30);
  await evidence.close();
});
