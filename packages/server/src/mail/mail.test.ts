import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Held } from '../leases/leases.ts';
import { Sealer } from '../sealing/sealing.ts';
import { openTestStore } from '../testing/testing.ts';
import type { OutgoingMail } from '../world/mail-transport.ts';
import { systemRandom } from '../world/random.ts';
import { FIRST_PAUSE_MS } from './backoff.ts';
import { Mail } from './mail.ts';

const START_MS = 1_800_000_000_000;
const BODY = { to: 'ann@example.org', subject: 'Log in', text: 'secret words', html: '<p>secret words</p>' };

async function setUp(options: { mailsPerMinute?: number; send?: (mail: OutgoingMail) => Promise<void> } = {}) {
  let nowMs = START_MS;
  const clock = { now: () => nowMs };
  const { store, close } = await openTestStore({ clock });
  after(close);
  const sent: OutgoingMail[] = [];
  const logged: string[] = [];
  const note = (message: string, fields?: object) => void logged.push(message + JSON.stringify(fields ?? {}));
  const make = (masterKey: Uint8Array) =>
    new Mail({
      store,
      sealer: new Sealer({ masterKey, random: systemRandom }),
      clock,
      random: systemRandom,
      transport: { send: options.send ?? (async (mail) => void sent.push(mail)) },
      log: { info: note, warn: note, error: note },
      mailsPerMinute: options.mailsPerMinute ?? 600,
    });
  return {
    store,
    sent,
    logged,
    make,
    mail: make(new Uint8Array(32).fill(1)),
    pass: (ms: number) => {
      nowMs += ms;
    },
    rows: () =>
      store.read.all<{ sealed_mail: Uint8Array | null; next_attempt_ms: number | null }>('SELECT * FROM mail'),
  };
}

const lasting = { ...BODY, giveUpAtMs: START_MS + 600_000 };

test('a queued mail is sealed, sent once, and its body erased', async () => {
  const { mail, store, sent, rows } = await setUp();
  const id = await store.write((tx) => mail.enqueue(tx, lasting));
  const [waiting] = await rows();
  assert.ok(waiting?.sealed_mail && !Buffer.from(waiting.sealed_mail).includes('secret words'));
  assert.deepEqual(await mail.sendDue(), { sent: 1, retried: 0, givenUp: 0 });
  assert.deepEqual(await mail.sendDue(), { sent: 0, retried: 0, givenUp: 0 });
  assert.deepEqual(sent, [{ id, ...BODY }]);
  const [done] = await rows();
  assert.equal(done?.sealed_mail, null);
  assert.equal(done?.next_attempt_ms, null);
});

test('a mail whose cause is taken back is never sent', async () => {
  const { mail, store, sent } = await setUp();
  const work = store.write(async (tx) => {
    await mail.enqueue(tx, lasting);
    throw new Error('taken back');
  });
  await assert.rejects(work, /taken back/);
  await mail.sendDue();
  assert.equal(sent.length, 0);
});

test('ML-08 pretending writes as much as queueing and sends nothing; mails of one kind are equally long', async () => {
  const { mail, store, sent, rows } = await setUp();
  await store.write((tx) => mail.pretend(tx, lasting));
  await mail.sendDue();
  assert.equal(sent.length, 0);
  const short = { ...lasting, text: '', html: '' };
  await store.write((tx) => mail.enqueue(tx, short));
  await store.write((tx) => mail.enqueue(tx, { ...lasting, text: 'x'.repeat(2000) }));
  const all = await rows();
  assert.equal(all.length, 3);
  assert.equal(new Set(all.map((row) => row.sealed_mail?.length)).size, 1);
  const zeros = all.filter((row) => row.next_attempt_ms === null).map((row) => row.sealed_mail ?? []);
  assert.ok(zeros.length === 1 && zeros.flatMap((bytes) => [...bytes]).every((byte) => byte === 0));
});

test('a refused mail is tried again after a minute under the same id, and nothing of it is logged', async () => {
  const ids: string[] = [];
  let refusals = 1;
  const { mail, store, pass, logged } = await setUp({
    send: async (outgoing) => {
      ids.push(outgoing.id);
      if (refusals-- > 0) throw new Error(`550 no such mailbox ${outgoing.to}: ${outgoing.text}`);
    },
  });
  await store.write((tx) => mail.enqueue(tx, lasting));
  assert.deepEqual(await mail.sendDue(), { sent: 0, retried: 1, givenUp: 0 });
  pass(FIRST_PAUSE_MS * 0.75 - 1);
  assert.equal((await mail.sendDue()).sent, 0);
  pass(FIRST_PAUSE_MS / 4 + 1);
  assert.equal((await mail.sendDue()).sent, 1);
  assert.equal(new Set(ids).size, 1);
  assert.ok(!logged.some((line) => line.includes('ann@') || line.includes('secret')));
});

test('a mail that would come too late is given up and erased', async () => {
  const { mail, store, pass, rows } = await setUp({
    send: async () => {
      throw new Error('refused');
    },
  });
  await store.write((tx) => mail.enqueue(tx, { ...BODY, giveUpAtMs: START_MS + 90_000 }));
  assert.equal((await mail.sendDue()).retried, 1);
  pass(FIRST_PAUSE_MS);
  assert.equal((await mail.sendDue()).givenUp, 1);
  assert.equal((await rows())[0]?.sealed_mail, null);
});

test('a mail that waited past its time, behind a slow queue or a server that was down, is given up and told', async () => {
  const { mail, store, pass, sent, logged } = await setUp();
  const id = await store.write((tx) => mail.enqueue(tx, lasting));
  pass(600_000);
  assert.equal((await mail.sendDue()).givenUp, 1);
  assert.equal(sent.length, 0);
  assert.ok(logged.some((line) => line.startsWith('mail given up') && line.includes(id)));
});

test('a mail claimed by a step that never came back becomes due again by itself', async () => {
  let sends = 0;
  const { mail, store, pass } = await setUp({
    send: () => (sends++ === 0 ? new Promise(() => {}) : Promise.resolve()),
  });
  await store.write((tx) => mail.enqueue(tx, lasting));
  void mail.sendDue();
  while (sends === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await mail.sendDue()).sent, 0);
  pass(30_000);
  assert.equal((await mail.sendDue()).sent, 1);
});

test('a step whose lease is over hands no further mail to the server, and whoever has the lease then sends them', async () => {
  let isInDate = true;
  let sends = 0;
  const { mail, store, pass, rows } = await setUp({
    send: async () => {
      sends++;
      isInDate = false;
    },
  });
  await store.write((tx) => tx.run("INSERT INTO lease (name, holder, number) VALUES ('send-mails', 'node', 1)"));
  for (let i = 0; i < 20; i++) await store.write((tx) => mail.enqueue(tx, lasting));
  const lease = new Held({ name: 'send-mails', node: 'node', number: 1, store, isInDate: () => isInDate });
  const { sent } = await mail.sendDue(lease);
  assert.ok(sent >= 1 && sent <= 10, 'what was handed over at that moment');
  assert.equal(sends, sent);
  const waiting = (await rows()).filter(({ next_attempt_ms }) => next_attempt_ms !== null);
  assert.equal(waiting.length, 20 - sent);
  pass(30_000);
  isInDate = true;
  while ((await mail.sendDue()).sent > 0);
  assert.equal(sends, 20);
});

test('ML-09 the overall rate slows the queue and refuses nobody', async () => {
  const { mail, store, sent, pass } = await setUp({ mailsPerMinute: 6 });
  for (let i = 0; i < 9; i++) await store.write((tx) => mail.enqueue(tx, lasting));
  await mail.sendDue();
  assert.equal(sent.length, 6);
  pass(10_000);
  await mail.sendDue();
  assert.equal(sent.length, 7);
  pass(60_000);
  await mail.sendDue();
  assert.equal(sent.length, 9);
});

test('a mail sealed under another master key is given up, not sent as garbage', async () => {
  const { mail, make, store, sent } = await setUp();
  await store.write((tx) => mail.enqueue(tx, lasting));
  assert.equal((await make(new Uint8Array(32).fill(2)).sendDue()).givenUp, 1);
  assert.equal(sent.length, 0);
});

test('zeros of mails that never were one are erased by the next sweep; what waits keeps its body', async () => {
  const { mail, store, sent, rows } = await setUp();
  await store.write((tx) => mail.pretend(tx, lasting));
  await store.write((tx) => mail.enqueue(tx, lasting));
  await mail.sweep();
  assert.deepEqual((await rows()).map((row) => row.sealed_mail === null).sort(), [false, true]);
  await mail.sendDue();
  assert.equal(sent.length, 1);
});

test('rows of mails that are done are swept after a week; waiting ones stay', async () => {
  const { mail, store, pass, rows } = await setUp();
  await store.write((tx) => mail.enqueue(tx, lasting));
  await mail.sendDue();
  await store.write((tx) => mail.enqueue(tx, { ...BODY, giveUpAtMs: START_MS + 30 * 86_400_000 }));
  pass(8 * 86_400_000);
  assert.deepEqual(await mail.sweep(), { removed: 1 });
  assert.equal((await rows()).length, 1);
});
