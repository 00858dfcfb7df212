import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { codeIn, linkIn, startTestServer } from '@countersign/testkit';

const server = await startTestServer();
after(() => server.close());

/** A login under way: the browser on its page for the code, and what stands in the mail. */
async function begin(email: string, browser = server.browser()) {
  const after = server.mails.length;
  const sent = await browser.submit(await browser.get('/login'), { email });
  const mail = await server.mailTo(email, after);
  return { browser, sent, link: linkIn(mail), code: codeIn(mail) };
}

const isLoggedIn = async (browser: ReturnType<typeof server.browser>) =>
  (await browser.get('/account')).text.includes('You are logged in as');

test('ML-02 pain-1 a scanner that opens the link again and again, by GET and HEAD, spends nothing', async () => {
  const { browser, link } = await begin('scanned@example.com');
  for (const userAgent of ['LinkScanner/1.0', browser.userAgent]) {
    const scanner = server.browser(userAgent);
    for (let round = 0; round < 5; round++) {
      const head = await scanner.request(link, { method: 'HEAD' });
      assert.ok(head.status < 400, String(head.status));
      assert.equal((await scanner.get(link)).status, 200);
    }
    assert.ok(!scanner.setCookies.some((cookie) => cookie.startsWith('__Host-session=')));
    assert.equal(await isLoggedIn(scanner), false);
  }
  const own = await browser.request(link, { method: 'HEAD' });
  assert.ok(own.status < 400, 'not even in the browser that started');
  await browser.submit(await browser.get(link), {});
  assert.equal(await isLoggedIn(browser), true);
});

test('ML-03 a scanner that presses every button has none to press, and cannot make one', async () => {
  const { browser, link } = await begin('pressed@example.com');
  const scanner = server.browser();
  const page = await scanner.get(link);
  assert.doesNotMatch(page.text, /<form|<button|<script|http-equiv/i);
  // It takes the form of a login of its own, with a good token for its own cookie, and sends that for this link.
  const own = await begin('scanner@example.com', scanner);
  const { action, body } = scanner.form(await scanner.get(own.link));
  await scanner.get(link);
  const forced = await scanner.request(action.href, { method: 'POST', body }, 'same-origin');
  assert.equal(forced.status, 400);
  assert.equal(await isLoggedIn(scanner), false);
  await browser.submit(await browser.get(link), {});
  assert.equal(await isLoggedIn(browser), true, 'the person, with the same link, is let in');
});

test('ML-11 HD-08 the link leaves the address bar before anything is shown', async () => {
  const { browser, link } = await begin('address-bar@example.com');
  const answer = await browser.request(link);
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.get('location'), '/login/link');
  const page = await browser.get(link);
  const token = new URL(link).searchParams.get('token') ?? '';
  assert.ok(token.length > 100);
  assert.ok(!page.url.includes('token') && !page.text.includes(token));
  for (const headers of [answer.headers, page.headers]) {
    assert.equal(headers.get('referrer-policy'), 'no-referrer');
    assert.equal(headers.get('cache-control'), 'no-store');
  }
  assert.doesNotMatch(page.text.replaceAll(server.issuer, ''), /https?:\/\//, 'nothing comes from elsewhere');
  assert.ok(server.logLines.some((line) => line.includes('/login/link')) && !server.logLines.join().includes(token));
});

test('ML-12 the link opens from a webmail of another site, for the cookie is Lax', async () => {
  const { browser, link } = await begin('webmail@example.com');
  const moved = await browser.request(link, {}, 'cross-site');
  assert.equal(moved.status, 303);
  const cookie = browser.setCookies.find((each) => each.startsWith('__Host-login='));
  assert.match(cookie ?? '', /; SameSite=Lax/);
  const confirm = await browser.get('/login/link');
  await browser.submit(confirm, {});
  assert.equal(await isLoggedIn(browser), true);
});

test('ML-05 attack-7 a hundred parallel uses of one link are one session', async () => {
  const { browser, link } = await begin('parallel@example.com');
  const { action, body } = browser.form(await browser.get(link));
  const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  const headers = { cookie, origin: server.issuer, 'sec-fetch-site': 'same-origin' };
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => fetch(action, { method: 'POST', body, headers, redirect: 'manual' })),
  );
  const withSession = answers.filter((answer) =>
    answer.headers.getSetCookie().some((each) => each.startsWith('__Host-session=')),
  );
  assert.deepEqual(
    withSession.map(({ status }) => status),
    [303],
  );
  assert.equal(answers.filter(({ status }) => status === 410).length, 99);
  const user = await server.authority.users.byEmail('parallel@example.com');
  assert.equal((await server.authority.sessions.list(user?.id ?? '')).length, 1);
  assert.deepEqual(await server.alarms(), [], 'a double click is no theft');
});

test('ML-05 link and code end after ten minutes, with a way to start again', async () => {
  const { browser, sent, link, code } = await begin('late@example.com');
  const early = await begin('early@example.com');
  const earlyByCode = await begin('early-by-code@example.com');
  server.clock.advance(10 * 60_000 - 10_000);
  await early.browser.submit(await early.browser.get(early.link), {});
  assert.equal(await isLoggedIn(early.browser), true);
  await earlyByCode.browser.submit(earlyByCode.sent, { code: earlyByCode.code });
  assert.equal(await isLoggedIn(earlyByCode.browser), true);
  const confirm = await browser.get(link);
  server.clock.advance(11_000);
  const answers = [await browser.get(link), await browser.submit(confirm, {}), await browser.submit(sent, { code })];
  for (const page of answers) {
    assert.equal(page.status, 410);
    assert.match(page.text, /This login has expired[\s\S]*<a class="button" href="\/login">Start again/);
  }
  assert.equal(await isLoggedIn(browser), false);
});
