/** The login flow as a person meets it: in a real browser, over real TLS, with the browser's own rules for forms and cookies. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { listenHttps, localCertificate, systemRandom } from '@countersign/server';
import { codeIn, linkIn, startTestServer, type TestServer } from '@countersign/testkit';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { openChromium, WITHOUT_CHROMIUM } from './chromium.ts';

describe('in a real browser', { skip: WITHOUT_CHROMIUM }, () => {
  let server: TestServer;
  let chromium: Browser;
  let application: { origin: string; close(): Promise<void> };
  const violations: string[] = [];

  before(async () => {
    server = await startTestServer();
    chromium = await openChromium(server);
    application = await openApplication(server);
  });

  after(async () => {
    await chromium?.close();
    await application?.close();
    await server?.close();
  });

  async function newContext(): Promise<BrowserContext> {
    const context = await chromium.newContext();
    context.on('console', (message) => {
      if (/Content Security Policy|Refused to/i.test(message.text())) violations.push(message.text());
    });
    return context;
  }

  async function authorizeUrl(): Promise<string> {
    const { client } = await server.addClient({ redirectUris: [`${application.origin}/callback?from=auth`] });
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: client.id,
      redirect_uri: client.redirectUris[0] ?? '',
      state: 'as sent & back',
      code_challenge: createHash('sha256').update(randomBytes(32)).digest('base64url'),
      code_challenge_method: 'S256',
    });
    return `${server.issuer}/oauth2/authorize?${query}`;
  }

  async function askForMail(page: Page, email: string) {
    const before = server.mails.length;
    await page.getByLabel(/mail/i).fill(email);
    await page.getByRole('button').first().click();
    await page.waitForURL(/\/login\/sent/);
    return server.mailTo(email, before);
  }

  test('HD-06 ML-02 by link: from the application through mail and consent and back', async () => {
    const context = await newContext();
    const page = await context.newPage();
    await page.goto(await authorizeUrl());
    const mail = await askForMail(page, 'ada@example.com');
    await page.goto(linkIn(mail));
    assert.ok(!page.url().includes('token='), 'ML-11 the token is gone from the address bar');
    await page.getByRole('button', { name: /log in/i }).click();
    await page.getByRole('button', { name: 'Allow', exact: true }).click();
    await page.waitForURL(/callback/);
    const arrived = new URL(page.url());
    assert.equal(arrived.searchParams.get('from'), 'auth');
    assert.equal(arrived.searchParams.get('state'), 'as sent & back');
    assert.equal(arrived.searchParams.get('iss'), server.issuer);
    assert.ok(arrived.searchParams.get('code'));
    assert.deepEqual(violations, []);
    await context.close();
  });

  test('HD-06 a refusal on the consent page reaches the application, too', async () => {
    const context = await newContext();
    const page = await context.newPage();
    await page.goto(await authorizeUrl());
    const mail = await askForMail(page, 'grace@example.com');
    await page.getByLabel(/code/i).fill(codeIn(mail));
    await page.getByRole('button').first().click();
    await page.getByRole('button', { name: /not allow/i }).click();
    await page.waitForURL(/callback/);
    assert.equal(new URL(page.url()).searchParams.get('error'), 'access_denied');
    assert.deepEqual(violations, []);
    await context.close();
  });

  test('ML-03 ML-04 pain-1 in another browser the link shows neither code nor button', async () => {
    const starting = await newContext();
    const page = await starting.newPage();
    await page.goto(`${server.issuer}/login`);
    const mail = await askForMail(page, 'joan@example.com');
    const other = await newContext();
    const elsewhere = await other.newPage();
    await elsewhere.goto(linkIn(mail));
    assert.equal(await elsewhere.getByRole('button').count(), 0);
    assert.ok(!(await elsewhere.content()).includes(codeIn(mail)));
    await page.getByLabel(/code/i).fill(codeIn(mail).toLowerCase());
    await page.getByRole('button').first().click();
    await page.waitForURL(/\/account/);
    assert.match(await page.content(), /joan@example\.com/);
    await page
      .getByRole('button', { name: /log out/i })
      .first()
      .click();
    await page.goto(`${server.issuer}/account`);
    assert.match(page.url(), /\/login/);
    await starting.close();
    await other.close();
  });
});

/** The application's side: a page that the browser may arrive at, with the same key as the server, which Chromium trusts. */
async function openApplication(server: TestServer): Promise<{ origin: string; close(): Promise<void> }> {
  const { dataFolder, clock } = server;
  const listener = await listenHttps({
    host: 'localhost',
    port: 0,
    tls: await localCertificate({ dataFolder, clock, random: systemRandom }),
    handler: () => new Response('arrived', { headers: { 'content-type': 'text/plain' } }),
  });
  return { origin: `https://localhost:${listener.port}`, close: () => listener.close(1_000) };
}
