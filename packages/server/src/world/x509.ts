/**
 * Makes the two kinds of certificate that a development server needs, with @peculiar/x509. Reading and verifying certificates is
 * node:crypto's.
 */
import 'reflect-metadata'; // @peculiar/x509 finds its algorithms through it and does not load it itself
import { KeyObject, type webcrypto, X509Certificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_nameConstraints,
  NameConstraints,
} from '@peculiar/asn1-x509';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate as X509,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** ECDSA on P-256 with SHA-256: what every client takes. */
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** DNS names and addresses, as text. An address stands with its mask where names are constrained. */
export interface Names {
  dns: readonly string[];
  ip: readonly string[];
}

export interface CertificateFields {
  /** 16 bytes, the first between 0x40 and 0x7f, so that the number is positive and of fixed length (RFC 5280 §4.1.2.2). */
  serialNumber: Uint8Array;
  /** Common name. */
  subject: string;
  notBefore: Date;
  notAfter: Date;
}

/** A certificate and its private key. */
export interface Pair {
  certificate: X509Certificate;
  key: KeyObject;
}

/**
 * A CA that signs end certificates only, and only for the names it is permitted (critical name constraints, RFC 5280 §4.2.1.10).
 */
export async function makeAuthority(fields: CertificateFields & { permitted: Names }): Promise<Pair> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const made = await X509CertificateGenerator.createSelfSigned({
    ...common(fields),
    name: `CN=${fields.subject}`,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      permittedNames(fields.permitted),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return pairOf(made, keys);
}

/** A certificate for TLS servers of these names, signed by a CA. */
export async function makeServerCertificate(
  fields: CertificateFields & { names: Names; authority: Pair },
): Promise<Pair> {
  const { authority } = fields;
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const names = [
    ...fields.names.dns.map((value) => ({ type: 'dns' as const, value })),
    ...fields.names.ip.map((value) => ({ type: 'ip' as const, value })),
  ];
  const made = await X509CertificateGenerator.create({
    ...common(fields),
    subject: `CN=${fields.subject}`,
    issuer: authority.certificate.subject,
    publicKey: keys.publicKey,
    signingKey: cryptoKey(authority.key, 'sign'),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(names),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(cryptoKey(authority.certificate.publicKey, 'verify')),
    ],
  });
  return pairOf(made, keys);
}

/** Node and the DOM type the same class twice, so each conversion between its two names is a cast. */
function cryptoKey(key: KeyObject, usage: 'sign' | 'verify'): CryptoKey {
  return key.toCryptoKey(ALGORITHM, true, [usage]) as CryptoKey;
}

function pairOf(made: X509, keys: CryptoKeyPair): Pair {
  const certificate = new X509Certificate(made.toString('pem'));
  return { certificate, key: KeyObject.from(keys.privateKey as webcrypto.CryptoKey) };
}

function common(fields: CertificateFields) {
  return {
    serialNumber: Buffer.from(fields.serialNumber).toString('hex'),
    notBefore: fields.notBefore,
    notAfter: fields.notAfter,
    signingAlgorithm: ALGORITHM,
  };
}

/** The generator has no class for this extension; its ASN.1 package has the structure. */
function permittedNames(names: Names): Extension {
  const bases = [
    ...names.dns.map((dNSName) => new GeneralName({ dNSName })),
    ...names.ip.map((iPAddress) => new GeneralName({ iPAddress })),
  ];
  const constraints = new NameConstraints({
    permittedSubtrees: new GeneralSubtrees(bases.map((base) => new GeneralSubtree({ base }))),
  });
  return new Extension(id_ce_nameConstraints, true, AsnConvert.serialize(constraints));
}
