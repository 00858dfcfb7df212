import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  type Browser,
  codeIn,
  linkIn,
  startTestServer,
  type TestServer,
  type TestServerOptions,
} from '@countersign/testkit';

async function setUp(t: TestContext, options: TestServerOptions = {}) {
  const server = await startTestServer(options);
  t.after(() => server.close());
  return server;
}

/** Asks for a mail; undefined stands for a mail that was not sent. */
async function ask(server: TestServer, browser: Browser, email: string) {
  const before = server.mails.length;
  const sent = await browser.submit(await browser.get('/login'), { email });
  await server.authority.mail.sendDue();
  const mail = server.mails.slice(before).find(({ to }) => to === email);
  return { sent, mail: mail && { link: linkIn(mail), code: codeIn(mail) } };
}

async function follow(browser: Browser, link: string | undefined) {
  const page = await browser.get(link ?? 'about:blank');
  return page.text.includes('<form') ? browser.submit(page, {}) : page;
}

test('ML-05 pain-3 the newest mail wins, for its address and starting browser', async (t) => {
  const server = await setUp(t, { jobs: false });
  const [laptop, phone] = [server.browser(), server.browser()];
  const first = await ask(server, laptop, 'ada@example.com');
  const elsewhere = await ask(server, phone, 'ada@example.com');
  const second = await ask(server, laptop, 'ada@example.com');

  const old = await follow(laptop, first.mail?.link);
  assert.equal(old.status, 410);
  assert.match(old.text, /There is a newer mail/);
  assert.equal((await laptop.submit(second.sent, { code: first.mail?.code ?? '' })).status, 400);
  assert.ok(!laptop.cookies.has('__Host-session'));

  await follow(phone, elsewhere.mail?.link);
  assert.ok(phone.cookies.has('__Host-session'), 'a mail for another browser is not older than it');
  await laptop.submit(first.sent, { code: second.mail?.code ?? '' });
  assert.ok(laptop.cookies.has('__Host-session'), 'the page of the first mail takes the code of the second');
});

test('ML-09 at most three logins are open for an address; a stranger who fills them takes none away', async (t) => {
  const server = await setUp(t, { jobs: false });
  const owner = server.browser();
  const own = await ask(server, owner, 'ada@example.com');
  const strangers = [server.browser(), server.browser(), server.browser()];
  const asked = [];
  for (const stranger of strangers) asked.push(await ask(server, stranger, 'ada@example.com'));
  assert.deepEqual(
    asked.map(({ mail }) => mail !== undefined),
    [true, true, false],
  );
  assert.equal(asked[2]?.sent.status, asked[1]?.sent.status, 'and is not told so');
  await follow(owner, own.mail?.link);
  assert.ok(owner.cookies.has('__Host-session'));
  const again = await ask(server, strangers[2] ?? owner, 'ada@example.com');
  assert.ok(again.mail, 'a login that is over makes room');
});

test('ML-09 strangers keep no mail from a browser that has logged in before, neither by open links nor by the hour’s ten', async (t) => {
  const server = await setUp(t, { limits: 'real', jobs: false });
  const owner = server.browser();
  await follow(owner, (await ask(server, owner, 'ada@example.com')).mail?.link);
  await owner.submit(await owner.get('/logout'), {});
  assert.ok(!owner.cookies.has('__Host-session') && owner.cookies.has('__Host-known'));

  for (let round = 0; round < 12; round++) await ask(server, server.browser(), 'ada@example.com');
  const stranger = server.browser();
  assert.equal((await ask(server, stranger, 'ada@example.com')).mail, undefined, 'strangers are at their end');
  const own = await ask(server, owner, 'ada@example.com');
  await follow(owner, own.mail?.link);
  assert.ok(owner.cookies.has('__Host-session'));

  // Being known is for the address it was earned with, and cannot be made up.
  for (let round = 0; round < 4; round++) await ask(server, server.browser(), 'grace@example.com');
  assert.equal((await ask(server, owner, 'grace@example.com')).mail, undefined);
  stranger.cookies.set('__Host-known', `${owner.cookies.get('__Host-known')?.slice(0, -2)}AA`);
  assert.equal((await ask(server, stranger, 'ada@example.com')).mail, undefined);
  // It logs nobody in, and its own hour has an end, too.
  const thief = server.browser();
  thief.cookies.set('__Host-known', owner.cookies.get('__Host-known') ?? '');
  assert.match((await thief.get('/account')).url, /\/login/);
  let mailed = 0;
  for (let round = 0; round < 15; round++) if ((await ask(server, thief, 'ada@example.com')).mail) mailed++;
  assert.ok(mailed > 0 && mailed <= 10);
});

test('ML-09 twenty requests are ten mails at most, and the last of them still logs in', async (t) => {
  const server = await setUp(t, { limits: 'real', jobs: false });
  const browser = server.browser();
  const asked = [];
  for (let round = 0; round < 20; round++) asked.push(await ask(server, browser, 'ada@example.com'));
  const mailed = asked.filter(({ mail }) => mail !== undefined);
  assert.equal(mailed.length, 10);
  assert.deepEqual(new Set(asked.map(({ sent }) => sent.status)), new Set([200]));
  await follow(browser, mailed.at(-1)?.mail?.link);
  assert.ok(browser.cookies.has('__Host-session'));
  const other = await ask(server, server.browser(), 'grace@example.com');
  assert.ok(other.mail, 'another address is not slowed');
});

test('ML-09 DP-05 a network that asks for many addresses is told to wait; another network is not', async (t) => {
  const settings = { trustedProxies: ['127.0.0.0/8', '::1/128'] };
  const server = await setUp(t, { settings, limits: { loginPerNetwork: { points: 5 } }, jobs: false });
  const [one, other] = [server.browser(), server.browser()];
  one.extraHeaders['x-forwarded-for'] = '192.0.2.7';
  other.extraHeaders['x-forwarded-for'] = '198.51.100.7';
  const statuses = [];
  for (let round = 0; round < 6; round++) {
    const { sent } = await ask(server, one, `user${round}@example.com`);
    statuses.push(sent.status);
    if (sent.status === 429) assert.match(sent.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  }
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429]);
  assert.equal((await ask(server, other, 'user6@example.com')).sent.status, 200);
  server.clock.advance(10 * 60_000);
  assert.equal((await ask(server, one, 'user7@example.com')).sent.status, 200);
});

test('ML-07 five wrong codes burn the code; the link of the same mail still works', async (t) => {
  const server = await setUp(t, { jobs: false });
  const wrongFor = (code: string) => (code === '222-222' ? '333-333' : '222-222');
  const careful = server.browser();
  const once = await ask(server, careful, 'careful@example.com');
  for (let slip = 0; slip < 4; slip++) {
    const answer = await careful.submit(once.sent, { code: wrongFor(once.mail?.code ?? '') });
    assert.equal(answer.status, 400);
  }
  await careful.submit(once.sent, { code: once.mail?.code ?? '' });
  assert.ok(careful.cookies.has('__Host-session'), 'the fifth try may still be right');

  const browser = server.browser();
  const { sent, mail } = await ask(server, browser, 'ada@example.com');
  for (let slip = 0; slip < 5; slip++) await browser.submit(sent, { code: wrongFor(mail?.code ?? '') });
  const burnt = await browser.submit(sent, { code: mail?.code ?? '' });
  assert.equal(burnt.status, 403);
  assert.match(burnt.text, /Too many codes were tried/);
  assert.ok(!browser.cookies.has('__Host-session'));
  await follow(browser, mail?.link);
  assert.ok(browser.cookies.has('__Host-session'));
});
