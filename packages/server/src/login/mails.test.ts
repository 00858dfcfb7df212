import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loginMail, noLoginMail } from './mails.ts';

const facts = {
  app: 'Example Bank',
  organizationName: 'Countersign',
  browser: 'Firefox on Linux',
  place: '203.0.113.0/24',
  requestedAtMs: Date.UTC(2026, 10, 24, 12, 24, 30),
};
const login = {
  ...facts,
  link: 'https://auth.example/login/link?token=a.b.c',
  code: 'ABCDEF',
  expiresAtMs: Date.UTC(2026, 10, 24, 12, 34),
};

test('ML-14 the mail says what was asked, by whom, when, until when, and what to do if it was somebody else', async () => {
  const mail = await loginMail(login);
  assert.equal(mail.subject, 'Log in to Example Bank');
  assert.equal(
    mail.text,
    `Log in to Example Bank

Open this link in the browser where you asked for it:
https://auth.example/login/link?token=a.b.c

Or type this code there: ABC-DEF

Link and code work once, until 24 Nov 2026, 12:34 UTC.

App:        Example Bank
Asked from: Firefox on Linux
Network:    203.0.113.0/24
Time:       24 Nov 2026, 12:24 UTC
Sent by:    Countersign

Was it not you? Then ignore this mail: nothing happens without it.
Never tell the code to anyone, and type it only on the page where you asked for it.
`,
  );
  for (const part of ['Example Bank', 'Firefox on Linux', '203.0.113.0/24', '12:34 UTC', 'ABC-DEF']) {
    assert.ok(mail.html.includes(part), part);
  }
});

test('ML-10 ML-14 the link is the only address in the mail, and nothing is loaded from anywhere', async () => {
  const mail = await loginMail(login);
  for (const part of [mail.text, mail.html]) {
    assert.deepEqual(part.match(/https?:\/\/[^\s"<]+/g), [login.link]);
  }
  assert.doesNotMatch(mail.html, /<img|<link|url\(|<script/i);
});

test('ML-13 a registered name brings neither a header line nor markup into the mail', async () => {
  const mail = await loginMail({ ...login, app: 'Bank\r\nBcc: eve@example.org\u202e <b>x</b>' });
  assert.equal(mail.subject, 'Log in to Bank Bcc: eve@example.org <b>x</b>');
  assert.ok(!mail.html.includes('<b>x</b>'));
});

test('ML-08 the mail without login holds neither link nor code and says why', async () => {
  for (const [reason, said] of [
    ['no_account', /no account/],
    ['disabled', /disabled/],
  ] as const) {
    const mail = await noLoginMail({ ...facts, reason });
    assert.match(mail.text, said);
    assert.doesNotMatch(mail.text + mail.html, /https?:\/\/|code/);
    assert.equal(mail.subject, 'Log in to Example Bank');
  }
});
