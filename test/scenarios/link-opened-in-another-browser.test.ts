import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { codeIn, linkIn, startTestServer } from '@countersign/testkit';

const PHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1';

const server = await startTestServer();
after(() => server.close());

test('ML-03 ML-04 pain-2 the other browser shows who asked, with neither code nor button; the code goes on in the first', async () => {
  const laptop = server.browser();
  const sent = await laptop.submit(await laptop.get('/login'), { email: 'ada@example.com' });
  const mail = await server.mailTo('ada@example.com');
  const [link, code] = [linkIn(mail), codeIn(mail)];

  const phone = server.browser(PHONE);
  const shown = await phone.get(link);
  assert.equal(shown.status, 200);
  assert.match(shown.text, /started in another browser/);
  assert.match(
    shown.text,
    /<dd>Countersign<\/dd>[\s\S]*<dd>Firefox on Linux<\/dd>[\s\S]*<dd>\S+\/\d+<\/dd>[\s\S]*UTC<\/dd>/,
  );
  for (const spelling of [code, code.replace('-', ''), code.replace('-', ' ')]) {
    assert.ok(!shown.text.includes(spelling), 'the code stands in the mail only');
  }
  assert.doesNotMatch(shown.text, /<form|<button|<input/);
  assert.ok(!phone.cookies.has('__Host-session'));

  const account = await laptop.submit(sent, { code });
  assert.match(account.text, /ada@example\.com/);
  assert.ok(laptop.cookies.has('__Host-session'));
  assert.ok(!phone.cookies.has('__Host-session') && (await phone.get('/account')).url.endsWith('/login'));
});

test('ML-04 ML-07 attack-8 a code is of no use in a browser that did not ask for it', async () => {
  const victim = server.browser();
  const sent = await victim.submit(await victim.get('/login'), { email: 'victim@example.com' });
  const code = codeIn(await server.mailTo('victim@example.com'));

  const thief = server.browser();
  const thiefSent = await thief.submit(await thief.get('/login'), { email: 'thief@example.com' });
  const own = codeIn(await server.mailTo('thief@example.com'));
  const wrong = await thief.submit(thiefSent, { code });
  assert.equal(wrong.status, 400, 'typed into a login of his own');
  const { body: sentForm } = victim.form(sent);
  const foreign = await thief.submit(thiefSent, { code, login: sentForm.get('login') ?? '' });
  assert.equal(foreign.status, 400, 'with the name of the other login');
  assert.ok(!thief.cookies.has('__Host-session'));

  await thief.submit(thiefSent, { code: own });
  assert.ok(thief.cookies.has('__Host-session'), 'his own code is good in his own browser');
  await victim.submit(sent, { code });
  assert.ok(victim.cookies.has('__Host-session'), 'and so is the other where it was asked for');
});

test('ML-04 a link that is followed by somebody else logs him in as nobody', async () => {
  const attacker = server.browser();
  await attacker.submit(await attacker.get('/login'), { email: 'mallory@example.com' });
  const link = linkIn(await server.mailTo('mallory@example.com'));
  const victim = await server.logIn('eve@example.com');
  await victim.get(link);
  assert.match((await victim.get('/account')).text, /eve@example\.com/, 'the session that was there stays');
});
