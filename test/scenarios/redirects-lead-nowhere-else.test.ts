import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Browser, codeIn, linkIn, startTestServer } from '@countersign/testkit';
import { linesOf, rawRequest } from './raw-request.ts';

const server = await startTestServer();
after(() => server.close());
const { client } = await server.addClient();
const browser = await server.logIn('ada@example.com');
const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');

test('BC-07 after a form with a credential or a consent the redirect is a 303', async () => {
  const post = async (form: { action: URL; body: URLSearchParams }, by: Browser) =>
    (await by.request(form.action.href, { method: 'POST', body: form.body }, 'same-origin')).status;
  const statuses: Record<string, number> = {};
  const person = server.browser();
  const start = person.form(await person.get('/login'));
  start.body.set('email', 'grace@example.com');
  const started = await person.request(start.action.href, { method: 'POST', body: start.body }, 'same-origin');
  statuses.login = started.status;
  const link = linkIn(await server.mailTo('grace@example.com'));
  statuses.link = await post(person.form(await person.get(link)), person);

  const other = server.browser();
  const before = server.mails.length;
  const typed = other.form(await other.submit(await other.get('/login'), { email: 'grace@example.com' }));
  typed.body.set('code', codeIn(await server.mailTo('grace@example.com', before)));
  statuses.code = await post(typed, other);

  const query = new URLSearchParams({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: client.redirectUris[0] ?? '',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  });
  const consent = person.form(await person.get(`/oauth2/authorize?${query}`));
  consent.body.set('decision', 'allow');
  statuses.consent = await post(consent, person);
  statuses.logout = await post(person.form(await person.get('/logout')), person);
  assert.deepEqual(statuses, { login: 303, link: 303, code: 303, consent: 303, logout: 303 });
});

test('BC-08 attack-12 no parameter of a page sends anybody elsewhere', async () => {
  const targets = [
    'https://evil.example',
    '//evil.example',
    '/\\evil.example',
    'javascript:alert(1)',
    'https:evil.example',
  ];
  const names = [
    'next',
    'continue',
    'return_to',
    'redirect',
    'redirect_uri',
    'request',
    'url',
    'login',
    'post_logout_redirect_uri',
  ];
  const pages = [
    '/login',
    '/logout',
    '/account',
    '/login/sent',
    '/login/link',
    '/oauth2/authorize',
    '/oauth2/authorize/continue',
    '/',
  ];
  for (const page of pages) {
    for (const target of targets) {
      const query = new URLSearchParams(names.map((name) => [name, target]));
      const answer = await rawRequest(server.tlsOrigin, { path: `${page}?${query}`, headers: { cookie } });
      for (const location of linesOf(answer, 'location')) {
        assert.equal(new URL(location, server.issuer).origin, server.issuer, `${page} ${target}`);
      }
      assert.doesNotMatch(answer.body, /(href|action)="[^"]*evil/, page);
    }
  }
  const good = await server.obtainCode({ browser, client });
  assert.equal(good.location.origin, 'https://app.example', 'the registered redirect_uri is where a code goes');
});
