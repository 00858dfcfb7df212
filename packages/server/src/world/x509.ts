/**
 * Writes the two kinds of certificate that a development server needs (RFC 5280), in DER. Only writes: reading and verifying
 * certificates is node:crypto's. The common package for this needs a global Reflect polyfill and knows no name constraints.
 */
import { createHash, type KeyObject, sign } from 'node:crypto';

/** `value` is DER, made by the functions below. */
export interface Extension {
  identifier: string;
  critical: boolean;
  value: Buffer;
}

export interface CertificateFields {
  /** 16 bytes, the first between 0x40 and 0x7f, so that the number is positive and of fixed length. */
  serialNumber: Uint8Array;
  /** Common names. */
  subject: string;
  issuer: string;
  notBeforeMs: number;
  notAfterMs: number;
  publicKey: KeyObject;
  /** P-256 private key of the issuer. */
  signingKey: KeyObject;
  extensions: readonly Extension[];
}

/** A signed certificate as PEM: ECDSA with SHA-256, version 3. */
export function certificatePem(fields: CertificateFields): string {
  const algorithm = sequence(objectIdentifier('1.2.840.10045.4.3.2')); // ecdsa-with-SHA256
  const body = sequence(
    tagged(0xa0, tagged(0x02, Buffer.of(2))),
    tagged(0x02, fields.serialNumber),
    algorithm,
    commonName(fields.issuer),
    sequence(time(fields.notBeforeMs), time(fields.notAfterMs)),
    commonName(fields.subject),
    fields.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...fields.extensions.map(encodeExtension))),
  );
  const signature = sign('sha256', body, fields.signingKey);
  const certificate = sequence(body, algorithm, bitString(signature));
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** A CA that signs end certificates only, or no CA at all. */
export function basicConstraints(isCa: boolean): Extension {
  const value = isCa ? sequence(tagged(0x01, Buffer.of(0xff)), tagged(0x02, Buffer.of(0))) : sequence();
  return { identifier: '2.5.29.19', critical: true, value };
}

export function keyUsage(usage: 'sign_certificates' | 'sign_handshakes'): Extension {
  // Bit 0 is digitalSignature; bits 5 and 6 are keyCertSign and cRLSign. The first byte counts the unused bits.
  const bits = usage === 'sign_certificates' ? Buffer.of(1, 0x06) : Buffer.of(7, 0x80);
  return { identifier: '2.5.29.15', critical: true, value: tagged(0x03, bits) };
}

export function serverAuthentication(): Extension {
  return { identifier: '2.5.29.37', critical: false, value: sequence(objectIdentifier('1.3.6.1.5.5.7.3.1')) };
}

/** DNS names and addresses (4 or 16 bytes) that the certificate is for. */
export function subjectAlternativeNames(names: readonly (string | readonly number[])[]): Extension {
  return { identifier: '2.5.29.17', critical: false, value: sequence(...names.map(generalName)) };
}

/** The only names for which this CA's certificates count: DNS names with what is below them, and exactly these addresses. */
export function permittedNames(names: readonly (string | readonly number[])[]): Extension {
  const subtrees = names.map((name) => {
    const mask = typeof name === 'string' ? [] : name.map(() => 0xff);
    return sequence(generalName(typeof name === 'string' ? name : [...name, ...mask]));
  });
  return { identifier: '2.5.29.30', critical: true, value: sequence(tagged(0xa0, ...subtrees)) };
}

export function subjectKeyIdentifier(publicKey: KeyObject): Extension {
  return { identifier: '2.5.29.14', critical: false, value: tagged(0x04, keyIdentifier(publicKey)) };
}

export function authorityKeyIdentifier(issuerKey: KeyObject): Extension {
  return { identifier: '2.5.29.35', critical: false, value: sequence(tagged(0x80, keyIdentifier(issuerKey))) };
}

/** RFC 7093 §2, method 4: a name for the key, not a check of it. */
function keyIdentifier(publicKey: KeyObject): Buffer {
  const digest = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  return digest.subarray(0, 20);
}

function encodeExtension({ identifier, critical, value }: Extension): Buffer {
  const flag = critical ? [tagged(0x01, Buffer.of(0xff))] : [];
  return sequence(objectIdentifier(identifier), ...flag, tagged(0x04, value));
}

function generalName(name: string | readonly number[]): Buffer {
  return typeof name === 'string' ? tagged(0x82, Buffer.from(name, 'latin1')) : tagged(0x87, Uint8Array.from(name));
}

function commonName(text: string): Buffer {
  const attribute = sequence(objectIdentifier('2.5.4.3'), tagged(0x0c, Buffer.from(text, 'utf8')));
  return sequence(tagged(0x31, attribute));
}

/** UTCTime through 2049, GeneralizedTime after it (RFC 5280 §4.1.2.5). */
function time(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  const short = digits < '2050';
  return tagged(short ? 0x17 : 0x18, Buffer.from(`${short ? digits.slice(2) : digits}Z`, 'latin1'));
}

function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = part >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tagged(0x06, Uint8Array.from(bytes));
}

function bitString(bytes: Uint8Array): Buffer {
  return tagged(0x03, Buffer.of(0), bytes);
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tagged(0x30, ...parts);
}

/** Tag, length, content. Lengths up to 65,535, far above any certificate. */
function tagged(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  if (length < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, length), content]);
  return Buffer.concat([Buffer.of(tag, 0x82, length >> 8, length & 0xff), content]);
}
