import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DEFAULT_AUDIENCE, startTestServer, type TestServer } from '@countersign/testkit';
import { createVerifier, type Verifier } from '@countersign/verifier';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { BOUND_MS, MARGIN_MS } from './stage.ts';

const OVERLAP_SECONDS = 1;

let server: TestServer;
const verifiers: Verifier[] = [];

before(async () => {
  server = await startTestServer();
});
after(async () => {
  await Promise.all(verifiers.map((verifier) => verifier.close()));
  await server.close();
});

async function coherent(): Promise<Verifier> {
  const { client, secret } = await server.addResourceServer();
  const verifier = createVerifier({
    issuer: server.issuer,
    audience: DEFAULT_AUDIENCE,
    credentials: { clientId: client.id, clientSecret: secret },
    maxStalenessMs: BOUND_MS,
  });
  verifiers.push(verifier);
  await verifier.ready();
  return verifier;
}

test('EB-06 a superseded token that a verifier remembers is good for its overlap, and refused within the bound after it', async () => {
  const { client, secret } = await server.addClient({ overlapSeconds: OVERLAP_SECONDS });
  const browser = await server.logIn('ada@example.com');
  const scope = 'openid offline_access accounts:read';
  const { access_token: token, refresh_token = '' } = await server.obtainTokens({ browser, client, secret, scope });
  const busy = await coherent();
  const idle = await coherent();
  for (const verifier of [busy, idle]) assert.equal((await verifier.verify(token)).kind, 'accepted');

  const credentials = { client_id: client.id, client_secret: secret };
  const answer = await server.post('/oauth2/token', { grant_type: 'refresh_token', refresh_token, ...credentials });
  assert.equal(answer.status, 200);
  const supersededAtMs = performance.now();
  const dueMs = supersededAtMs + OVERLAP_SECONDS * 1_000 + BOUND_MS;

  // One verifies all the time, so it is told within the overlap, asks, and hears "live": that must not outlive the overlap.
  let result = await busy.verify(token);
  let acceptedAtMs = supersededAtMs;
  while (result.kind === 'accepted' && performance.now() < dueMs + MARGIN_MS) {
    acceptedAtMs = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 20));
    result = await busy.verify(token);
  }
  assert.equal(result.kind, 'refused');
  assert.ok(acceptedAtMs <= dueMs);
  // Where the overlap ended while the last answer was under way, that refusal could not say why; the record can, once it is asked.
  await eventually('it says why', async () => {
    const again = await busy.verify(token);
    assert.equal(again.kind, 'refused');
    return again.kind === 'refused' && again.code === 'token_superseded';
  });

  // The other one comes late.
  await new Promise((resolve) => setTimeout(resolve, Math.max(dueMs - performance.now(), 0)));
  const late = await idle.verify(token);
  assert.equal(late.kind === 'refused' && late.code, 'token_superseded');
});
