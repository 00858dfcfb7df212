import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startTestServer } from '@countersign/testkit';

const LOOPBACK = ['127.0.0.0/8', '::1/128'];

async function setUp(t: TestContext, trustedProxies: string[]) {
  const server = await startTestServer({
    settings: { trustedProxies },
    limits: { loginPerNetwork: { points: 3 } },
    jobs: false,
  });
  t.after(() => server.close());
  /** The status of a login begun by somebody who sends these headers. */
  const begin = async (headers: Record<string, string>, email = 'ada@example.com') => {
    const browser = server.browser();
    const page = await browser.get('/login');
    Object.assign(browser.extraHeaders, headers);
    return (await browser.submit(page, { email })).status;
  };
  const statuses = async (forwarded: string[]) => {
    const all = [];
    for (const each of forwarded) all.push(await begin({ 'x-forwarded-for': each, 'x-real-ip': each }));
    return all;
  };
  return { server, statuses };
}

test('DP-05 SC-08 without a trusted proxy X-Forwarded-For changes no address', async (t) => {
  const { server, statuses } = await setUp(t, []);
  assert.deepEqual(await statuses(['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4']), [200, 200, 200, 429]);
  await server.authority.mail.sendDue();
  assert.equal(server.mails.length, 3);
  for (const { text } of server.mails) assert.doesNotMatch(text, /192\.0\.2/);
});

test('DP-05 behind a trusted proxy the address it names is counted and told', async (t) => {
  const { server, statuses } = await setUp(t, LOOPBACK);
  assert.deepEqual(await statuses(['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4']), [200, 200, 200, 200]);
  assert.deepEqual(await statuses(['192.0.2.4', '192.0.2.4', '192.0.2.4']), [200, 200, 429]);
  await server.authority.mail.sendDue();
  assert.match(server.mails[0]?.text ?? '', /192\.0\.2\.0\/24/);
});

test('DP-05 what the client wrote left of the proxy’s own entry is not believed', async (t) => {
  const { statuses } = await setUp(t, LOOPBACK);
  const spoofed = [
    '203.0.113.1, 192.0.2.9',
    '203.0.113.2, 192.0.2.9',
    '203.0.113.3, 192.0.2.9',
    '203.0.113.4, 192.0.2.9',
  ];
  assert.deepEqual(await statuses(spoofed), [200, 200, 200, 429]);
});

test('SC-08 X-Forwarded-Proto: http counts from a trusted proxy only', async (t) => {
  const answers = [];
  for (const trusted of [[], LOOPBACK]) {
    const { server } = await setUp(t, trusted);
    const marked = server.browser();
    marked.extraHeaders['x-forwarded-proto'] = 'http';
    const answer = await marked.request('/login');
    answers.push([answer.status, answer.headers.get('location'), answer.headers.has('strict-transport-security')]);
    if (trusted.length > 0) assert.equal(answer.headers.get('location'), `${server.issuer}/login`);
  }
  assert.deepEqual(answers[0], [200, null, true]);
  assert.deepEqual([answers[1]?.[0], answers[1]?.[2]], [301, false]);
});
