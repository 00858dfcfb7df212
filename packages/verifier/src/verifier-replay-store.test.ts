/** Bound tokens where a shared memory of proofs keeps each request waiting: what is asked, how often, and when. */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, afterEach, beforeEach, test } from 'node:test';
import type { Mode } from './options.ts';
import { ProofClient } from './proof/testing/proofs.ts';
import { eventually } from './testing/eventually.ts';
import { type FakeAuthority, startFakeAuthority } from './testing/fake-authority.ts';
import { createVerifier, type Verifier } from './verifier.ts';

const ORIGIN = 'https://api.example';
const URL_OF_REQUEST = `${ORIGIN}/accounts`;

let authority: FakeAuthority;
let verifier: Verifier;
let client: ProofClient;
let token: string;
/** What the store does before it answers. */
let inStore: () => void | Promise<void>;
const started: FakeAuthority[] = [];

beforeEach(async () => {
  authority = await startFakeAuthority();
  started.push(authority);
  client = new ProofClient();
  token = await authority.issue({ cnf: { jkt: client.jkt } });
  inStore = () => undefined;
  const seen = new Set<string>();
  verifier = createVerifier({
    ...authority.options(),
    ...{ mode: 'coherent', origin: ORIGIN },
    replayStore: {
      addIfAbsent: async (key) => {
        await inStore();
        return !seen.has(key) && seen.add(key) !== undefined;
      },
    },
  });
  await verifier.ready();
});
afterEach(() => verifier.close());
after(() => Promise.all(started.map((each) => each.close())));

function prove(): string {
  const ath = hash('sha256', token, 'base64url');
  return client.prove(authority.options().clock, { claims: { ath, htu: URL_OF_REQUEST } });
}

async function outcomeOf(jwt: string, mode: Mode = 'coherent'): Promise<string> {
  const proof = { jwt, method: 'GET', url: URL_OF_REQUEST };
  const result = await verifier.verify(token, { mode, scheme: 'DPoP', proof });
  return result.kind === 'accepted' ? result.kind : result.code;
}

async function checksDuring(work: () => Promise<unknown>): Promise<number> {
  const before = authority.seen.checks.flat().length;
  await work();
  return authority.seen.checks.flat().length - before;
}

test('SC-03 a strict request asks for the record once, after the store', async () => {
  inStore = () => assert.equal(authority.seen.checks.length, 0);
  assert.equal(await checksDuring(async () => assert.equal(await outcomeOf(prove(), 'strict'), 'accepted')), 1);
  inStore = () => authority.record(token, 'revoked');
  assert.equal(await outcomeOf(prove(), 'strict'), 'token_revoked');
});

test('SC-03 the first sight of a token asks once; a remembered one asks nobody, and is one hit', async () => {
  assert.equal(await checksDuring(async () => assert.equal(await outcomeOf(prove()), 'accepted')), 1);
  const { hits, misses } = verifier.status();
  assert.deepEqual({ hits, misses }, { hits: 0, misses: 1 });
  assert.equal(await checksDuring(async () => assert.equal(await outcomeOf(prove()), 'accepted')), 0);
  assert.equal(verifier.status().hits, 1);
  assert.equal(verifier.status().misses, 1);
});

test('EB-08 a remembered token that is revoked while the store thinks is refused', async () => {
  assert.equal(await outcomeOf(prove()), 'accepted');
  inStore = async () => {
    authority.revoke(token);
    await eventually('it is told', () => verifier.status().entries === 0);
  };
  assert.equal(await outcomeOf(prove()), 'token_revoked');
});

test('EB-09 a remembered token whose lease ends while the store thinks is asked about, once', async () => {
  assert.equal(await outcomeOf(prove()), 'accepted');
  authority.streams.isSilent = true;
  inStore = () => {
    authority.nowMs += 30_001;
  };
  assert.equal(await checksDuring(async () => assert.equal(await outcomeOf(prove()), 'accepted')), 1);
});

test('SC-02 a proof is used up once, in the store; a bad one never reaches it, and costs no check', async () => {
  const proof = prove();
  assert.equal(await outcomeOf(proof), 'accepted');
  for (const mode of ['coherent', 'strict', 'offline'] as const)
    assert.equal(await outcomeOf(proof, mode), 'proof_replayed');
  inStore = () => assert.fail('the store was asked');
  const stranger = new ProofClient();
  const checks = await checksDuring(async () => {
    const ath = hash('sha256', token, 'base64url');
    const claims = { ath, htu: URL_OF_REQUEST };
    assert.equal(await outcomeOf(stranger.prove(authority.options().clock, { claims }), 'strict'), 'proof_wrong_key');
  });
  assert.equal(checks, 0);
});
