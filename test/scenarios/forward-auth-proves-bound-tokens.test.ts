import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { readCall } from '../../packages/sidecar/src/options.ts';
import { startSidecar } from '../../packages/sidecar/src/sidecar.ts';
import { ProofClient } from '../../packages/verifier/src/proof/testing/proofs.ts';
import { AUDIENCE, CREDENTIALS, startFakeAuthority } from '../../packages/verifier/src/testing/fake-authority.ts';
import { systemClock } from '../../packages/verifier/src/world.ts';
import { linesOf, rawRequest } from './raw-request.ts';

/** Ways in which proxies say which request they ask about: the target that is called, and headers beside it. */
const ASKING = {
  nginx: (method: string, path: string) => ({
    method: 'GET',
    path: '/forward-auth?scope=accounts:read',
    headers: { 'x-original-method': method, 'x-original-uri': `${path}?page=2` },
  }),
  'Traefik or Caddy': (method: string, path: string) => ({
    method: 'GET',
    path: '/forward-auth?scope=accounts:read',
    headers: { 'x-forwarded-method': method, 'x-forwarded-uri': `${path}?page=2` },
  }),
  Envoy: (method: string, path: string) => ({ method, path: `/forward-auth${path}?page=2`, headers: {} }),
};

/** A sidecar on a port of its own, a token bound to a client's key, and the way to ask about a request with it. */
async function setUp(t: TestContext, way: keyof typeof ASKING) {
  const authority = await startFakeAuthority();
  t.after(() => authority.close());
  const words = ['--issuer', authority.issuer, '--audience', AUDIENCE, '--client-id', CREDENTIALS.clientId];
  const called = readCall([...words, '--listen', '127.0.0.1:0'], {
    COUNTERSIGN_CLIENT_SECRET: CREDENTIALS.clientSecret,
  });
  assert.equal(called.kind, 'run');
  const lines: string[] = [];
  const note = (message: string, fields?: object) => void lines.push(JSON.stringify({ message, ...fields }));
  const sidecar = await startSidecar(called.settings, { info: note, warn: note });
  t.after(() => sidecar.stop());
  const client = new ProofClient();
  const token = await authority.issue({ cnf: { jkt: client.jkt } });
  const prove = (claims: object, by = client) =>
    by.prove(systemClock, { claims: { ath: hash('sha256', token, 'base64url'), ...claims } });
  const ask = async (of: { method?: string; path?: string; proof?: string; scheme?: string }) => {
    const { method = 'PUT', path = '/accounts/1', proof, scheme = 'DPoP' } = of;
    const { headers, ...call } = ASKING[way](method, path);
    const answered = await rawRequest(`http://${sidecar.address}`, {
      ...call,
      headers: { ...headers, authorization: `${scheme} ${token}`, ...(proof !== undefined && { dpop: proof }) },
    });
    const { status, headers: all } = answered;
    const code = status === 200 ? undefined : JSON.parse(answered.body).code;
    return { status, code, isTold: all.some(([name]) => name.startsWith('countersign-')), answered };
  };
  return { ask, prove, lines, token };
}

const FOR_IT = { htm: 'PUT', htu: 'https://api.example/accounts/1' };

for (const way of Object.keys(ASKING) as (keyof typeof ASKING)[]) {
  test(`SC-02 EB-11 asked as ${way} asks: a bound token passes with a proof for that request, once`, async (t) => {
    const { ask, prove } = await setUp(t, way);
    const proof = prove(FOR_IT);
    const passed = await ask({ proof });
    assert.deepEqual([passed.status, passed.isTold], [200, true]);
    const replayed = await ask({ proof });
    assert.deepEqual([replayed.status, replayed.code, replayed.isTold], [401, 'proof_invalid', false]);
    assert.equal((await ask({ proof: prove(FOR_IT) })).status, 200, 'the token is good as before');
  });

  test(`SC-02 SC-03 asked as ${way} asks: a bound token passes with no other proof, and not without one`, async (t) => {
    const { ask, prove, lines, token } = await setUp(t, way);
    const refusals: [what: string, of: Parameters<typeof ask>[0], code: string][] = [
      ['another path', { proof: prove(FOR_IT), path: '/accounts/2' }, 'proof_invalid'],
      ['a path behind it', { proof: prove(FOR_IT), path: '/accounts/1/transfer' }, 'proof_invalid'],
      ['another method', { proof: prove(FOR_IT), method: 'DELETE' }, 'proof_invalid'],
      ['another API', { proof: prove({ ...FOR_IT, htu: 'https://evil.example/accounts/1' }) }, 'proof_invalid'],
      [
        'the sidecar itself',
        { proof: prove({ htm: 'GET', htu: 'https://api.example/forward-auth' }) },
        'proof_invalid',
      ],
      ['another token', { proof: prove({ ...FOR_IT, ath: 'x' }) }, 'proof_invalid'],
      ['another key', { proof: prove(FOR_IT, new ProofClient()) }, 'token_invalid'],
      ['no proof', {}, 'proof_invalid'],
      ['as a bearer token', { scheme: 'Bearer', proof: prove(FOR_IT) }, 'token_invalid'],
    ];
    for (const [what, of, code] of refusals) {
      const refused = await ask(of);
      assert.deepEqual([refused.status, refused.code, refused.isTold], [401, code, false], what);
      assert.match(linesOf(refused.answered, 'www-authenticate').join(), /DPoP /, what);
    }
    assert.equal((await ask({ proof: prove(FOR_IT) })).status, 200);
    assert.ok(!lines.some((line) => line.includes(token)));
  });
}
