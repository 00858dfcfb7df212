import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { HELP, readCall } from './options.ts';
import { SidecarRefused } from './refusal.ts';

const folder = mkdtempSync(join(tmpdir(), 'countersign-sidecar-'));
after(() => rmSync(folder, { recursive: true }));
const WHO = '--issuer https://login.example --audience https://api.example --client-id oauth2client_1';
const ENVIRONMENT = { COUNTERSIGN_CLIENT_SECRET: 'from-the-environment' };

function settings(words: string, environment: Record<string, string> = ENVIRONMENT) {
  const called = readCall(words.split(' ').filter(Boolean), environment);
  if (called.kind !== 'run') throw new Error(called.kind);
  return called.settings;
}

function refusal(words: string, environment?: Record<string, string>): SidecarRefused {
  try {
    settings(words, environment);
  } catch (error) {
    if (error instanceof SidecarRefused) return error;
    throw error;
  }
  throw new Error(`not refused: ${words}`);
}

test('without more it listens on loopback, to loopback', () => {
  const { verifier, ...rest } = settings(WHO);
  assert.deepEqual(verifier, {
    issuer: 'https://login.example',
    audience: 'https://api.example',
    credentials: { clientId: 'oauth2client_1', clientSecret: 'from-the-environment' },
    mode: 'coherent',
    maxStalenessMs: 30_000,
    origin: 'https://api.example',
  });
  assert.deepEqual(rest, {
    scopes: [],
    listen: { kind: 'tcp', host: '127.0.0.1', port: 9400 },
    trustedProxies: ['127.0.0.0/8', '::1/128'],
    caCertificates: [],
    warnings: [],
  });
});

test('every option is read, and help names each', () => {
  const [one = '', another = ''] = rootCertificates;
  writeFileSync(join(folder, 'ca.pem'), `The first\n${one}\nThe second\n${another}\n`);
  const all = settings(
    `${WHO} --listen unix:/run/x.sock --socket-mode 0660 --scope a --scope b --trusted-proxy 10.0.0.0/8 --mode strict --max-staleness 5m --origin https://api.example:8443 --ca-file ${folder}/ca.pem`,
  );
  assert.deepEqual(all.listen, { kind: 'unix', path: '/run/x.sock', mode: 0o660 });
  assert.deepEqual([all.scopes, all.trustedProxies, all.caCertificates], [['a', 'b'], ['10.0.0.0/8'], [one, another]]);
  const { mode, maxStalenessMs, origin } = all.verifier;
  assert.deepEqual([mode, maxStalenessMs, origin], ['strict', 300_000, 'https://api.example:8443']);
  for (const name of ['issuer', 'client-secret-file', 'socket-mode', 'expose', 'trusted-proxy', 'ca-file', 'version'])
    assert.ok(HELP.includes(`--${name}`), name);
});

test('beyond loopback it listens only when told so, and warns', () => {
  for (const at of ['0.0.0.0:9400', '10.0.0.1:9400', '[::]:9400', '[2001:db8::1]:9400']) {
    assert.match(refusal(`${WHO} --listen ${at}`).message, /--expose/);
    assert.match(settings(`${WHO} --listen ${at} --expose`).warnings.join(), /in the clear/);
  }
  for (const at of ['127.0.0.1:1', '127.3.2.1:1', '[::1]:1', 'localhost:0'])
    assert.deepEqual(settings(`${WHO} --listen ${at}`).warnings, []);
  assert.match(settings(`${WHO} --trusted-proxy 0.0.0.0/0`).warnings.join(), /every address/);
});

test('a secret is read from a private file alone, and never from the command line', () => {
  const file = join(folder, 'secret');
  writeFileSync(file, 'from-the-file\n', { mode: 0o600 });
  const withFile = `${WHO} --client-secret-file ${file}`;
  assert.equal(settings(withFile, {}).verifier.credentials.clientSecret, 'from-the-file');
  assert.match(refusal(withFile).message, /stands in .* and in/);
  chmodSync(file, 0o640);
  assert.match(refusal(withFile, {}).message, /chmod 600/);
  writeFileSync(join(folder, 'empty'), '\n', { mode: 0o600 });
  assert.match(refusal(`${WHO} --client-secret-file ${folder}/empty`, {}).message, /is empty/);
  assert.equal(refusal(`${WHO} --client-secret-file ${folder}/none`, {}).code, 'bad_file');
  assert.equal(refusal(WHO, {}).code, 'usage');
  for (const words of [
    '--client-secret hunter2',
    '--client-secret=hunter2',
    'hunter2',
    '--mode=strict hunter2',
    '--expose=hunter2',
  ])
    assert.doesNotMatch(refusal(`${WHO} ${words}`).message, /hunter2/, words);
});

test('a scope that no token can carry is refused at the start', () => {
  for (const scope of ['a b', '', 'a"b', 'é', 'a\\b'])
    assert.throws(
      () => readCall([...WHO.split(' '), '--scope', scope], ENVIRONMENT),
      (error) => error instanceof SidecarRefused && error.code === 'bad_settings' && /--scope/.test(error.message),
    );
  assert.deepEqual(settings(`${WHO} --scope a:b+c&d --scope e`).scopes, ['a:b+c&d', 'e']);
});

test('what proofs are made for is the audience’s origin, unless it has none or another is given', () => {
  const originFor = (audience: string, more = '') =>
    settings(`--issuer https://login.example --client-id a --audience ${audience}${more}`).verifier.origin;
  assert.equal(originFor('https://api.example:8443/v1'), 'https://api.example:8443');
  assert.equal(originFor('https://api.example', ' --origin https://other.example'), 'https://other.example');
  for (const audience of ['api', 'urn:example:api', 'http://api.example']) assert.equal(originFor(audience), undefined);
});

test('TC-02 a file of certificates holds certificates, whole ones, or the start is refused', () => {
  const [certificate = ''] = rootCertificates;
  const file = join(folder, 'bad-ca.pem');
  const key = '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----\n';
  const garbage = '-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n';
  for (const text of [
    '',
    'garbage',
    key,
    garbage,
    `${certificate}\n${garbage}`,
    `${certificate}\n${key}`,
    `${certificate}\n${certificate.slice(0, 200)}`,
  ]) {
    writeFileSync(file, text);
    const refused = refusal(`${WHO} --ca-file ${file}`);
    assert.equal(refused.code, 'bad_file', text);
    assert.match(refused.message, /must hold certificates/);
  }
});

test('what cannot work is refused, with what to do', () => {
  const refusals: [string, SidecarRefused['code'], RegExp][] = [
    ['', 'usage', /--issuer|secret/],
    ['--issuer https://login.example --client-id a', 'usage', /--audience is missing/],
    [`${WHO} --bogus`, 'usage', /--bogus.*--help/],
    [`${WHO} --listen`, 'usage', /--listen.*--help/],
    [`${WHO} --listen 9400`, 'bad_settings', /127\.0\.0\.1:9400/],
    [`${WHO} --listen api.example:9400`, 'bad_settings', /--listen/],
    [`${WHO} --listen 127.0.0.1:65536`, 'bad_settings', /--listen/],
    [`${WHO} --listen unix:relative`, 'bad_settings', /absolute/],
    [`${WHO} --listen unix:/x --socket-mode 0666`, 'bad_settings', /0660/],
    [`${WHO} --trusted-proxy proxy.example`, 'bad_settings', /CIDR/],
    [`${WHO} --mode lax`, 'bad_settings', /strict/],
    [`${WHO} --max-staleness 30`, 'bad_settings', /unit/],
    [`${WHO} --ca-file /nowhere`, 'bad_file', /cannot be read/],
  ];
  for (const [words, code, message] of refusals) {
    const refused = refusal(words);
    assert.equal(refused.code, code, words);
    assert.match(refused.message, message, words);
  }
});
