import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { smtpTransport } from '@countersign/server';
import { codeIn, linkIn, SteeredClock, startTestServer, type TestServer } from '@countersign/testkit';
import { openSmtpBox, readMail, type SmtpBox } from './smtp-box.ts';

const EMAIL = 'ada@example.com';

/** An authority that sends its mails to a real mail server; mails leave when the test says so. */
async function setUp(t: TestContext, options: { startTls: boolean }): Promise<{ server: TestServer; box: SmtpBox }> {
  const box = await openSmtpBox({ startTls: options.startTls, clock: new SteeredClock() });
  const mailTransport = smtpTransport({
    url: `smtp://localhost:${box.port}`,
    caCertificate: box.caCertificate,
    from: 'Countersign <no-reply@login.example>',
    hostname: 'login.example',
  });
  const server = await startTestServer({ mailTransport, jobs: false });
  t.after(async () => {
    await server.close();
    mailTransport.close();
    await box.remove();
  });
  return { server, box };
}

function newestOf(box: SmtpBox) {
  const { head, text, html } = readMail(box.received.at(-1) ?? '');
  const mail = { id: '', to: EMAIL, subject: '', text, html };
  return { head, text, html, link: linkIn(mail), code: codeIn(mail) };
}

test('pain-1 ML-14 TC-03 one mail over STARTTLS brings link and code; the link logs in', async (t) => {
  const { server, box } = await setUp(t, { startTls: true });
  const { client } = await server.addClient({ name: 'Shop' });
  const browser = server.browser();
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: client.redirectUris[0] ?? '',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  });
  const askedAtMs = server.clock.now();
  await browser.submit(await browser.get(`/oauth2/authorize?${query}`), { email: EMAIL });
  assert.equal(box.received.length, 0, 'the answer waits for no mail server');
  assert.deepEqual(await server.authority.mail.sendDue(), { sent: 1, retried: 0, givenUp: 0 });

  assert.deepEqual([box.received.length, box.secured], [1, [true]]);
  const { head, text, html, link, code } = newestOf(box);
  assert.match(head, /^To: ada@example\.com$/m);
  assert.match(head, /^Subject: Log in to Shop$/m);
  for (const part of [text, html]) {
    for (const fact of ['Shop', 'Firefox on Linux', code, link, 'Was it not you?']) {
      assert.ok(part.includes(fact), `${fact} in ${part}`);
    }
    assert.match(part, /127\.0\.0\.0\/24|::\/48/, 'the network it was asked from');
    const times = [...part.matchAll(/\d{1,2} \w{3} \d{4}, \d\d:\d\d UTC/g)].map(([time]) => Date.parse(time));
    assert.equal(times.length, 2, 'when it ends, and when it was asked');
    for (const at of times) assert.ok(at >= askedAtMs - 61_000 && at <= askedAtMs + 11 * 60_000, String(at));
    assert.equal((times[0] ?? 0) > (times[1] ?? 0), true, 'it ends after it was asked');
  }
  assert.equal(new URL(link).origin, server.issuer);
  assert.doesNotMatch(html, /<img|<script|src=/);

  const consent = await browser.submit(await browser.get(link), {});
  assert.match(consent.text, /<strong>Shop<\/strong> asks to act for <strong>ada@example\.com/);
  assert.ok(browser.cookies.has('__Host-session'));
});

test('ML-07 the code of the same mail, typed where the login began, logs in', async (t) => {
  const { server, box } = await setUp(t, { startTls: true });
  const browser = server.browser();
  const sent = await browser.submit(await browser.get('/login'), { email: EMAIL });
  await server.authority.mail.sendDue();
  const { code } = newestOf(box);
  const wrong = await browser.submit(sent, { code: code === '222-222' ? '333-333' : '222-222' });
  assert.equal(wrong.status, 400);
  assert.ok(!browser.cookies.has('__Host-session'));
  const account = await browser.submit(wrong, { code });
  assert.match(account.text, /You are logged in as <strong>ada@example\.com/);
});

test('a mail server that is down delays the mail and loses it not', async (t) => {
  const { server, box } = await setUp(t, { startTls: true });
  await box.stop();
  const browser = server.browser();
  const sent = await browser.submit(await browser.get('/login'), { email: EMAIL });
  assert.equal(sent.status, 200, 'whoever asks sees nothing of it');
  assert.deepEqual(await server.authority.mail.sendDue(), { sent: 0, retried: 1, givenUp: 0 });
  await box.start();
  assert.deepEqual(await server.authority.mail.sendDue(), { sent: 0, retried: 0, givenUp: 0 }, 'it waits a while');
  server.clock.advance(61_000);
  assert.deepEqual(await server.authority.mail.sendDue(), { sent: 1, retried: 0, givenUp: 0 });
  assert.equal(box.received.length, 1);
  await browser.submit(await browser.get(newestOf(box).link), {});
  assert.ok(browser.cookies.has('__Host-session'), 'link and code are as good as if it had come at once');
});

test('TC-03 a mail server without STARTTLS is given nothing', async (t) => {
  const { server, box } = await setUp(t, { startTls: false });
  const browser = server.browser();
  await browser.submit(await browser.get('/login'), { email: EMAIL });
  assert.deepEqual(await server.authority.mail.sendDue(), { sent: 0, retried: 1, givenUp: 0 });
  assert.deepEqual(box.received, []);
  server.clock.advance(10 * 60_000);
  assert.deepEqual(await server.authority.mail.sendDue(), { sent: 0, retried: 0, givenUp: 1 }, 'too late to be of use');
});
