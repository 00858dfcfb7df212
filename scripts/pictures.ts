/**
 * Takes the pictures of the pages that stand in docs/pictures, from a running server in the system's Chromium, so that somebody looks
 * at them: `node scripts/pictures.ts [folder]`.
 */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { linkIn, startTestServer } from '@countersign/testkit';
import type { Page } from 'playwright-core';
import { openChromium } from '../test/browser/chromium.ts';

const folder = process.argv[2] ?? 'docs/pictures';
const DESK = { width: 720, height: 720 };
const PHONE = { width: 360, height: 720 };

mkdirSync(folder, { recursive: true });
const server = await startTestServer();
const chromium = await openChromium(server);
try {
  const desk = await (await chromium.newContext({ viewport: DESK })).newPage();
  const phone = await (await chromium.newContext({ viewport: PHONE, colorScheme: 'dark' })).newPage();
  const { client } = await server.addClient({ name: 'Budget planner' });
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: client.redirectUris[0] ?? '',
    code_challenge: createHash('sha256').update('picture').digest('base64url'),
    code_challenge_method: 'S256',
  });
  await desk.goto(`${server.issuer}/oauth2/authorize?${query}`);
  await take(desk, 'login');
  await desk.getByLabel(/mail/i).fill('ada@example.com');
  await press(desk, /.*/);
  await take(desk, 'mail-sent');
  const mail = await server.mailTo('ada@example.com');
  await phone.goto(linkIn(mail));
  await take(phone, 'opened-elsewhere');
  await desk.goto(linkIn(mail));
  await take(desk, 'confirm');
  await press(desk, /log in/i);
  await take(desk, 'consent');
  await desk.goto(`${server.issuer}/account`);
  await take(desk, 'account');
  await desk.goto(`${server.issuer}/oauth2/authorize?client_id=unknown`);
  await take(desk, 'refused');
  await phone.setContent(mail.html);
  await take(phone, 'mail');
} finally {
  await chromium.close();
  await server.close();
}

async function press(page: Page, name: RegExp): Promise<void> {
  await Promise.all([page.waitForEvent('load'), page.getByRole('button', { name }).first().click()]);
}

async function take(page: Page, name: string): Promise<void> {
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path });
  process.stdout.write(`${path}\n`);
}
