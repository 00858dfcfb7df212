import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { checkServerIdentity, connect, createServer } from 'node:tls';
import { localCertificate } from './development-certificates.ts';
import { systemRandom } from './random.ts';
import { makeServerCertificate } from './x509.ts';

const DAY_MS = 86_400_000;
const startMs = Date.now();
const folders: string[] = [];

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-tls-'));
  folders.push(folder);
  return folder;
}

after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function make(dataFolder: string, nowMs = startMs) {
  return localCertificate({ dataFolder, clock: { now: () => nowMs }, random: systemRandom });
}

/** Serves with the made certificate and returns the error of a client that trusts only the CA, or undefined. */
async function handshake(made: { certificate: string; key: string }, ca: string, servername: string) {
  const server = createServer({ cert: made.certificate, key: made.key });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address && typeof address === 'object');
  const socket = connect({ port: address.port, host: '127.0.0.1', servername, ca });
  const outcome = await new Promise<string>((resolve) => {
    socket.once('secureConnect', () => resolve('trusted'));
    socket.once('error', (error: Error) => resolve(error.message));
  });
  socket.destroy();
  server.close();
  return outcome;
}

describe('the local certificate', () => {
  test('TC-02 a client that trusts the local CA accepts it for localhost, and openssl verifies the chain', async () => {
    const folder = newFolder();
    const made = await make(folder);
    const ca = readFileSync(made.caCertificateFile, 'utf8');
    assert.equal(await handshake(made, ca, 'localhost'), 'trusted');
    for (const name of ['localhost', '127.0.0.1', '::1']) {
      assert.equal(checkServerIdentity(name, new X509Certificate(made.certificate).toLegacyObject()), undefined);
    }
    const leafFile = join(folder, 'tls', 'localhost.pem');
    const report = execFileSync('openssl', [
      'verify',
      '-x509_strict',
      '-purpose',
      'sslserver',
      '-CAfile',
      made.caCertificateFile,
      leafFile,
    ]);
    assert.match(report.toString(), /OK/);
  });

  test('TC-02 keys are readable by their owner only', async () => {
    const folder = newFolder();
    await make(folder);
    assert.equal(statSync(join(folder, 'tls')).mode & 0o777, 0o700);
    for (const file of ['ca.key', 'localhost.key'])
      assert.equal(statSync(join(folder, 'tls', file)).mode & 0o777, 0o600);
  });

  test('TC-02 a stolen CA key makes no certificate for another site', async () => {
    const folder = newFolder();
    const made = await make(folder);
    const ca = readFileSync(made.caCertificateFile, 'utf8');
    const stolen = {
      certificate: new X509Certificate(ca),
      key: createPrivateKey(readFileSync(join(folder, 'tls', 'ca.key'))),
    };
    const other = await makeServerCertificate({
      serialNumber: Uint8Array.from({ length: 16 }, () => 0x41),
      subject: 'bank.example',
      names: { dns: ['bank.example'], ip: [] },
      notBefore: new Date(startMs - 1000),
      notAfter: new Date(startMs + DAY_MS),
      authority: stolen,
    });
    const certificate = other.certificate.toString();
    const key = other.key.export({ type: 'pkcs8', format: 'pem' }).toString();
    const outcome = await handshake({ certificate, key }, ca, 'bank.example');
    assert.match(outcome, /permitted subtree violation/);
  });

  test('TC-02 a later start keeps both; a leaf that is soon over is renewed under the same CA', async () => {
    const folder = newFolder();
    const first = await make(folder);
    const ca = readFileSync(first.caCertificateFile, 'utf8');
    const second = await make(folder, startMs + 59 * DAY_MS);
    assert.equal(second.certificate, first.certificate);
    const third = await make(folder, startMs + 61 * DAY_MS);
    assert.notEqual(third.certificate, first.certificate);
    assert.equal(readFileSync(first.caCertificateFile, 'utf8'), ca);
    const lifetimeMs = new X509Certificate(third.certificate).validToDate.getTime() - (startMs + 61 * DAY_MS);
    assert.ok(lifetimeMs <= 90 * DAY_MS);
  });

  test('a leaf of another CA is replaced', async () => {
    const folder = newFolder();
    const other = newFolder();
    await make(folder);
    const made = await make(other);
    for (const file of ['localhost.pem', 'localhost.key']) {
      writeFileSync(join(folder, 'tls', file), readFileSync(join(other, 'tls', file)), { mode: 0o600 });
    }
    assert.notEqual((await make(folder)).certificate, made.certificate);
  });
});
