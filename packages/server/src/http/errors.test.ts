import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SECRET, startTestApp } from './testing/app.ts';

describe('errors', () => {
  test('each protocol error has its status, its challenge and the same shape', async () => {
    const { fetch } = startTestApp();
    const expected: Record<string, [status: number, error: string | undefined, challenge: RegExp | undefined]> = {
      client: [401, 'invalid_client', /^Basic realm="countersign", charset="UTF-8"$/],
      token: [
        401,
        'invalid_token',
        /^Bearer realm="countersign", error="invalid_token", error_description="The 'token' has {2}expired\."$/,
      ],
      scope: [403, 'insufficient_scope', /^Bearer .*error="insufficient_scope".*scope="accounts:read"$/],
      limited: [429, 'invalid_client', /^Basic/],
      grant: [400, 'invalid_grant', undefined],
      store: [503, 'temporarily_unavailable', undefined],
      unknown: [500, 'server_error', undefined],
      string: [500, 'server_error', undefined],
    };
    for (const [what, [status, error, challenge]] of Object.entries(expected)) {
      const response = await fetch(`/throw/${what}`);
      const body = (await response.json()) as Record<string, unknown>;
      assert.equal(response.status, status, what);
      const connection = response.headers.get('connection');
      assert.equal(
        connection,
        what === 'store' ? 'close' : null,
        'only a node without its store sends people elsewhere',
      );
      assert.equal(response.headers.get('content-type'), 'application/json', what);
      assert.equal(body.error, error);
      assert.equal(body.error_description, body.message);
      assert.equal(typeof body.message, 'string');
      assert.equal(typeof body.code, 'string');
      assert.equal(body.request_id, response.headers.get('x-request-id'));
      const header = response.headers.get('www-authenticate');
      if (challenge) assert.match(header ?? '', challenge, what);
      else assert.equal(header, null, what);
    }
    assert.equal((await fetch('/throw/limited')).headers.get('retry-after'), '8');
    assert.ok(Number((await fetch('/throw/store')).headers.get('retry-after')) >= 1);
  });

  test('BR-04 without credentials the challenge names a realm and no error', async () => {
    const { fetch } = startTestApp();
    const response = await fetch('/throw/challenge');
    assert.equal(response.status, 401);
    assert.equal(response.headers.get('www-authenticate'), 'Bearer realm="countersign"');
    assert.equal('error' in ((await response.json()) as object), false);
  });

  test('LG-04 what was not foreseen is an opaque 500 with an id, logged without the secret it quoted', async () => {
    const { fetch, lines } = startTestApp();
    const response = await fetch('/throw/unknown');
    const text = await response.text();
    assert.doesNotMatch(text, /sqlite|k3y/);
    const line = lines.find(({ message }) => message === 'request failed');
    assert.equal(line?.fields.requestId, response.headers.get('x-request-id'));
    assert.match(String(line?.fields.stack), /testing.app\.ts/);
    assert.doesNotMatch(JSON.stringify(lines), new RegExp(SECRET));
  });

  test('LG-04 an outage is logged with its cause, without what the cause quotes', async () => {
    const { fetch, lines } = startTestApp();
    assert.doesNotMatch(await (await fetch('/throw/store')).text(), /gone|disk/);
    const line = lines.find(({ message }) => message === 'store unavailable');
    assert.equal(line?.fields.message, 'gone');
    assert.match(String(line?.fields.cause), /^Error: disk is full \[left out\]$/);
  });

  test('people get pages where pages are, and JSON stays JSON for a browser', async () => {
    const { fetch } = startTestApp();
    const accept = { headers: { accept: 'text/html' } };
    assert.match((await fetch('/nothing', accept)).headers.get('content-type') ?? '', /html/);
    assert.match((await fetch('/nothing')).headers.get('content-type') ?? '', /json/);
    assert.match((await fetch('/throw/grant', accept)).headers.get('content-type') ?? '', /json/);
    const response = await fetch('/throw/page');
    assert.equal(response.status, 410);
    const text = await response.text();
    assert.match(text, /Used &lt;up&gt;/);
    assert.match(text, /login\.request_over/);
  });
});
