import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthorityConnection } from './connection.ts';
import { assertIssuer, Discovery, metadataUrl, parseMetadata } from './discovery.ts';

const ISSUER = 'https://login.example/t1';
const METADATA = {
  issuer: ISSUER,
  countersign_check_endpoint: 'https://login.example/t1/verifier/check',
  countersign_report_endpoint: 'https://login.example/t1/verifier/report',
  countersign_keys_endpoint: 'https://login.example/t1/verifier/keys',
  countersign_stream_endpoint: 'https://login.example/t1/verifier/stream',
  countersign_pulse_endpoint: 'https://login.example/t1/verifier/pulse',
};

test('MD-02 the well-known segment stands between the host and the path of the issuer', () => {
  const wellKnown = '.well-known/oauth-authorization-server';
  assert.equal(metadataUrl('https://h'), `https://h/${wellKnown}`);
  assert.equal(metadataUrl('https://h/'), `https://h/${wellKnown}`);
  assert.equal(metadataUrl('https://h:8443/t1'), `https://h:8443/${wellKnown}/t1`);
  assert.equal(metadataUrl('https://h/t1/'), `https://h/${wellKnown}/t1`);
});

test('metadata of the configured issuer is read, and what a verifier does not need is left out', () => {
  assert.deepEqual(parseMetadata({ ...METADATA, jwks_uri: 'https://login.example/jwks' }, ISSUER), METADATA);
});

test('MD-06 another issuer is refused, however alike', () => {
  for (const issuer of ['https://login.example/t1/', 'https://login.example', 'HTTPS://login.example/t1', undefined]) {
    assert.throws(() => parseMetadata({ ...METADATA, issuer }, ISSUER), { code: 'authority_metadata_invalid' });
  }
  for (const answer of [null, 'x', [], {}]) {
    assert.throws(() => parseMetadata(answer, ISSUER), { code: 'authority_metadata_invalid' });
  }
});

test('MD-06 endpoints on another origin, without TLS or missing are refused', () => {
  for (const name of Object.keys(METADATA).filter((member) => member !== 'issuer')) {
    for (const endpoint of [
      'https://evil.example/check',
      'https://login.example:444/check',
      'https://login.example.evil.example/check',
      'https://login.example@evil.example/check',
      'https://user:password@login.example/check',
      'http://login.example/check',
      '/verifier/check',
      '',
      1,
      undefined,
    ]) {
      assert.throws(() => parseMetadata({ ...METADATA, [name]: endpoint }, ISSUER), {
        code: 'authority_metadata_invalid',
      });
    }
  }
});

test('an issuer is https, without query, fragment or credentials', () => {
  assertIssuer(ISSUER);
  for (const issuer of ['http://h', 'https://h?a', 'https://h/#', 'https://h?', 'https://u@h', 'h', '']) {
    assert.throws(() => assertIssuer(issuer), TypeError);
  }
});

test('metadata is read once; after a failure again when a second is over', async () => {
  let nowMs = 0;
  let asked = 0;
  let status = 503;
  const connection = new AuthorityConnection({
    timeoutMs: 1000,
    credentials: { clientId: 'c', clientSecret: 's' },
    fetch: async (_url, init) => {
      asked++;
      assert.equal(new Headers(init.headers).get('authorization'), null);
      return new Response(JSON.stringify(METADATA), { status });
    },
  });
  const discovery = new Discovery({
    issuer: ISSUER,
    connection,
    clock: { now: () => nowMs, monotonicMs: () => nowMs },
  });
  await assert.rejects(discovery.metadata(), { code: 'authority_unreachable' });
  status = 200;
  nowMs = 999;
  await assert.rejects(discovery.metadata(), { code: 'authority_unreachable' });
  assert.equal(asked, 1);
  nowMs = 1000;
  assert.deepEqual(await discovery.metadata(), METADATA);
  nowMs = 1_000_000;
  await discovery.metadata();
  assert.equal(asked, 2);
});
