import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openPostgresStore, systemClock, systemRandom } from '@countersign/server';
import { makeAuthority, makeServerCertificate, type Pair } from '../../packages/server/src/world/x509.ts';
import { PrivatePostgres, WITHOUT_POSTGRES } from './private-postgres.ts';

/** A name of this machine that no rule knows as one: the system's resolver reads it as 127.0.0.1. */
const ELSEWHERE = '127.1';
const HOUR_MS = 3_600_000;

const skip = { skip: WITHOUT_POSTGRES };
const folder = mkdtempSync(join(tmpdir(), 'countersign-database-tls-'));
const [caFile, otherCaFile] = [join(folder, 'ca.pem'), join(folder, 'other-ca.pem')];
let encrypted: PrivatePostgres;
let plain: PrivatePostgres;

const fields = (subject: string) => ({
  serialNumber: Buffer.concat([Buffer.of(0x40), systemRandom.bytes(15)]),
  subject,
  notBefore: new Date(systemClock.now() - HOUR_MS),
  notAfter: new Date(systemClock.now() + HOUR_MS),
});
const newAuthority = (): Promise<Pair> =>
  makeAuthority({ ...fields('A CA of databases'), permitted: { dns: ['localhost'], ip: ['127.0.0.0/8'] } });

before(async () => {
  if (WITHOUT_POSTGRES !== false) return;
  const authority = await newAuthority();
  writeFileSync(caFile, authority.certificate.toString());
  writeFileSync(otherCaFile, (await newAuthority()).certificate.toString());
  // Of the name alone: whoever dials the address has no proof that this is it.
  const names = { dns: ['localhost'], ip: [] };
  const { certificate, key } = await makeServerCertificate({ ...fields('localhost'), names, authority });
  const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  encrypted = await PrivatePostgres.make({ tls: { certificate: certificate.toString(), key: pem } });
  plain = await PrivatePostgres.make();
});
after(async () => {
  await encrypted?.drop();
  await plain?.drop();
  rmSync(folder, { recursive: true, force: true });
});

/** Opens a store and tells whether its line is encrypted, by what the server says of it. */
async function lineTo(given: { port: number; host?: string; mode?: string; ca?: string }): Promise<'tls' | 'plain'> {
  const { port, host = 'localhost', mode, ca } = given;
  const query = mode === undefined ? '' : `?sslmode=${mode}`;
  const store = await openPostgresStore({
    ...{ url: `postgres://postgres@${host}:${port}/postgres${query}`, clock: systemClock, connections: 1 },
    ...(ca !== undefined && { caFile: ca }),
    journal: { kind: 'collected', entries: [] },
  });
  try {
    const own = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
    const lines = [await store.read.get<{ ssl: number }>(own), await store.write((tx) => tx.get<{ ssl: number }>(own))];
    assert.equal(lines[0]?.ssl, lines[1]?.ssl);
    return lines[0]?.ssl === 1 ? 'tls' : 'plain';
  } finally {
    await store.close();
  }
}

/** Refused with advice that leads to the page, and without a word of the address. */
function assertRefused(line: Promise<unknown>, code: RegExp): Promise<void> {
  return assert.rejects(line, (error) => {
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'StoreUnavailable');
    assert.match(error.message, code);
    assert.match(error.message, /certificate is not the one expected/);
    assert.doesNotMatch(error.message, /127\.|localhost/);
    return true;
  });
}

test('a server is believed whose certificate the given CA made for the name that is dialled', skip, async () => {
  for (const mode of ['require', 'verify-ca', 'verify-full']) {
    assert.equal(await lineTo({ port: encrypted.port, mode, ca: caFile }), 'tls', mode);
  }
});

test('another CA, or none that is known, is refused in every mode', skip, async () => {
  for (const mode of ['require', 'verify-ca', 'verify-full']) {
    await assertRefused(lineTo({ port: encrypted.port, mode, ca: otherCaFile }), /CERT|VERIFY/);
    await assertRefused(lineTo({ port: encrypted.port, mode }), /CERT|VERIFY/);
  }
});

test('a certificate for another name is refused, and for a name where an address is dialled', skip, async () => {
  for (const host of [ELSEWHERE, '127.0.0.1']) {
    const line = lineTo({ port: encrypted.port, host, mode: 'verify-full', ca: caFile });
    await assertRefused(line, /ERR_TLS_CERT_ALTNAME_INVALID/);
  }
});

test('to another machine no line is plain, unless the operator says so', skip, async () => {
  await assertRefused(lineTo({ port: plain.port, host: ELSEWHERE }), /tls/);
  await assertRefused(lineTo({ port: plain.port, mode: 'require' }), /tls/);
  assert.equal(await lineTo({ port: plain.port, host: ELSEWHERE, mode: 'disable' }), 'plain');
  assert.equal(await lineTo({ port: plain.port }), 'plain', 'on this machine nobody is on the way');
});
