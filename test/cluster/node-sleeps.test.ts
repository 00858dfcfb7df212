import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from '@countersign/testkit';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { readMail } from '../scenarios/smtp-box.ts';
import { Cluster } from './cluster.ts';
import type { ClusterNode } from './node.ts';
import { everybodyIsReady, pause, STORY_TIMEOUT_MS } from './play.ts';
import { WITHOUT_POSTGRES } from './private-postgres.ts';

const JOB = 'send-mails';
/** The others take over after twelve seconds of silence, at their next beat. */
const TAKEN_OVER_WITHIN_MS = 40_000;

let cluster: Cluster | undefined;

before(async () => {
  if (WITHOUT_POSTGRES === false) cluster = await Cluster.open();
});
after(() => cluster?.close());

test('a node sleeps for longer than its leases while it sends a mail: another does its jobs, and what it writes late is refused', {
  skip: WITHOUT_POSTGRES,
  timeout: STORY_TIMEOUT_MS,
}, async (t) => {
  assert.ok(cluster);
  const of = cluster;
  await cluster.logIn('first@example.com');
  const before = await leaseOf(cluster);
  const asleep = nodeOf(cluster, before.holder);

  asleep.mail.hold();
  await askForMail(cluster, 'under-way@example.com');
  await eventually('the mail is on its way', async () => {
    const claimed = await of.query('SELECT id FROM mail WHERE sealed_mail IS NOT NULL AND attempts > 0');
    return claimed.length === 1;
  });
  asleep.pause();
  // A connection of this process may lead to the one that sleeps, and waits as long.
  cluster.front.pinned = cluster.nodes.find((node) => node !== asleep);
  cluster.front.proxy.cut();
  await pause(100);
  const fromMs = performance.now();
  await askForMail(cluster, 'meanwhile@example.com');
  let now = await leaseOf(cluster);
  while (now.holder === before.holder || now.holder === null) {
    assert.ok(performance.now() - fromMs < TAKEN_OVER_WITHIN_MS, 'nobody takes over');
    await pause(100);
    now = await leaseOf(cluster);
  }
  t.diagnostic(`taken over after ${Math.round(performance.now() - fromMs)} ms`);
  assert.ok(now.number > before.number);
  await eventually('the next mail is sent by the other', () => idsFor(cluster, 'meanwhile@example.com').length > 0);
  // A claim is honoured for minutes, which this story does not have.
  await cluster.query('UPDATE mail SET next_attempt_ms = 0 WHERE sealed_mail IS NOT NULL');
  await eventually('so is the one that was on its way', () => idsFor(cluster, 'under-way@example.com').length > 0);
  await eventually('and that is written down', async () => (await sentMails(of)).length === 3);
  const sent = await sentMails(cluster);

  asleep.resume();
  asleep.mail.release();
  await eventually('what it began is done again', () => idsFor(cluster, 'under-way@example.com').length > 1);
  await eventually('its late write is refused', () => asleep.log.includes('a step of a job was left undone'));
  await everybodyIsReady(cluster);
  assert.deepEqual(await sentMails(cluster), sent, 'what the other wrote stands');
  const after = await leaseOf(cluster);
  assert.ok(after.number >= now.number);
  for (const address of ['first@example.com', 'under-way@example.com', 'meanwhile@example.com']) {
    assert.equal(new Set(idsFor(cluster, address)).size, 1, `every mail to ${address} is the same mail`);
  }
  assert.equal(idsFor(cluster, 'meanwhile@example.com').length, 1);
  assert.ok(of.box.received.length >= 4);
  assert.deepEqual(cluster.crashes, []);
});

interface Lease {
  holder: string | null;
  number: number;
}

async function leaseOf(of: Cluster): Promise<Lease> {
  const [row] = await of.query<{ holder: string | null; number: string }>(
    'SELECT holder, number FROM lease WHERE name = $1',
    [JOB],
  );
  return { holder: row?.holder ?? null, number: Number(row?.number) };
}

/** The node that draws this name says so in its log. */
function nodeOf({ nodes }: Cluster, holder: string | null): ClusterNode {
  const found = nodes.find(({ log }) => holder !== null && log.includes(`"${holder}"`));
  if (!found) throw new Error(`No node calls itself ${holder}`);
  return found;
}

async function askForMail({ issuer }: Cluster, email: string): Promise<void> {
  const browser = new Browser(issuer);
  const page = await browser.submit(await browser.get('/login'), { email });
  assert.equal(page.status, 200);
}

function idsFor(of: Cluster | undefined, email: string): string[] {
  const heads = (of?.box.received ?? []).map((mail) => readMail(mail).head).filter((head) => head.includes(email));
  return heads.map((head) => /^message-id: *(.+)$/im.exec(head)?.[1] ?? 'none');
}

function sentMails(of: Cluster): Promise<{ id: string; sent_at_ms: string }[]> {
  return of.query('SELECT id, sent_at_ms FROM mail WHERE sent_at_ms IS NOT NULL ORDER BY id');
}
