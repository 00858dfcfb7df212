import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { readPostgresAddress } from '../world/postgres-address.ts';

/** Longest organization name: it stands in a mail's subject and a page's heading. */
const MAX_ORGANIZATION_NAME = 60;

/**
 * Longest issuer: it stands in every token, and a magic link's must fit into a cookie of 512 characters (http/), which leaves it some
 * 140.
 */
const MAX_ISSUER_LENGTH = 128;

/** What a URL of a database must be. */
export const POSTGRES_URL =
  'be postgres://user:password@host:5432/database, and after a question mark at most sslmode (disable, require, verify-ca, ' +
  'verify-full) and host, the folder of a socket';

const text = z.string().trim().min(1);
const flag = z.union([z.boolean(), z.stringbool()]);

function whole(min: number, max: number) {
  const digits = z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number);
  return z.union([z.number(), digits]).pipe(z.int().min(min).max(max));
}

const cidrs = z
  .union([z.array(z.string()), z.string().transform((list) => list.split(/[\s,]+/).filter(Boolean))])
  .refine((list) => list.every((entry) => cidrOf(entry) !== undefined))
  .transform((list) => list.flatMap((entry) => cidrOf(entry) ?? []));

/**
 * Every setting: how it is read and, for whoever got it wrong, what it must be. Values are never repeated, for some are
 * secrets. Names are camelCase in the file, `COUNTERSIGN_` and upper snake case in the environment.
 */
export const FIELDS = {
  mode: { schema: z.enum(['development', 'production']), must: 'be development or production' },
  issuer: {
    schema: text.max(MAX_ISSUER_LENGTH).refine(isIssuer),
    must:
      'be an https URL in its shortest spelling: lower case host, no trailing slash, query, fragment or user, at most ' +
      `${MAX_ISSUER_LENGTH} characters`,
  },
  host: { schema: text.regex(/^[A-Za-z0-9.:-]+$/), must: 'be an address or name to listen on' },
  port: { schema: whole(0, 65_535), must: 'be a port number' },
  plaintextPort: { schema: whole(0, 65_535), must: 'be a port number, or 0 for no plaintext listener' },
  dataFolder: { schema: text, must: 'be a path' },
  journalFolder: { schema: text, must: 'be a path' },
  databaseUrl: { schema: text.refine((url) => readPostgresAddress(url) !== undefined), must: POSTGRES_URL },
  databaseUrlFile: { schema: text, must: 'be a path' },
  databaseCaFile: { schema: text, must: 'be the path of a PEM file' },
  databaseConnections: { schema: whole(2, 500), must: 'be a whole number from 2 to 500' },
  masterKey: { schema: text, must: 'be 32 bytes as base64 or hex' },
  masterKeyFile: { schema: text, must: 'be a path' },
  tlsCertificateFile: { schema: text, must: 'be the path of a PEM file: certificate, then its intermediates' },
  tlsKeyFile: { schema: text, must: 'be the path of a PEM file with the private key' },
  trustedProxies: { schema: cidrs, must: 'be addresses or CIDR ranges, separated by commas' },
  forwardAuthProxies: { schema: cidrs, must: 'be addresses or CIDR ranges, separated by commas' },
  smtpUrl: {
    schema: text.refine(isSmtpUrl),
    must: 'be smtp://user:password@host:587 or smtps://user:password@host:465',
  },
  smtpCaFile: { schema: text, must: 'be the path of a PEM file' },
  mailFrom: {
    schema: text.regex(/^(?:[^<>"\r\n]{1,60} <[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+)$/),
    must: 'be an address, or Name <address>',
  },
  mailsPerMinute: { schema: whole(1, 100_000), must: 'be a whole number from 1 to 100000' },
  signUp: { schema: flag, must: 'be true or false' },
  organizationName: {
    schema: text.max(MAX_ORGANIZATION_NAME).regex(/^[^\p{Cc}<>]+$/u),
    must: `be a name of at most ${MAX_ORGANIZATION_NAME} characters, without control characters or angle brackets`,
  },
  accessAlgorithm: { schema: z.enum(['ES256', 'Ed25519']), must: 'be ES256 or Ed25519' },
  hstsPreload: { schema: flag, must: 'be true or false' },
  natsUrl: {
    schema: text.refine(areNatsUrls),
    must: 'be nats://host:4222 or tls://host:4222, several separated by commas, without user or password: those stand in natsCredentialsFile',
  },
  natsCaFile: { schema: text, must: 'be the path of a PEM file' },
  natsCredentialsFile: { schema: text, must: 'be the path of a .creds file' },
  logLevel: { schema: z.enum(['info', 'warn', 'error']), must: 'be info, warn or error' },
  shutdownSeconds: { schema: whole(1, 300), must: 'be a whole number of seconds from 1 to 300' },
} as const;

export type FieldName = keyof typeof FIELDS;

/** What was given, each value read; what was not given is absent. */
export type Given = { [Name in FieldName]?: z.output<(typeof FIELDS)[Name]['schema']> };

/** `masterKeyFile` → `COUNTERSIGN_MASTER_KEY_FILE`. */
export function environmentName(name: string): string {
  return `COUNTERSIGN_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** The issuer is compared as a string by every client (RFC 8414 §3.3), so exactly one spelling is allowed. */
function isIssuer(value: string): boolean {
  const url = URL.parse(value);
  if (url?.protocol !== 'https:' || url.username || url.password || url.search || url.hash) return false;
  return value === `${url.origin}${url.pathname === '/' ? '' : url.pathname}` && !value.endsWith('/');
}

/** Whether two CIDR ranges have an address in common: then the wider holds the narrower. */
export function haveCommonAddress(one: string, other: string): boolean {
  const [[a, aBits], [b, bBits]] = [ipaddr.parseCIDR(one), ipaddr.parseCIDR(other)];
  return a.kind() === b.kind() && a.match([b, Math.min(aBits, bBits)]);
}

function isSmtpUrl(value: string): boolean {
  const url = URL.parse(value);
  return url !== null && (url.protocol === 'smtp:' || url.protocol === 'smtps:') && url.hostname !== '';
}

function areNatsUrls(value: string): boolean {
  return value.split(',').every((server) => {
    const url = URL.parse(server.trim());
    const isKnown = url?.protocol === 'nats:' || url?.protocol === 'tls:';
    return isKnown && url.hostname !== '' && url.username === '' && url.password === '' && url.search === '';
  });
}

/** A lone address is the range of itself. */
function cidrOf(entry: string): string | undefined {
  if (ipaddr.isValidCIDR(entry)) return entry;
  if (!ipaddr.isValid(entry)) return undefined;
  return `${entry}/${ipaddr.parse(entry).kind() === 'ipv4' ? 32 : 128}`;
}
