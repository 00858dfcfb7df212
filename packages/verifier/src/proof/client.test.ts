/** Proofs and challenges with a client that knows nothing of this code: oauth4webapi, over real sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import * as oauth from 'oauth4webapi';
import { readTokenCredentials } from '../bearer.ts';
import { bothChallenges } from '../challenge.ts';
import { REFUSALS, type Refusal } from '../errors.ts';
import { systemClock } from '../world.ts';
import { ProofChecker, type ProofResult } from './proof.ts';
import { TOKEN } from './testing/proofs.ts';

const CLIENT: oauth.Client = { client_id: 'app' };
const ALGORITHMS = ['ES256', 'Ed25519', 'PS256', 'RS256'] as const;

const checker = new ProofChecker({ clock: systemClock });
const results: (ProofResult | 'no token')[] = [];
let server: Server;
let origin: string;
/** The thumbprint that the token is bound to. */
let jkt: string;

before(async () => {
  server = createServer((request, response) => void answer(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // listening on TCP
});
after(() => {
  server.close();
  server.closeAllConnections();
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const credentials = readTokenCredentials(request.headersDistinct.authorization);
  if (credentials.kind !== 'token') {
    results.push('no token');
    response.writeHead(401, { 'www-authenticate': bothChallenges({ realm: origin }) }).end();
    return;
  }
  const [jwt = ''] = request.headersDistinct.dpop ?? [];
  const url = `${origin}${request.url}`;
  const result = await checker.check({
    proof: { jwt, method: request.method ?? '', url },
    token: credentials.token,
    jkt,
  });
  results.push(result);
  if (result.kind === 'proven') {
    response.end('done');
    return;
  }
  const refusal: Refusal = result.kind === 'refused' ? REFUSALS[result.code] : REFUSALS.token_missing;
  const { error, description } = refusal;
  const challenge = bothChallenges({ realm: origin, ...(error && { error, description }) }, credentials.scheme);
  response.writeHead(401, { 'www-authenticate': challenge }).end();
}

async function call(method: string, path: string, DPoP?: oauth.DPoPHandle): Promise<Response> {
  const options = { [oauth.allowInsecureRequests]: true, ...(DPoP ? { DPoP } : {}) };
  return oauth.protectedResourceRequest(TOKEN, method, new URL(path, origin), undefined, undefined, options);
}

for (const alg of ALGORITHMS) {
  test(`SC-02 a client's proofs by ${alg} are proven, each request with its own`, async () => {
    const DPoP = oauth.DPoP(CLIENT, await oauth.generateKeyPair(alg));
    jkt = await DPoP.calculateThumbprint();
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/accounts?page=2'],
      ['POST', '/a%20b/%7Ec//d/../e'],
      ['DELETE', '/accounts?page=2'],
    ] as const) {
      const response = await call(method, path, DPoP);
      assert.equal(await response.text(), 'done');
      assert.deepEqual(results.at(-1), { kind: 'proven' });
    }
  });
}

for (const [name, boundTo, refused] of [
  ['token is bound to another key', 'another', 'proof_wrong_key'],
  ['clock is wrong', undefined, 'proof_untimely'],
] as const) {
  test(`SC-02 a client whose ${name} reads in the challenge what is wrong, and which algorithms there are`, async () => {
    const DPoP = oauth.DPoP({ ...CLIENT, [oauth.clockSkew]: -120 }, await oauth.generateKeyPair('ES256'));
    jkt = boundTo ?? (await DPoP.calculateThumbprint());
    await assert.rejects(call('GET', '/', DPoP), (error: unknown) => {
      assert.ok(error instanceof oauth.WWWAuthenticateChallengeError);
      const [bearer, dpop] = error.cause;
      assert.equal(bearer?.scheme, 'bearer');
      assert.deepEqual({ ...bearer.parameters }, { realm: origin });
      assert.equal(dpop?.scheme, 'dpop');
      assert.equal(dpop.parameters.error, REFUSALS[refused].error);
      assert.equal(dpop.parameters.error_description, REFUSALS[refused].description);
      assert.equal(dpop.parameters.algs, 'ES256 Ed25519 EdDSA PS256 RS256');
      return true;
    });
    assert.deepEqual(results.at(-1), { kind: 'refused', code: refused });
  });
}

test('both challenges reach a client that sent no token', async () => {
  const response = await fetch(origin);
  assert.equal(response.status, 401);
  const value = response.headers.get('www-authenticate') ?? '';
  assert.equal(value, `Bearer realm="${origin}", DPoP realm="${origin}", algs="ES256 Ed25519 EdDSA PS256 RS256"`);
  assert.equal(results.at(-1), 'no token');
});
