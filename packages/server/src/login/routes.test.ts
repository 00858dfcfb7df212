import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../limits/limits.ts';
import { ISSUER, SEALED_REQUEST, type Setup, setUp } from './testing/setup.ts';

/** A browser: keeps cookies, follows nothing by itself, sends what a browser sends with a form. */
class Browser {
  readonly cookies = new Map<string, string>();
  readonly #setup: Setup;
  readonly #address: string;
  csrf = '';

  constructor(setup: Setup, address = '192.0.2.1') {
    this.#setup = setup;
    this.#address = address;
  }

  async get(path: string, method: 'GET' | 'HEAD' = 'GET') {
    return this.#send(new Request(ISSUER + path, { method, headers: this.#headers() }));
  }

  /** Sends a form of our own page, with the csrf token of the page last seen. */
  async post(path: string, fields: Record<string, string>, headers: Record<string, string> = {}) {
    const body = new URLSearchParams({ csrf: this.csrf, ...fields }).toString();
    const own = {
      'content-type': 'application/x-www-form-urlencoded',
      origin: ISSUER,
      'sec-fetch-site': 'same-origin',
    };
    return this.#send(
      new Request(ISSUER + path, { method: 'POST', body, headers: { ...this.#headers(), ...own, ...headers } }),
    );
  }

  async #send(request: Request) {
    const response = await this.#setup.fetch(request, this.#address);
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^__Host-(\w+)=([^;]*)/.exec(line) ?? [];
      if (value === '') this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    const text = await response.text();
    this.csrf = /name="csrf" value="([^"]+)"/.exec(text)?.[1] ?? this.csrf;
    const location = response.headers.get('location') ?? '';
    return { status: response.status, text, location, headers: response.headers };
  }

  #headers(): Record<string, string> {
    const cookie = [...this.cookies].map(([name, value]) => `__Host-${name}=${value}`).join('; ');
    return cookie === '' ? {} : { cookie };
  }
}

const ANN = 'ann@example.org';

/** Begins a login up to the page that says that a mail was sent. */
async function begin(browser: Browser, fields: Record<string, string> = {}) {
  await browser.get(fields.continue ? `/login?continue=${fields.continue}` : '/login');
  const answer = await browser.post('/login', { email: ANN, ...fields });
  assert.equal(answer.status, 303);
  const sent = await browser.get(answer.location);
  return { answer, sent, linkId: /login=(\w+)/.exec(answer.location)?.[1] ?? '' };
}

async function logIn(setup: Setup, browser: Browser) {
  await begin(browser);
  const { token } = await setup.newestMail();
  await browser.get(`/login/link?token=${token}`);
  await browser.get('/login/link');
  return browser.post('/login/link', {});
}

test('ML-02 ML-11 ML-12 the link: scanners spend nothing, the token leaves the URL, one click logs in', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  await begin(browser);
  const { token } = await setup.newestMail();
  const scanner = new Browser(setup, '198.51.100.7');
  for (let i = 0; i < 5; i++) {
    const head = await scanner.get(`/login/link?token=${token}`, 'HEAD');
    assert.equal(head.headers.getSetCookie().length, 0);
    const seen = await scanner.get(`/login/link?token=${token}`);
    assert.equal(seen.status, 303);
    assert.equal(seen.location, '/login/link');
    await scanner.get('/login/link');
  }
  assert.equal(scanner.cookies.has('session'), false);

  const before = browser.cookies.get('login');
  await browser.get(`/login/link?token=${token}`);
  const page = await browser.get('/login/link');
  assert.match(page.text, /a\*\*\*@example\.org/);
  assert.equal(page.headers.get('referrer-policy'), 'no-referrer');
  assert.equal(page.headers.get('cache-control'), 'no-store');
  assert.doesNotMatch(page.text, /<script|src=|token/);
  assert.equal(browser.cookies.has('session'), false);
  const entered = await browser.post('/login/link', {});
  assert.equal(entered.status, 303);
  assert.equal(entered.location, '/account');
  assert.ok(browser.cookies.has('session'));
  assert.ok(!browser.cookies.has('link'));
  assert.notEqual(browser.cookies.get('login'), before);
});

test('SE-01 every cookie is __Host-, Secure, HttpOnly and Lax, on every path', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  const seen = [await browser.get('/login'), await logIn(setup, browser)].flatMap(({ headers }) =>
    headers.getSetCookie(),
  );
  assert.ok(seen.length >= 4);
  for (const line of seen) {
    assert.match(line, /^__Host-\w+=/);
    for (const attribute of ['Secure', 'HttpOnly', 'Path=/', 'SameSite=Lax']) assert.ok(line.includes(attribute), line);
    assert.doesNotMatch(line, /Domain=/);
  }
});

test('ML-03 ML-04 in another browser the link shows what was asked, with neither code nor button', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  const { linkId } = await begin(browser, { continue: SEALED_REQUEST });
  const { token, code } = await setup.newestMail();
  const other = new Browser(setup, '198.51.100.7');
  await other.get('/login');
  await other.get(`/login/link?token=${token}`);
  const page = await other.get('/login/link');
  assert.equal(page.status, 200);
  assert.match(page.text, /Shop/);
  assert.match(page.text, /192\.0\.2\.0\/24/);
  assert.doesNotMatch(page.text, /<form|<button/);
  assert.ok(!page.text.includes(code));
  await other.get('/login');
  assert.notEqual((await other.post('/login/link', {})).status, 303);
  assert.equal(other.cookies.has('session'), false);

  await browser.get(`/login/sent?login=${linkId}`);
  const entered = await browser.post('/login/code', { login: linkId, code: code.toLowerCase() });
  assert.equal(entered.location, `/oauth2/authorize/continue?request=${SEALED_REQUEST}`);
});

test('ML-08 attack-14 known and unknown addresses get the same answer, and no answer holds link or code', async () => {
  const setup = await setUp({ signUp: false });
  await setup.store.write((tx) => setup.users.create(tx, ANN));
  const pages: string[] = [];
  for (const email of [ANN, 'bob@example.org']) {
    const browser = new Browser(setup);
    const { answer, sent, linkId } = await begin(browser, { email });
    const { token, code } = await setup.newestMail();
    assert.equal(token !== '' && code !== '', email === ANN, 'only a mail to somebody known holds link and code');
    for (const secret of [token, code, code.replace('-', '')].filter((text) => text !== '')) {
      assert.ok(!(answer.text + answer.location + sent.text).includes(secret));
    }
    const wrong = await browser.post('/login/code', { login: linkId, code: 'AAA-AAA' });
    assert.equal(wrong.status, 400);
    const blank = (text: string) =>
      text
        .replaceAll(email, '')
        .replaceAll(linkId, '')
        .replace(/csrf" value="[^"]+/, '');
    pages.push(blank(sent.text) + blank(wrong.text));
  }
  assert.equal(pages[0], pages[1]);
});

test('ML-10 attack-13 a foreign Host or X-Forwarded-Host changes no link', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  await browser.get('/login');
  const headers = { 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example', host: 'evil.example' };
  await browser.post('/login', { email: ANN }, headers);
  const { mail } = await setup.newestMail();
  assert.ok(mail?.text.includes(`${ISSUER}/login/link?token=`));
  assert.ok(!`${mail?.text}${mail?.html}`.includes('evil.example'));
});

test('SE-07 forms from elsewhere, without token, or from another browser are refused', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  await browser.get('/login');
  const good = browser.csrf;
  const stranger = new Browser(setup);
  await stranger.get('/login');
  const refused = [
    await browser.post('/login', { email: ANN, csrf: '' }),
    await browser.post('/login', { email: ANN, csrf: stranger.csrf }),
    await browser.post(
      '/login',
      { email: ANN, csrf: good },
      { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
    ),
    await browser.post('/login', { email: ANN, csrf: good }, { origin: 'null', 'sec-fetch-site': 'cross-site' }),
    await browser.post(
      '/login',
      { email: ANN, csrf: good },
      { 'content-type': 'text/plain', origin: 'null', 'sec-fetch-site': 'none' },
    ),
    await new Browser(setup).post('/login', { email: ANN, csrf: good }),
  ];
  for (const answer of refused) assert.equal(answer.status, 403);
  await setup.mail.sendDue();
  assert.equal(setup.mailbox.list().length, 0);
});

test('a continuation that is none of ours ends in a page, not in a redirect', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  for (const text of ['https://evil.example/', '//evil.example', 'x']) {
    const answer = await browser.get(`/login?continue=${encodeURIComponent(text)}`);
    assert.equal(answer.status, 400);
    assert.ok(!answer.text.includes('evil.example'));
  }
  await browser.get('/login');
  assert.equal((await browser.post('/login', { email: ANN, continue: 'https://evil.example/' })).status, 400);
});

test('HD-06 the forms that end at a client list its origin', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  const { sent } = await begin(browser, { continue: SEALED_REQUEST });
  assert.match(sent.headers.get('content-security-policy') ?? '', /form-action 'self' https:\/\/shop\.example;/);
  await browser.get(`/login/link?token=${(await setup.newestMail()).token}`);
  const confirm = await browser.get('/login/link');
  assert.match(confirm.headers.get('content-security-policy') ?? '', /form-action 'self' https:\/\/shop\.example;/);
});

test('ML-09 a network that asks too often is told so, with Retry-After', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  await browser.get('/login');
  for (let i = 0; i < LIMITS.loginPerNetwork.points; i++) setup.limits.take('loginPerNetwork', '192.0.2.1');
  const answer = await browser.post('/login', { email: ANN });
  assert.equal(answer.status, 429);
  assert.ok(Number(answer.headers.get('retry-after')) > 0);
});

test('ML-13 an address that is none is refused on the page and not written to', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  await browser.get('/login');
  for (const email of ['', 'ann', 'a@x.com\r\nBcc: b@x.com', 'ann\uff20example.org', '<script>@x.com']) {
    const answer = await browser.post('/login', { email });
    assert.equal(answer.status, 400);
    assert.ok(!answer.text.includes('<script'));
  }
  await setup.mail.sendDue();
  assert.equal(setup.mailbox.list().length, 0);
});

test('attack-17 a session and a login cookie planted before the login do not live on', async () => {
  const setup = await setUp();
  const attacker = new Browser(setup);
  await logIn(setup, attacker);
  const planted = attacker.cookies.get('session') ?? '';
  const victim = new Browser(setup);
  await victim.get('/login');
  victim.cookies.set('session', planted);
  await logIn(setup, victim);
  assert.notEqual(victim.cookies.get('session'), planted);
  assert.equal(await setup.sessions.find(planted), undefined);
});

test('SE-04 BC-07 logging out asks first, ends the session, clears the cookies and answers 303', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  await logIn(setup, browser);
  const cookie = browser.cookies.get('session') ?? '';
  assert.match((await browser.get('/logout')).text, /Log out/);
  assert.equal((await browser.post('/logout', { csrf: 'x' })).status, 403);
  assert.ok(await setup.sessions.find(cookie));
  await browser.get('/logout');
  const out = await browser.post('/logout', {});
  assert.equal(out.status, 303);
  assert.equal(out.location, '/login?done=logout');
  assert.deepEqual([...browser.cookies.keys()], ['known']);
  browser.cookies.set('session', cookie);
  assert.equal((await browser.get('/account')).location, '/login');
  assert.match((await browser.get('/login?done=logout')).text, /You are logged out/);
});

test('RV-08 the account page lists connected apps, and a button ends each', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  await logIn(setup, browser);
  const name = 'Shop <b>&</b>';
  setup.applications.push({ grantId: 'grant_1', clientName: name, scope: 'openid', createdAtMs: 0 });
  const page = await browser.get('/account');
  assert.ok(page.text.includes('Shop &lt;b&gt;&amp;&lt;/b&gt;') && !page.text.includes(name));
  assert.match(page.text, /this browser/);
  assert.equal((await browser.post('/account/disconnect', { grant: 'grant_1' })).status, 403); // the logout form's token
  browser.csrf = /name="csrf" value="([^"]+)">\s*<input type="hidden" name="grant"/.exec(page.text)?.[1] ?? '';
  assert.equal((await browser.post('/account/disconnect', { grant: 'grant_1' })).location, '/account');
  assert.equal(setup.applications.length, 0);
});

test('links that cannot go on: fixed sentences with fitting statuses', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  assert.equal((await browser.get('/login/link')).status, 400);
  assert.equal((await browser.get('/login/link?token=a.b.c')).status, 400);
  assert.equal((await browser.get(`/login/link?token=${encodeURIComponent('"><script>')}`)).status, 400);
  await begin(browser);
  const { token } = await setup.newestMail();
  await begin(browser);
  await browser.get(`/login/link?token=${token}`);
  assert.match((await browser.get('/login/link')).text, /newer mail/);
  setup.pass(11 * 60_000);
  const expired = await browser.get(`/login/link?token=${token}`);
  assert.equal(expired.status, 410);
  assert.match(expired.text, /expired/);
});

test('the stylesheet is public and cacheable; pages are not', async () => {
  const setup = await setUp();
  const browser = new Browser(setup);
  const style = await browser.get('/assets/countersign.css');
  assert.match(style.headers.get('content-type') ?? '', /^text\/css/);
  assert.match(style.headers.get('cache-control') ?? '', /^public/);
  assert.equal((await browser.get('/login')).headers.get('cache-control'), 'no-store');
  assert.equal((await browser.get('/account/x.css')).status, 404);
});

test('the hint of an app fills in the field, escaped', async () => {
  const setup = await setUp();
  const page = await new Browser(setup).get(`/login?continue=${SEALED_REQUEST}`);
  assert.match(page.text, /value="ann@&quot;example\.org"/);
  assert.match(page.text, /Log in to Shop/);
});
