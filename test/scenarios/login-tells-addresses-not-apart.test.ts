import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Browser, type Page, startTestServer } from '@countersign/testkit';

/** Rounds of each kind in one measurement: medians of so many are steady to a few per cent. */
const ROUNDS = 40;
/** How far two medians may lie apart: a mail that is sent, or a row that is not written, costs more than that. */
const WIDEST_RATIO = 1.35;
/** A machine that does something else for a moment shall not fail this; a real difference shows in every measurement. */
const MEASUREMENTS = 6;

const server = await startTestServer({ settings: { signUp: false }, jobs: false });
after(() => server.close());

// Addresses of one length, so that pages and mails are, too.
const EMAILS = {
  known: 'known@example.com',
  unknown: 'nobod@example.com',
  disabled: 'disab@example.com',
  throttled: 'thrtl@example.com',
};
type Kind = keyof typeof EMAILS;
const KINDS = Object.keys(EMAILS) as Kind[]; // the keys of a literal are its names

const ids = new Map<Kind, string>();
for (const kind of ['known', 'disabled', 'throttled'] as const) {
  const { authority } = server;
  ids.set(kind, (await authority.store.write((tx) => authority.users.create(tx, EMAILS[kind]))).id);
}
await server.authority.store.write((tx) => server.authority.users.disable(tx, ids.get('disabled') ?? ''));

async function ask(browser: Browser, form: Page, email: string): Promise<Page> {
  return browser.submit(form, { email });
}

/** Three other browsers hold what may be open for the throttled address. */
async function throttle(): Promise<void> {
  for (let stranger = 0; stranger < 3; stranger++) {
    const browser = server.browser();
    await ask(browser, await browser.get('/login'), EMAILS.throttled);
  }
}

test('ML-08 pain-4 known, unknown, disabled and throttled addresses get the same bytes; what is what stands in the mail', async () => {
  await throttle();
  await server.authority.mail.sendDue();
  const before = server.mails.length;
  const answers = [];
  for (const kind of KINDS) {
    const browser = server.browser();
    const page = await ask(browser, await browser.get('/login'), EMAILS[kind]);
    const text = page.text
      .replaceAll(EMAILS[kind], '<address>')
      .replace(/(name="csrf" value=")[^"]+/g, '$1')
      .replace(/maglnk_\w+/g, 'maglnk_');
    const cookies = browser.setCookies.map((cookie) => cookie.replace(/=[^;]+/, '='));
    const own = ['x-request-id', 'date'];
    const headers = [...page.headers].filter(([name]) => !own.includes(name) && name !== 'set-cookie');
    answers.push({ status: page.status, path: new URL(page.url).pathname, text, headers, cookies });
  }
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  assert.equal(answers[0]?.status, 200);

  await server.authority.mail.sendDue();
  const told = new Map(server.mails.slice(before).map(({ to, text }) => [to, text]));
  assert.match(told.get(EMAILS.known) ?? '', /\/login\/link\?token=/);
  assert.match(told.get(EMAILS.unknown) ?? '', /no account with this address/);
  assert.match(told.get(EMAILS.disabled) ?? '', /is disabled/);
  assert.equal(told.get(EMAILS.throttled), undefined);
});

test('ML-08 and the same time', async (t) => {
  const browsers = new Map<Kind, { browser: Browser; form: Page }>();
  for (const kind of KINDS) {
    const browser = server.browser();
    browsers.set(kind, { browser, form: await browser.get('/login') });
  }
  await throttle();
  const seen: string[] = [];
  for (let measurement = 0; measurement < MEASUREMENTS; measurement++) {
    const medians = await measure(browsers);
    const ratio = Math.max(...medians.values()) / Math.min(...medians.values());
    seen.push([...medians].map(([kind, ms]) => `${kind} ${ms.toFixed(2)} ms`).join(', '));
    if (ratio <= WIDEST_RATIO) return t.diagnostic(seen.at(-1) ?? '');
  }
  assert.fail(`Answers differ in time, every time: ${seen.join('; ')}`);
});

/** Interleaved in changing order, so that whatever else the machine does falls on all kinds alike. */
async function measure(browsers: Map<Kind, { browser: Browser; form: Page }>): Promise<Map<Kind, number>> {
  const times = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (let at = 0; at < KINDS.length; at++) {
      const kind = KINDS[(at + round) % KINDS.length] ?? 'known';
      const { browser, form } = browsers.get(kind) ?? { browser: server.browser(), form: undefined };
      if (!form) continue;
      const { action, body } = browser.form(form);
      body.set('email', EMAILS[kind]);
      const startedMs = performance.now();
      const answer = await browser.request(action.href, { method: 'POST', body }, 'same-origin');
      times.get(kind)?.push(performance.now() - startedMs);
      assert.equal(answer.status, 303);
      await answer.body?.cancel();
    }
  }
  return new Map([...times].map(([kind, all]) => [kind, all.sort((a, b) => a - b)[all.length >> 1] ?? 0]));
}
