import { generateKeyPairSync, sign } from 'node:crypto';

/** A certificate for `localhost`, its own authority, good for a day around `nowMs`. PEM. */
export function selfSignedCertificate(nowMs: number): { certificate: string; privateKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(tlv(0x31, sequence(OID_COMMON_NAME, tlv(0x0c, Buffer.from('localhost')))));
  const extensions = sequence(
    sequence(OID_BASIC_CONSTRAINTS, BOOLEAN_TRUE, tlv(0x04, sequence(BOOLEAN_TRUE))),
    sequence(OID_SUBJECT_ALT_NAME, tlv(0x04, sequence(tlv(0x82, Buffer.from('localhost'))))),
  );
  const toBeSigned = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))), // version 3
    tlv(0x02, Buffer.from([1])), // serial number
    sequence(OID_ECDSA_WITH_SHA256),
    name,
    sequence(utcTime(nowMs - DAY_MS / 2), utcTime(nowMs + DAY_MS / 2)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, extensions),
  );
  const signature = sign('sha256', toBeSigned, privateKey);
  const der = sequence(toBeSigned, sequence(OID_ECDSA_WITH_SHA256), tlv(0x03, Buffer.from([0]), signature));
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`,
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

const DAY_MS = 86_400_000;

function sequence(...parts: Buffer[]): Buffer {
  return tlv(0x30, ...parts);
}

/** One DER value: tag, length, contents (X.690 §8.1). */
function tlv(tag: number, ...parts: Buffer[]): Buffer {
  const contents = Buffer.concat(parts);
  const size = contents.length;
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), contents]);
}

function utcTime(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replace(/[^0-9]/g, '');
  return tlv(0x17, Buffer.from(`${digits.slice(2, 14)}Z`));
}

const BOOLEAN_TRUE = Buffer.from('0101ff', 'hex');
const OID_COMMON_NAME = Buffer.from('0603550403', 'hex');
const OID_BASIC_CONSTRAINTS = Buffer.from('0603551d13', 'hex');
const OID_SUBJECT_ALT_NAME = Buffer.from('0603551d11', 'hex');
const OID_ECDSA_WITH_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex');
