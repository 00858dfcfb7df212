import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHttp } from '../http/http.ts';
import { systemRandom } from '../world/random.ts';
import { systemStopwatch } from '../world/stopwatch.ts';
import { DevelopmentMailbox } from './mailbox.ts';
import { mailboxRoutes } from './routes.ts';

const MAIL = { id: 'mail_1', to: 'ann@example.org', subject: 'Log in <b>now</b>', html: '<p>x</p>' };

function setUp() {
  const mailbox = new DevelopmentMailbox({ clock: { now: () => 1_800_000_000_000 } });
  const http = createHttp({
    log: { info: () => {}, warn: () => {}, error: () => {} },
    random: systemRandom,
    stopwatch: systemStopwatch,
    issuer: 'https://auth.example',
    hstsPreload: false,
    trustedProxies: [],
    organizationName: 'Example',
    cleartext: { isPage: () => false, credentialCookies: [], onCredential: async () => {} },
  });
  const app = http.app();
  app.route('/', mailboxRoutes({ mailbox, organizationName: 'Example' }));
  const handler = http.handler(app);
  const get = (path: string) => handler(new Request(`https://auth.example${path}`), { address: '127.0.0.1' });
  return { mailbox, get };
}

test('the mailbox lists mails, shows one escaped, and links to its link', async () => {
  const { mailbox, get } = setUp();
  await mailbox.send({ ...MAIL, text: 'Open this:\nhttps://auth.example/login/link?token=a.b.c\n\n<script>' });
  const list = await (await get('/dev/mailbox')).text();
  assert.match(list, /href="\/dev\/mailbox\/mail_1"/);
  const response = await get('/dev/mailbox/mail_1');
  const page = await response.text();
  assert.match(page, /<a class="button" href="https:\/\/auth\.example\/login\/link\?token=a\.b\.c">/);
  assert.ok(!page.includes('<script') && !page.includes('<b>now'));
  assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'/);
  assert.equal(response.headers.get('cache-control'), 'no-store');
});

test('the newest fifty mails are kept, and an unknown one is a page that says so', async () => {
  const { mailbox, get } = setUp();
  for (let i = 0; i < 60; i++) await mailbox.send({ ...MAIL, id: `mail_${i}`, text: '' });
  assert.equal(mailbox.list().length, 50);
  assert.equal(mailbox.list()[0]?.id, 'mail_59');
  const unknown = await get('/dev/mailbox/mail_0');
  assert.equal(unknown.status, 404);
  assert.match(unknown.headers.get('content-type') ?? '', /^text\/html/);
});
