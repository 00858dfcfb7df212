/**
 * What a stranger sends is read by expressions that go through it once. Each text here is as long as its reader lets it be, and of
 * the shape that makes a careless expression try again and again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestServer } from '@countersign/testkit';

/** A page is answered in a few milliseconds, and in far less than this on a busy machine; a backtracking expression takes minutes. */
const FAR_TOO_LONG_MS = 2_000;
const LONG = 7_000;

test('DP-09 no text that a request may hold keeps the server from answering', async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  const { client, secret } = await server.addClient({ redirectUris: ['http://127.0.0.1/callback'] });
  const request = {
    client_id: client.id,
    response_type: 'code',
    code_challenge: 'A'.repeat(43),
    code_challenge_method: 'S256',
  };
  const authorize = (parameters: Record<string, string>) => () =>
    fetch(`${server.issuer}/oauth2/authorize?${new URLSearchParams({ ...request, ...parameters })}`, {
      redirect: 'manual',
    });
  const token = (parameters: Record<string, string>) => () =>
    server.post('/oauth2/token', { client_id: client.id, client_secret: secret, ...parameters });
  const bearer = (text: string) => () =>
    fetch(`${server.issuer}/ping/whoami`, { headers: { authorization: `Bearer ${text}` } });
  const login = (email: string) => async () => {
    const browser = server.browser();
    return browser.submit(await browser.get('/login'), { email });
  };
  const texts: [string, () => Promise<{ status: number }>][] = [
    ['an address of dots', login(`${'a.'.repeat(LONG / 2)}@`)],
    ['an address of labels', login(`a@${'a-'.repeat(120)}`)],
    ['an address of spaces', login(' '.repeat(LONG))],
    ['a redirect URI of paths', authorize({ redirect_uri: `http://127.0.0.1:1${'/..'.repeat(600)}` })],
    ['a scope of spaces', authorize({ scope: ' '.repeat(LONG) })],
    ['a prompt of words', authorize({ prompt: 'none '.repeat(LONG / 5) })],
    ['a scope of one word', token({ grant_type: 'client_credentials', scope: '!'.repeat(LONG) })],
    ['a verifier without end', token({ grant_type: 'authorization_code', code: 'a', code_verifier: 'a'.repeat(LONG) })],
    ['a token of dots', bearer('.'.repeat(LONG))],
    ['a token of one segment', bearer(`${'A'.repeat(LONG)}=`)],
    ['a token of deep JSON', bearer(`${Buffer.from('['.repeat(LONG / 2)).toString('base64url')}.e30.AA`)],
    [
      'a browser of versions',
      () => fetch(server.issuer, { headers: { 'user-agent': 'Version/1.'.repeat(LONG / 10) } }),
    ],
    ['cookies of semicolons', () => fetch(server.issuer, { headers: { cookie: '; ='.repeat(LONG / 3) } })],
  ];
  for (const [what, send] of texts) {
    const startedMs = performance.now();
    const { status } = await send();
    assert.ok(status < 500, `${what} is answered: ${status}`);
    const elapsedMs = performance.now() - startedMs;
    assert.ok(elapsedMs < FAR_TOO_LONG_MS, `${what} took ${Math.round(elapsedMs)} ms`);
  }
});
