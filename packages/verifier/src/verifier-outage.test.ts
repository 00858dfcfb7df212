import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { AUDIENCE, CREDENTIALS, type FakeAuthority, payloadOf, startFakeAuthority } from './testing/fake-authority.ts';
import { createVerifier, type Verifier } from './verifier.ts';

let authority: FakeAuthority;
let verifier: Verifier;
const started: FakeAuthority[] = [];

beforeEach(async () => {
  authority = await startFakeAuthority();
  started.push(authority);
  verifier = createVerifier(authority.options());
});
after(() => Promise.all(started.map((each) => each.close())));

describe('an authority that is away or lies', () => {
  async function assertUnavailable(code: string): Promise<void> {
    const result = await verifier.verify(await authority.issue());
    assert.equal(result.kind, 'unavailable');
    assert.equal(result.kind === 'unavailable' && result.code, code);
    assert.equal(result.kind === 'unavailable' && result.status, 503);
  }

  test('away: verification fails closed, says so without throwing, and recovers', async () => {
    authority.intercept = () => ({ status: 500 });
    await assertUnavailable('authority_unreachable');
    authority.intercept = () => undefined;
    authority.nowMs += 1000;
    assert.equal((await verifier.verify(await authority.issue())).kind, 'accepted');
    const token = await authority.issue();
    await authority.close();
    const result = await verifier.verify(token);
    assert.equal(result.kind === 'unavailable' && result.code, 'authority_unreachable');
    assert.match(result.kind === 'unavailable' ? result.message : '', /ECONNREFUSED|ECONNRESET|UND_ERR_SOCKET/);
    assert.ok(result.kind === 'unavailable' && !result.message.includes(token));
  });

  test('an audience that this resource server is not registered for stops the start, and no token is called unknown', async () => {
    authority.audiences = ['https://other.example'];
    await assert.rejects(verifier.ready(), { code: 'authority_audience_refused' });
    authority.nowMs += 1000;
    await assertUnavailable('authority_audience_refused');
    authority.audiences = ['https://other.example', AUDIENCE];
    authority.nowMs += 1000;
    assert.equal((await verifier.verify(await authority.issue())).kind, 'accepted');
  });

  test('EB-10 failing metadata is asked once a second, by however many requests', async () => {
    let asked = 0;
    authority.intercept = () => {
      asked++;
      return { status: 503 };
    };
    const token = await authority.issue();
    await Promise.all(Array.from({ length: 50 }, () => verifier.verify(token)));
    for (let i = 0; i < 50; i++) await verifier.verify(token);
    assert.equal(asked, 1);
  });

  test('slow: the time limit ends the wait', async () => {
    await verifier.ready();
    const token = await authority.issue();
    const hanging = createVerifier({
      ...authority.options(),
      timeoutMs: 50,
      fetch: (url, init) =>
        url.endsWith('/check')
          ? new Promise((_, reject) => init.signal?.addEventListener('abort', () => reject(init.signal?.reason)))
          : globalThis.fetch(url, init),
    });
    const keepAlive = setInterval(() => {}, 1000); // the limit's own timer holds no process open
    const result = await hanging.verify(token);
    clearInterval(keepAlive);
    assert.equal(result.kind === 'unavailable' && result.code, 'authority_unreachable');
    assert.match(result.kind === 'unavailable' ? result.message : '', /timed out/);
  });

  test('wrong credentials are told apart from an outage', async () => {
    verifier = createVerifier({
      ...authority.options(),
      credentials: { ...CREDENTIALS, clientSecret: 'wrong' },
    });
    await assertUnavailable('authority_credentials_refused');
    await assert.rejects(verifier.ready(), (error: Error) => !error.message.includes('wrong'));
  });

  test('MD-06 metadata of another issuer, or leading elsewhere, is not believed and receives no credentials', async () => {
    const true_ = { issuer: authority.issuer };
    for (const lie of [
      { issuer: `${authority.issuer}/` },
      { ...true_, countersign_check_endpoint: 'https://evil.example/check' },
    ]) {
      verifier = createVerifier(authority.options());
      authority.intercept = (endpoint, body) =>
        endpoint === 'oauth-authorization-server' ? { body: { ...(body as object), ...lie } } : undefined;
      await assert.rejects(verifier.ready(), { code: 'authority_metadata_invalid' });
      await assertUnavailable('authority_metadata_invalid');
    }
    assert.equal(authority.seen.keys, 0);
  });

  test('redirects are not followed', async () => {
    authority.intercept = (endpoint) =>
      endpoint === 'check' ? { status: 307, headers: { location: `${authority.issuer}/verifier/report` } } : undefined;
    await assertUnavailable('authority_unreachable');
    assert.deepEqual(authority.seen.reports, []);
  });

  test('answers that are none, or for another token, accept nothing', async () => {
    const other = await authority.issue();
    const live = { verdict: 'live', expires_in_ms: 1000, handles: { token: 't', client: 'c', key: 'k' } };
    const lies = [
      '',
      'not JSON',
      {},
      { epoch: 1, answers: [] },
      { epoch: 1, answers: [{ ...live, jti: payloadOf(other).jti }] },
    ];
    for (const body of lies) {
      authority.intercept = (endpoint) => (endpoint === 'check' ? { body } : undefined);
      await assertUnavailable('authority_answer_invalid');
    }
  });

  test('an answer longer than any true one is not read to its end', async () => {
    authority.intercept = (endpoint, body) =>
      endpoint === 'check' ? { body: { ...(body as object), padding: 'x'.repeat(1024 * 1024) } } : undefined;
    await assertUnavailable('authority_answer_invalid');
  });

  test('a store older than one seen before accepts nothing', async () => {
    authority.epoch = 7;
    assert.equal((await verifier.verify(await authority.issue())).kind, 'accepted');
    authority.epoch = 6;
    await assertUnavailable('authority_epoch_went_back');
    authority.epoch = 8;
    assert.equal((await verifier.verify(await authority.issue())).kind, 'accepted');
  });
});
