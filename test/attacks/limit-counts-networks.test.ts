import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestServer } from '@countersign/testkit';

const MOST = 3;

test('attack-19 a /64 is one network, however its addresses are spelled; another /64 is another', async (t) => {
  const server = await startTestServer({
    settings: { trustedProxies: ['127.0.0.1/32', '::1/128'] },
    limits: { loginPerNetwork: { points: MOST } },
  });
  t.after(() => server.close());
  let people = 0;
  const startFrom = async (address: string) => {
    const browser = server.browser();
    browser.extraHeaders['x-forwarded-for'] = address;
    const page = await browser.submit(await browser.get('/login'), { email: `person-${++people}@example.com` });
    return page.status;
  };
  const spellings = ['2001:db8:0:1::1', '2001:0DB8:0000:0001:0000:0000:0000:0002', '2001:db8:0:1:ffff::192.0.2.1'];
  for (const spelling of spellings) assert.equal(await startFrom(spelling), 200);
  assert.equal(await startFrom('2001:DB8:0:1:1:2:3:4'), 429);
  assert.equal(await startFrom('2001:db8:0:2::1'), 200, 'the neighbour is not limited');
});
