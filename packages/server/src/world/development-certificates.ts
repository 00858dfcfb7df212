import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from './clock.ts';
import { ensurePrivateFolder, readPrivateText, readText, writePrivateFile } from './files.ts';
import type { Random } from './random.ts';
import { makeAuthority, makeServerCertificate, type Pair } from './x509.ts';

const DAY_MS = 86_400_000;

/** A development machine is replaced before that; shorter would mean trusting a new CA every few months. */
const CA_DAYS = 5 * 365;
const LEAF_DAYS = 90;
/** Renewed at a start when less than this is left, so that it does not run out under a server that stays up for weeks. */
const RENEW_DAYS = 30;
/** A clock that is a little behind must not see a certificate from the future. */
const BACKDATED_MS = 3_600_000;

/** What the leaf is for. */
const NAMES = { dns: ['localhost'], ip: ['127.0.0.1', '::1'] };
/** All that the CA may vouch for: the same, each address with the mask that leaves no other. */
const PERMITTED = {
  dns: NAMES.dns,
  ip: ['127.0.0.1/32', '::1/128'],
};

/** PEM texts, and the file to give to browsers and to NODE_EXTRA_CA_CERTS. */
export interface LocalCertificate {
  certificate: string;
  key: string;
  caCertificateFile: string;
}

/**
 * The certificate for https on this machine: a CA of its own in `<dataFolder>/tls` and a leaf for localhost names, made at the
 * first start and renewed by later ones.
 *
 * Whoever trusts the CA trusts it for this machine's names only: they are name constraints in the CA certificate, critical, so a
 * stolen CA key makes no certificate for any other site (RFC 5280 §4.2.1.10). Keys are 0600 and never leave the folder.
 */
export async function localCertificate(given: {
  dataFolder: string;
  clock: Clock;
  random: Random;
}): Promise<LocalCertificate> {
  const folder = join(given.dataFolder, 'tls');
  ensurePrivateFolder(folder);
  const files = {
    caCertificate: join(folder, 'ca.pem'),
    caKey: join(folder, 'ca.key'),
    certificate: join(folder, 'localhost.pem'),
    key: join(folder, 'localhost.key'),
  };
  const nowMs = given.clock.now();
  const storedCa = readPair(files.caCertificate, files.caKey, nowMs);
  const ca = storedCa ?? (await makeCa(given));
  if (!storedCa) writePair(files.caCertificate, files.caKey, ca);
  const storedLeaf = readPair(files.certificate, files.key, nowMs);
  const leaf = storedLeaf?.certificate.verify(createPublicKey(ca.key)) ? storedLeaf : await makeLeaf(ca, given);
  if (leaf !== storedLeaf) writePair(files.certificate, files.key, leaf);
  return {
    certificate: leaf.certificate.toString(),
    key: keyPem(leaf.key),
    caCertificateFile: files.caCertificate,
  };
}

function makeCa({ clock, random }: { clock: Clock; random: Random }): Promise<Pair> {
  const serialNumber = newSerialNumber(random);
  // The number tells two machines' authorities apart in a browser's list.
  const subject = `Countersign development CA ${Buffer.from(serialNumber).toString('hex').slice(-8)}`;
  return makeAuthority({ serialNumber, subject, ...validity(clock, CA_DAYS), permitted: PERMITTED });
}

function makeLeaf(authority: Pair, { clock, random }: { clock: Clock; random: Random }): Promise<Pair> {
  const serialNumber = newSerialNumber(random);
  return makeServerCertificate({
    ...{ serialNumber, subject: 'localhost', names: NAMES, authority },
    ...validity(clock, LEAF_DAYS),
  });
}

function validity(clock: Clock, days: number): { notBefore: Date; notAfter: Date } {
  const nowMs = clock.now();
  return { notBefore: new Date(nowMs - BACKDATED_MS), notAfter: new Date(nowMs + days * DAY_MS) };
}

/** 126 random bits in a positive number of fixed length (RFC 5280 §4.1.2.2). */
function newSerialNumber(random: Random): Uint8Array {
  const bytes = random.bytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}

/** What is stored, unless it is missing, unreadable or soon over: then it is made anew. */
function readPair(certificateFile: string, keyFile: string, nowMs: number): Pair | undefined {
  const certificateText = readText(certificateFile);
  const keyText = readPrivateText(keyFile);
  if (certificateText === undefined || keyText === undefined) return undefined;
  try {
    const certificate = new X509Certificate(certificateText);
    const key = createPrivateKey(keyText);
    const leftMs = certificate.validToDate.getTime() - nowMs;
    const usable = certificate.validFromDate.getTime() <= nowMs && leftMs > RENEW_DAYS * DAY_MS;
    return usable && certificate.checkPrivateKey(key) ? { certificate, key } : undefined;
  } catch {
    return undefined;
  }
}

function writePair(certificateFile: string, keyFile: string, pair: Pair): void {
  writePrivateFile(keyFile, keyPem(pair.key));
  writePrivateFile(certificateFile, pair.certificate.toString());
}

function keyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}
