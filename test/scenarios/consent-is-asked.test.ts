import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Browser, linkIn, startTestServer, type TestServer } from '@countersign/testkit';
import { type Application, authorize, sentOn } from './oauth-calls.ts';

let server: TestServer;
let browser: Browser;
before(async () => {
  server = await startTestServer();
  browser = await server.logIn('ada@example.com');
});
after(() => server.close());

const isAsked = async (app: Application, changes: Record<string, string> = {}) => {
  const { page, answer } = await authorize(browser, app, changes);
  assert.equal(answer?.get('error') ?? null, null);
  return page.status === 200 && page.text.includes('name="decision"');
};

async function agree(app: Application, changes: Record<string, string> = {}): Promise<void> {
  const { page } = await authorize(browser, app, changes);
  const { answer } = sentOn(await browser.submit(page, { decision: 'allow' }, { action: '/consent' }));
  assert.equal(typeof answer?.get('code'), 'string');
}

test('OA-26 a confidential client is asked for once, a public one every time', async () => {
  const confidential = await server.addClient();
  const publicApp = await server.addClient({ isConfidential: false });
  for (const app of [confidential, publicApp]) {
    assert.equal(await isAsked(app), true);
    await agree(app);
  }
  assert.equal(await isAsked(confidential), false);
  assert.equal(await isAsked(publicApp), true);
});

test('OA-26 a program on the device is asked for every time, secret or not', async () => {
  for (const redirectUri of ['http://127.0.0.1/callback', 'http://localhost/callback', 'com.example.app:/cb']) {
    const app = await server.addClient({ redirectUris: [redirectUri] });
    await agree(app);
    assert.equal(await isAsked(app), true, redirectUri);
    const silent = await authorize(browser, app, { prompt: 'none' });
    assert.equal(silent.answer?.get('error'), 'consent_required', redirectUri);
  }
});

test('OI-11 OA-26 more scope, offline_access above all, is asked for anew', async () => {
  const app = await server.addClient();
  await agree(app, { scope: 'openid email' });
  assert.equal(await isAsked(app, { scope: 'openid' }), false, 'less is covered');
  assert.equal(await isAsked(app, { scope: 'openid offline_access' }), true);
  const silent = await authorize(browser, app, { scope: 'openid offline_access', prompt: 'none' });
  assert.equal(silent.answer?.get('error'), 'consent_required');
});

test('a denied consent is not remembered as one', async () => {
  const app = await server.addClient();
  const { page } = await authorize(browser, app);
  await browser.submit(page, { decision: 'deny' }, { action: '/consent' });
  assert.equal(await isAsked(app), true);
});

test('OA-26 consent of one user is not that of another', async () => {
  const app = await server.addClient();
  await agree(app);
  const grace = await server.logIn('grace@example.com');
  const { page } = await authorize(grace, app);
  assert.ok(page.text.includes('name="decision"'));
});

test('OA-26 a form from elsewhere is refused, whichever sign it lacks', async () => {
  const app = await server.addClient();
  const { page } = await authorize(browser, app);
  const hidden = (name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(page.text)?.[1] ?? '';
  const fields = { request: hidden('request'), csrf: hidden('csrf'), decision: 'allow' };
  const send = async (body: Record<string, string>, site: 'same-origin' | 'cross-site', origin: string) => {
    const init = { method: 'POST', body: new URLSearchParams(body), headers: { origin } };
    const response = await browser.request('/oauth2/authorize/consent', init, site);
    await response.body?.cancel();
    return { status: response.status, location: response.headers.get('location') };
  };
  const refused = { status: 403, location: null };
  const own = new URL(server.issuer).origin;
  assert.deepEqual(await send(fields, 'cross-site', 'https://evil.example'), refused);
  assert.deepEqual(await send(fields, 'cross-site', own), refused);
  assert.deepEqual(await send(fields, 'same-origin', 'https://evil.example'), refused);
  assert.deepEqual(await send({ ...fields, csrf: '' }, 'same-origin', own), refused);
  assert.deepEqual(await send({ ...fields, csrf: 'A'.repeat(43) }, 'same-origin', own), refused);
  const grace = await server.logIn('grace@example.com');
  const cookie = browser.cookies.get('__Host-session') ?? '';
  browser.cookies.set('__Host-session', grace.cookies.get('__Host-session') ?? '');
  assert.deepEqual(await send(fields, 'same-origin', own), refused, 'a token of another session');
  browser.cookies.set('__Host-session', cookie);
  const good = await send(fields, 'same-origin', own);
  assert.equal(good.status, 303, 'BC-07');
  assert.match(good.location ?? '', /[?&]code=/);
});

test('a sealed request that was changed, or is an hour old, goes nowhere', async () => {
  const app = await server.addClient();
  const { page } = await authorize(browser, app);
  const sealed = /name="request" value="([^"]*)"/.exec(page.text)?.[1] ?? '';
  const middle = sealed.length >> 1;
  const changed = `${sealed.slice(0, middle)}${sealed[middle] === 'A' ? 'B' : 'A'}${sealed.slice(middle + 1)}`;
  for (const request of [changed, sealed.slice(1), '', 'x']) {
    const shown = await browser.get(`/oauth2/authorize/continue?request=${request}`);
    assert.equal(shown.status, 400);
    const sent = await browser.submit(page, { request, decision: 'allow' }, { action: '/consent' });
    assert.deepEqual([sent.status, sent.headers.get('location')], [400, null]);
  }
  server.clock.advance(60 * 60_000 + 1_000);
  const late = await browser.submit(page, { decision: 'allow' }, { action: '/consent' });
  assert.deepEqual([late.status, late.headers.get('location')], [400, null]);
  assert.equal(await isAsked(app), true, 'a new request is as good as ever');
});

test('HD-06 BC-09 BC-13 the page lets its form lead to the client and nowhere else, and cannot be framed', async () => {
  const app = await server.addClient({ name: '<b>Pay & Co</b>' });
  const { page } = await authorize(browser, app);
  const policy = page.headers.get('content-security-policy') ?? '';
  assert.match(policy, /(^|; )form-action 'self' https:\/\/app\.example(;|$)/);
  assert.match(policy, /(^|; )default-src 'none'(;|$)/);
  assert.match(policy, /(^|; )frame-ancestors 'none'(;|$)/);
  assert.match(policy, /(^|; )base-uri 'none'(;|$)/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.equal(page.headers.get('x-frame-options'), 'DENY');
  assert.equal(page.headers.get('referrer-policy'), 'no-referrer');
  assert.equal(page.headers.get('cache-control'), 'no-store');
  assert.doesNotMatch(page.text, /<script|<b>Pay|(src|href)="(https?:)?\/\//i);
  const native = await server.addClient({ isConfidential: false, redirectUris: ['com.example.app:/cb'] });
  const shown = await authorize(browser, native);
  assert.match(shown.page.headers.get('content-security-policy') ?? '', /form-action 'self' com\.example\.app:(;|$)/);
});

test('BC-12 the page names the client, the user, the scopes, the resource and the time', async () => {
  const app = await server.addClient({
    name: 'Budget',
    refreshAbsoluteSeconds: 30 * 86_400,
    refreshIdleSeconds: 3_600,
  });
  const { page } = await authorize(browser, app, { scope: 'openid email accounts:read' });
  for (const text of ['Budget', 'ada@example.com', 'accounts:read', app.client.audience, '30 days', 'app.example']) {
    assert.ok(page.text.includes(text), text);
  }
});

test('BC-07 every redirect after a form is 303, so that no browser sends the form’s fields on', async () => {
  const person = await server.logIn('edsger@example.com');
  const app = await server.addClient();
  const hidden = (text: string, name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(text)?.[1] ?? '';
  const statuses: Record<string, number> = {};
  const post = async (path: string, body: Record<string, string>) => {
    const init = { method: 'POST', body: new URLSearchParams(body) };
    const response = await person.request(path, init, 'same-origin');
    await response.body?.cancel();
    statuses[path] = response.status;
  };
  const login = await person.get('/login');
  await post('/login', { csrf: hidden(login.text, 'csrf'), email: 'edsger@example.com' });
  await person.get(linkIn(await server.mailTo('edsger@example.com', server.mails.length - 1)));
  const link = await person.get('/login/link');
  await post('/login/link', { csrf: hidden(link.text, 'csrf') });
  const { page } = await authorize(person, app);
  const request = hidden(page.text, 'request');
  await post('/oauth2/authorize/consent', { request, csrf: hidden(page.text, 'csrf'), decision: 'deny' });
  await post('/oauth2/authorize/consent', { request, csrf: hidden(page.text, 'csrf'), decision: 'allow' });
  const logout = await person.get('/logout');
  await post('/logout', { csrf: hidden(logout.text, 'csrf') });
  assert.deepEqual(statuses, { '/login': 303, '/login/link': 303, '/oauth2/authorize/consent': 303, '/logout': 303 });
});

test('BC-08 where the browser goes on after a login is no parameter', async () => {
  const stranger = server.browser();
  for (const target of ['https://evil.example', '//evil.example', '/\\evil.example', '/account']) {
    const shown = await stranger.get(`/login?continue=${encodeURIComponent(target)}`);
    assert.equal(shown.status, 400, target);
    const ignored = await stranger.get(`/login?next=${encodeURIComponent(target)}`);
    assert.equal(ignored.status, 200);
    assert.equal(ignored.text.includes(target), false);
  }
});
