/** How the sidecar is called: words and environment in, settings out. Reads files, sends nothing. */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { sep } from 'node:path';
import { parseArgs } from 'node:util';
import { DEFAULT_STALENESS_MS, readForwardAuthQuery } from '@countersign/protocol';
import type { VerifierOptions } from '@countersign/verifier';
import { LOOPBACK, rangesOf, readRange } from './peers.ts';
import { SidecarRefused } from './refusal.ts';

export interface SidecarSettings {
  verifier: VerifierOptions;
  /** Scopes that every token needs. */
  scopes: readonly string[];
  listen: ListenAt;
  trustedProxies: readonly string[];
  /** PEM, one each; trusted beside the public ones. */
  caCertificates: readonly string[];
  warnings: readonly string[];
}

export type ListenAt =
  | { kind: 'tcp'; host: string; port: number }
  /** `mode`: permission bits of the socket. */
  | { kind: 'unix'; path: string; mode: number };

export type Called = { kind: 'run'; settings: SidecarSettings } | { kind: 'help' } | { kind: 'version' };

const SECRET_VARIABLE = 'COUNTERSIGN_CLIENT_SECRET';
const DEFAULT_LISTEN = '127.0.0.1:9400';

/** RFC 7468 §5. What stands around it, people write. */
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** For options that may be repeated. */
const NONE: string[] = [];
const LOOPBACK_ONLY: string[] = [...LOOPBACK];

const OPTIONS = {
  issuer: { type: 'string' },
  audience: { type: 'string' },
  'client-id': { type: 'string' },
  'client-secret-file': { type: 'string' },
  listen: { type: 'string', default: DEFAULT_LISTEN },
  'socket-mode': { type: 'string', default: '0600' },
  expose: { type: 'boolean', default: false },
  'trusted-proxy': { type: 'string', multiple: true, default: LOOPBACK_ONLY },
  scope: { type: 'string', multiple: true, default: NONE },
  mode: { type: 'string', default: 'coherent' },
  'max-staleness': { type: 'string', default: `${DEFAULT_STALENESS_MS / 1_000}s` },
  origin: { type: 'string' },
  'ca-file': { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
  version: { type: 'boolean', short: 'V', default: false },
} as const;

export const HELP = `Usage: countersign sidecar --issuer <url> --audience <id> --client-id <id> [options]

The verifier as a local process: answers a reverse proxy at /forward-auth who an access token is.

  --issuer <url>               the authority, exactly as it spells itself
  --audience <id>              the API that tokens must be for
  --client-id <id>             the API's client with the resource-server role
  --client-secret-file <path>  its secret, in a file of mode 0600; or ${SECRET_VARIABLE} in the environment
  --listen <address>           host:port or unix:/path (default ${DEFAULT_LISTEN})
  --socket-mode <mode>         permissions of the unix socket, 0600 or 0660 (default 0600)
  --expose                     allow --listen on other addresses than loopback: tokens then travel there in the clear
  --trusted-proxy <cidr>       who may ask; may be repeated (default ${LOOPBACK.join(' ')}; a unix socket needs none)
  --scope <scope>              every token needs it; may be repeated
  --mode <mode>                coherent, strict or offline (default coherent)
  --max-staleness <duration>   for how long a revoked token may still pass at worst (default ${DEFAULT_STALENESS_MS / 1_000}s)
  --origin <origin>            https://api.example, what DPoP proofs are made for (default: the audience's, where that is an https URL)
  --ca-file <path>             PEM certificates to trust beside the public ones
  -V, --version, -h, --help
`;

/** @throws SidecarRefused `usage` for words that mean nothing, `bad_settings` for those that cannot work, `bad_file` */
export function readCall(words: readonly string[], environment: Readonly<Record<string, string | undefined>>): Called {
  const values = parse(words);
  if (values.help) return { kind: 'help' };
  if (values.version) return { kind: 'version' };
  const scopes = readScopes(values.scope);
  const [issuer, audience] = [required('issuer', values.issuer), required('audience', values.audience)];
  const origin = values.origin ?? originOf(audience);
  const listen = readListen(values);
  const trustedProxies = readRanges(values['trusted-proxy']);
  const caFile = values['ca-file'];
  return {
    kind: 'run',
    settings: {
      verifier: {
        ...{ issuer, audience },
        credentials: {
          clientId: required('client-id', values['client-id']),
          clientSecret: readSecret(values['client-secret-file'], environment[SECRET_VARIABLE]),
        },
        mode: readMode(values.mode),
        maxStalenessMs: readDuration(values['max-staleness']),
        ...(origin !== undefined && { origin }),
      },
      ...{ scopes, listen, trustedProxies },
      caCertificates: caFile === undefined ? [] : readCertificates(caFile),
      warnings: warningsOf(listen, trustedProxies),
    },
  };
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    // Node's sentence names the option; a word beside it could be a secret that was put in the wrong place.
    const sentence = error instanceof Error ? (/^[^']*'--?[a-z-]+[^']*'/.exec(error.message)?.[0] ?? '') : '';
    throw new SidecarRefused('usage', `${sentence === '' ? 'There is a word too many' : sentence}. Run with --help.`);
  }
}

function required(name: string, value: string | undefined): string {
  if (value) return value;
  throw new SidecarRefused('usage', `--${name} is missing. Run with --help.`);
}

function readSecret(path: string | undefined, fromEnvironment: string | undefined): string {
  if (path === undefined) {
    if (fromEnvironment) return fromEnvironment;
    throw new SidecarRefused(
      'usage',
      `The client secret is missing: give --client-secret-file, or ${SECRET_VARIABLE} in the environment.`,
    );
  }
  if (fromEnvironment) {
    throw new SidecarRefused('usage', `The client secret stands in --client-secret-file and in ${SECRET_VARIABLE}.`);
  }
  const text = readFile(path, 'the client secret').trim();
  // Windows keeps access in lists of its own, which mode bits do not show.
  if (sep === '/' && (statSync(path).mode & 0o077) !== 0) {
    throw new SidecarRefused('bad_file', `Others than its owner can read ${path}. Run: chmod 600 ${path}`);
  }
  if (text !== '') return text;
  throw new SidecarRefused('bad_file', `Reading the client secret: ${path} is empty.`);
}

/** A file without a certificate would be trusted for nothing in silence, and every call to the authority fail. */
function readCertificates(path: string): readonly string[] {
  const text = readFile(path, 'certificates');
  const certificates = text.match(CERTIFICATE) ?? [];
  const begun = text.split('-----BEGIN').length - 1;
  if (begun > 0 && begun === certificates.length && certificates.every(isCertificate)) return certificates;
  throw new SidecarRefused(
    'bad_file',
    `Reading certificates: ${path} must hold certificates as PEM, whole ones and nothing else.`,
  );
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

/** Most APIs are reached where their audience says. One that is no URL says nothing: then proofs need `--origin`. */
function originOf(audience: string): string | undefined {
  const url = URL.parse(audience);
  return url?.protocol === 'https:' ? url.origin : undefined;
}

function readFile(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new SidecarRefused('bad_file', `Reading ${what}: ${path} cannot be read (${code}).`, { cause: error });
  }
}

function readListen(values: { listen: string; 'socket-mode': string; expose: boolean }): ListenAt {
  const { listen: text, 'socket-mode': mode } = values;
  if (text.startsWith('unix:/')) {
    if (mode === '0600' || mode === '0660')
      return { kind: 'unix', path: text.slice(5), mode: Number.parseInt(mode, 8) };
    throw bad('--socket-mode must be 0600, or 0660 for a proxy of the same group.');
  }
  const [, bracketed, plain, portText] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/]+)):(\d{1,5})$/.exec(text) ?? [];
  const [host, port] = [bracketed ?? plain, Number(portText)];
  const isHost = bracketed === undefined ? host === 'localhost' || isIP(host ?? '') === 4 : isIP(bracketed) === 6;
  if (host === undefined || !isHost || port > 65_535) {
    throw bad('--listen must be an address and a port, 127.0.0.1:9400 or [::1]:9400, or unix: and an absolute path.');
  }
  if (host === 'localhost' || rangesOf(LOOPBACK)(host) || values.expose) return { kind: 'tcp', host, port };
  throw bad(
    `--listen ${text} is open to the network, where access tokens would travel in the clear. Use loopback or a unix socket, or say --expose.`,
  );
}

function readRanges(cidrs: readonly string[]): readonly string[] {
  if (cidrs.every((cidr) => readRange(cidr) !== undefined)) return cidrs;
  throw bad('--trusted-proxy must be an address or a CIDR range: 10.0.0.0/8, 192.0.2.1, 2001:db8::/32.');
}

/** A scope is what it is in a question's query; one that no token can carry would fail each request. */
function readScopes(scopes: readonly string[]): readonly string[] {
  const isOne = (scope: string) => {
    const read = readForwardAuthQuery(`scope=${encodeURIComponent(scope)}`);
    return read.kind === 'asked' && read.scopes.length === 1;
  };
  if (scopes.every(isOne)) return scopes;
  throw bad(
    '--scope must be one scope, printable ASCII without space, quote or backslash. Repeat it for more than one.',
  );
}

function readMode(mode: string): NonNullable<VerifierOptions['mode']> {
  if (mode === 'coherent' || mode === 'strict' || mode === 'offline') return mode;
  throw bad('--mode must be coherent, strict or offline.');
}

function readDuration(text: string): number {
  const [, count, unit] = /^(\d{1,5})([sm])$/.exec(text) ?? [];
  if (count !== undefined) return Number(count) * (unit === 'm' ? 60_000 : 1_000);
  throw bad('--max-staleness must be a number with a unit: 3s, 30s, 5m.');
}

function warningsOf(listen: ListenAt, trustedProxies: readonly string[]): string[] {
  const warnings: string[] = [];
  if (listen.kind === 'tcp' && listen.host !== 'localhost' && !rangesOf(LOOPBACK)(listen.host)) {
    warnings.push(
      'listening beyond loopback: access tokens travel there in the clear, so keep others off this network',
    );
  }
  if (listen.kind === 'tcp' && trustedProxies.some((range) => range.endsWith('/0'))) {
    warnings.push('every address may ask who a token is, and say for which request: name the proxy instead');
  }
  return warnings;
}

function bad(message: string): SidecarRefused {
  return new SidecarRefused('bad_settings', message);
}
