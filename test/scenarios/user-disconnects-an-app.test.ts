import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer } from '@countersign/testkit';

const server = await startTestServer();
after(() => server.close());

test('RV-08 a user sees the apps that may act for him and ends one; its tokens die and it must ask again', async () => {
  const shop = await server.addClient({ name: 'Shop' });
  const bank = await server.addClient({ name: 'Bank' });
  const browser = await server.logIn('ada@example.com');
  const scope = 'openid offline_access accounts:read';
  const ofShop = await server.obtainTokens({ browser, ...shop, scope });
  const ofBank = await server.obtainTokens({ browser, ...bank, scope });
  const stranger = await server.logIn('mallory@example.com');

  const account = await browser.get('/account');
  assert.match(account.text, /<strong>Shop<\/strong>[\s\S]*accounts:read/);
  assert.match(account.text, /<strong>Bank<\/strong>/);
  assert.doesNotMatch((await stranger.get('/account')).text, /Shop|Bank/);

  // The newest grant stands somewhere in the list; its form is the one whose button names it.
  const item = account.text.split('<li>').find((each) => each.includes('<strong>Shop</strong>')) ?? '';
  const grant = /name="grant" value="([^"]+)"/.exec(item)?.[1] ?? '';
  assert.match(grant, /^grant_/);

  // LG-01: with a good token of his own, a stranger cannot end it.
  const own = stranger.cookies;
  await server.obtainTokens({ browser: stranger, ...bank, scope });
  const foreign = await stranger.submit(await stranger.get('/account'), { grant }, { action: '/account/disconnect' });
  assert.equal(foreign.status, 200);
  assert.ok(own.size > 0 && (await browser.get('/account')).text.includes('<strong>Shop</strong>'), 'nothing ended');

  const after = await browser.submit(account, { grant }, { action: '/account/disconnect' });
  assert.doesNotMatch(after.text, /<strong>Shop<\/strong>/);
  assert.match(after.text, /<strong>Bank<\/strong>/);

  const refresh = (app: typeof shop, token: string | undefined) =>
    server.post('/oauth2/token', {
      grant_type: 'refresh_token',
      refresh_token: token ?? '',
      client_id: app.client.id,
      client_secret: app.secret,
    });
  const refused = await refresh(shop, ofShop.refresh_token);
  assert.equal(refused.status, 400);
  assert.equal((await refused.json()).error, 'invalid_grant');
  assert.equal((await refresh(bank, ofBank.refresh_token)).status, 200);
  const whoami = (token: string) =>
    fetch(`${server.issuer}/ping/whoami`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal((await whoami(ofShop.access_token)).status, 401);
  assert.deepEqual(await server.alarms(), []);

  const query = new URLSearchParams({
    response_type: 'code',
    client_id: shop.client.id,
    redirect_uri: shop.client.redirectUris[0] ?? '',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  });
  assert.match((await browser.get(`/oauth2/authorize?${query}`)).text, /asks to act for/, 'consent is asked anew');
});
