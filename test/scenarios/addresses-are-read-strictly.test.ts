import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { linkIn, startTestServer } from '@countersign/testkit';
import { rawRequest } from './raw-request.ts';

const server = await startTestServer({ jobs: false });
after(() => server.close());

async function ask(typed: string) {
  const browser = server.browser();
  const before = server.mails.length;
  const page = await browser.submit(await browser.get('/login'), { email: typed });
  await server.authority.mail.sendDue();
  return { browser, page, mails: server.mails.slice(before) };
}

test('ML-13 attack-16 what is no plain address is refused on the page and written to nobody', async () => {
  const refused = [
    '',
    'a@x.com\r\nBcc: b@x.com',
    'a@x.com\nBcc:b@x.com',
    'a@x.com%0aBcc:b@x.com',
    'a@x.com,b@x.com',
    'a@x.com b@x.com',
    'a@x.com;b@x.com',
    '"a b"@x.com',
    '<a@x.com>',
    'A <a@x.com>',
    'a@[127.0.0.1]',
    'a@x',
    '@x.com',
    'a@x.com\0',
    'adm\u0131n@example.com', // dotless i
    '\u212Ann@example.com', // Kelvin sign
    'ann@ex\u0430mple.com', // Cyrillic a
    'ann\uFF20example.com', // full-width at sign
    `${'a'.repeat(65)}@example.com`,
    `a@${'b.'.repeat(130)}com`,
  ];
  for (const typed of refused) {
    const { page, mails } = await ask(typed);
    assert.equal(page.status, 400, JSON.stringify(typed));
    assert.doesNotMatch(page.text, /We sent a mail/);
    assert.deepEqual(mails, []);
  }
  const { page, mails } = await ask('ann@example.com');
  assert.equal(page.status, 200);
  assert.deepEqual(
    mails.map(({ to }) => to),
    ['ann@example.com'],
  );
});

test('ML-13 the mail goes to the stored address, however it was typed, and there is one account', async () => {
  await server.logIn('grace@example.com');
  const { browser, mails } = await ask('  GRACE@Example.COM ');
  assert.deepEqual(
    mails.map(({ to }) => to),
    ['grace@example.com'],
  );
  const [mail] = mails;
  assert.ok(mail);
  await browser.submit(await browser.get(linkIn(mail)), {});
  assert.match((await browser.get('/account')).text, /grace@example\.com/);
  const users = await server.authority.users.list({ limit: 100 });
  assert.equal(users.filter(({ email }) => email.startsWith('grace')).length, 1);
});

test('ML-10 SC-08 attack-13 Host and X-Forwarded-Host decide no link and no redirect', async () => {
  const browser = server.browser();
  const { action, body } = browser.form(await browser.get('/login'));
  body.set('email', 'host@example.com');
  const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  const headers = {
    cookie,
    origin: server.issuer,
    'content-type': 'application/x-www-form-urlencoded',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'https',
    'x-forwarded-port': '443',
    forwarded: 'host=evil.example;proto=https',
    'x-original-url': '/evil',
  };
  for (const host of ['evil.example', new URL(server.issuer).host]) {
    const before = server.mails.length;
    const sent = { method: 'POST', path: action.pathname, headers: { ...headers, host }, body: body.toString() };
    const answer = await rawRequest(server.issuer, sent);
    const isRefused = answer.status === 400 || answer.status === 421;
    if (isRefused) {
      assert.equal(host, 'evil.example');
      continue;
    }
    assert.equal(answer.status, 303);
    assert.doesNotMatch(JSON.stringify(answer), /evil/);
    const mail = await server.mailTo('host@example.com', before);
    assert.equal(new URL(linkIn(mail)).origin, server.issuer);
    assert.doesNotMatch(mail.text + mail.html, /evil/);
  }
  for (const path of ['/', '/account', '/login/link']) {
    const answer = await rawRequest(server.issuer, { path, headers: { host: 'evil.example' } });
    assert.doesNotMatch(JSON.stringify(answer), /evil/, path);
  }
  const plain = await rawRequest(server.plaintextOrigin, { path: '/login', headers: { host: 'evil.example' } });
  assert.deepEqual(
    plain.headers.filter(([name]) => name === 'location'),
    [['location', `${server.issuer}/login`]],
  );
  const metadata = await rawRequest(server.issuer, {
    path: '/.well-known/openid-configuration',
    headers: { host: 'evil.example', 'x-forwarded-host': 'evil.example' },
  });
  assert.doesNotMatch(metadata.body, /evil/);
});
