import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Browser, codeIn, linkIn, type Page, startTestServer } from '@countersign/testkit';

const server = await startTestServer();
after(() => server.close());
const { client, secret } = await server.addClient({ name: 'Shop' });

let people = 0;
/** An address that nobody had before: no story counts towards the limits of another. */
const somebody = () => `user${people++}@example.com`;

interface Story {
  path: string;
  /** A browser on the page with the form, and what a person adds to it. */
  open(): Promise<{ browser: Browser; page: Page; fields?: Record<string, string> }>;
}

async function begun() {
  const browser = server.browser();
  const email = somebody();
  const page = await browser.submit(await browser.get('/login'), { email });
  return { browser, page, mail: await server.mailTo(email) };
}

const authorize = () =>
  `/oauth2/authorize?${new URLSearchParams({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: client.redirectUris[0] ?? '',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    prompt: 'consent',
  })}`;

const STORIES: Story[] = [
  {
    path: '/login',
    async open() {
      const browser = server.browser();
      return { browser, page: await browser.get('/login'), fields: { email: somebody() } };
    },
  },
  {
    path: '/login/code',
    async open() {
      const { browser, page, mail } = await begun();
      return { browser, page, fields: { code: codeIn(mail) } };
    },
  },
  {
    path: '/login/link',
    async open() {
      const { browser, mail } = await begun();
      return { browser, page: await browser.get(linkIn(mail)) };
    },
  },
  {
    path: '/logout',
    async open() {
      const browser = await server.logIn(somebody());
      return { browser, page: await browser.get('/logout') };
    },
  },
  {
    path: '/account/disconnect',
    async open() {
      const browser = await server.logIn(somebody());
      await server.obtainTokens({ browser, client, secret, scope: 'openid offline_access' });
      return { browser, page: await browser.get('/account') };
    },
  },
  {
    path: '/account/end-session',
    async open() {
      const email = somebody();
      await server.logIn(email);
      const browser = await server.logIn(email);
      return { browser, page: await browser.get('/account') };
    },
  },
  {
    path: '/oauth2/authorize/consent',
    async open() {
      const browser = await server.logIn(somebody());
      return { browser, page: await browser.get(authorize()), fields: { decision: 'allow' } };
    },
  },
];

test('SE-07 these are all the forms there are', () => {
  // A client's site may post to the authorization endpoint itself; it answers by redirects and does nothing by itself.
  const backChannel =
    /^\/(oauth2\/(token|revoke|introspect|logout|authorize)$|verifier\/|userinfo$|forward-auth$|admin(\/|$))/;
  const posts = server.routes.filter(({ method, path }) => method === 'POST' && !backChannel.test(path));
  assert.deepEqual(posts.map(({ path }) => path).sort(), STORIES.map(({ path }) => path).sort());
});

for (const { path, open } of STORIES) {
  test(`SE-07 attack-18 POST ${path}: only from our own page, with its token, in its browser`, async () => {
    const { browser, page, fields = {} } = await open();
    const { action, body } = browser.form(page, { action: path });
    assert.equal(action.pathname, path);
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    const stranger = await open();
    const foreignToken = stranger.browser.form(stranger.page, { action: path }).body.get('csrf') ?? '';
    const otherBody = (change: (body: URLSearchParams) => void) => {
      const changed = new URLSearchParams(body);
      change(changed);
      return changed;
    };
    const send = (init: RequestInit, site: 'none' | 'same-origin' | 'cross-site' = 'same-origin') =>
      browser.request(action.href, { method: 'POST', body, ...init }, site);
    const refusals: [string, Promise<Response>][] = [
      ['no token', send({ body: otherBody((each) => each.delete('csrf')) })],
      ['empty token', send({ body: otherBody((each) => each.set('csrf', '')) })],
      ['token of another browser', send({ body: otherBody((each) => each.set('csrf', foreignToken)) })],
      ['foreign Origin', send({ headers: { origin: 'https://evil.example' } })],
      ['Origin that begins alike', send({ headers: { origin: `${server.issuer}.evil.example` } })],
      ['from another site', send({}, 'cross-site')],
      ['sandboxed frame', send({ headers: { origin: 'null' } }, 'cross-site')],
    ];
    for (const [what, answer] of refusals) {
      assert.equal((await answer).status, 403, what);
    }
    const asText = await send({ body: body.toString(), headers: { 'content-type': 'text/plain' } });
    assert.equal(asText.status, 400, 'a form in disguise');
    const good = await send({});
    assert.equal(good.status, 303, `the same form from its own page: ${await good.text()}`);
  });
}

test('SE-07 a form from a browser that says nothing of where it comes from is refused', async () => {
  const { browser, page } = await begun();
  const { body } = browser.form(page);
  const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  body.set('code', '222-222');
  const send = (headers: Record<string, string>) =>
    fetch(`${server.issuer}/login/code`, {
      method: 'POST',
      body,
      headers: { cookie, 'sec-fetch-mode': '', ...headers },
    });
  assert.equal((await send({})).status, 403);
  assert.equal((await send({ origin: server.issuer })).status, 400, 'then only the code is wrong');
});
