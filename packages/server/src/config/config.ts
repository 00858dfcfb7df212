/**
 * Settings: read once at the start, from the environment and an optional JSON file, and checked as a whole. Owns names, defaults,
 * what excludes what, and the master key's source; leaves to main.ts to say where the environment comes from, and to each part to
 * take from `Settings` what it needs.
 *
 * Whatever is wrong is reported at once, by name, with what to do; values are never repeated, for some of them are secrets.
 */
import { join } from 'node:path';
import { type DatabaseSettings, databaseSource, databaseWarnings } from './database.ts';
import { environmentName, FIELDS, type FieldName, type Given, haveCommonAddress } from './fields.ts';
import { type MasterKeySource, readMasterKey } from './master-key.ts';
import { nearest } from './nearest.ts';
import { type WakeUpSettings, wakeUpsSource } from './wake-ups.ts';

export type { DatabaseSettings } from './database.ts';
export { type MasterKeySource, openMasterKey } from './master-key.ts';

export interface Settings {
  readonly mode: 'development' | 'production';
  /** https URL, no trailing slash. Every link and redirect begins with it. */
  readonly issuer: string;
  /** Address to listen on. */
  readonly host: string;
  readonly port: number;
  /** 0: no plaintext listener. */
  readonly plaintextPort: number;
  readonly dataFolder: string;
  readonly database: DatabaseSettings;
  /**
   * Where the revocation journal stands: best on another disk than the database. Undefined: with PostgreSQL and not set there is none,
   * and a restore ends every grant.
   */
  readonly journalFolder: string | undefined;
  readonly masterKey: MasterKeySource;
  /** `local`: certificate of a CA made at first start, for localhost names only. */
  readonly tls:
    | { readonly kind: 'files'; readonly certificateFile: string; readonly keyFile: string }
    | { readonly kind: 'local' };
  /** CIDR ranges. */
  readonly trustedProxies: readonly string[];
  /** CIDR ranges of those that may ask at `/forward-auth`; none of them has an address in common with `trustedProxies`. */
  readonly forwardAuthProxies: readonly string[];
  /** `mailbox`: mails are shown on a page of the development server and go nowhere. */
  readonly mail:
    | { readonly kind: 'smtp'; readonly url: string; readonly caFile: string | undefined }
    | { readonly kind: 'mailbox' };
  /** `address` or `Name <address>`. */
  readonly mailFrom: string;
  readonly mailsPerMinute: number;
  /** Whether the first login of an unknown address makes a user. */
  readonly signUp: boolean;
  readonly organizationName: string;
  readonly accessAlgorithm: 'ES256' | 'Ed25519';
  readonly hstsPreload: boolean;
  readonly wakeUps: WakeUpSettings;
  readonly logLevel: 'info' | 'warn' | 'error';
  readonly shutdownSeconds: number;
  /** For the log at start: allowed, but rarely meant. */
  readonly warnings: readonly string[];
}

/** All that is wrong with the settings, each sentence with the setting's name and what to do. */
export class SettingsError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The settings cannot be used:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'SettingsError';
    this.problems = problems;
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Mails a minute that one small SMTP account takes; beyond it the queue slows down and refuses nobody. */
const DEFAULT_MAILS_PER_MINUTE = 600;

/** Shorter than the 30 seconds after which Kubernetes kills. */
const DEFAULT_SHUTDOWN_SECONDS = 10;

const CONFIG_VARIABLE = 'COUNTERSIGN_CONFIG';

/**
 * Reads the settings. `readText` gives a file's text or undefined when there is none.
 *
 * Throws `SettingsError` naming every problem: unknown names (with the nearest known one), unreadable values, combinations that
 * cannot work, a weak master key, and an environment in which TLS would not be verified.
 */
export function readSettings(from: {
  environment: Environment;
  readText: (path: string) => string | undefined;
}): Settings {
  const problems = [...environmentProblems(from.environment)];
  const given = readGiven(from, problems);
  const settings = complete(given, from, problems);
  if (problems.length > 0) throw new SettingsError(problems);
  return settings;
}

/** Node then accepts any certificate from SMTP servers and everyone else, silently. There is no use for that here. */
function environmentProblems(environment: Environment): string[] {
  if (!environment.NODE_TLS_REJECT_UNAUTHORIZED) return [];
  return [
    'NODE_TLS_REJECT_UNAUTHORIZED is set, so connections may not be verified. Unset it; name a private CA with ' +
      'NODE_EXTRA_CA_CERTS or smtpCaFile instead.',
  ];
}

/** Values from file and environment (which wins), each read by its field. */
function readGiven(
  from: { environment: Environment; readText: (path: string) => string | undefined },
  problems: string[],
): Given {
  const names = Object.keys(FIELDS);
  const raw = new Map<string, unknown>();
  for (const [name, value] of Object.entries(readFile(from, problems))) {
    if (names.includes(name)) raw.set(name, value);
    else problems.push(`${name} (in the settings file) is not a setting.${didYouMean(name, names)}`);
  }
  const variables = new Map(names.map((name) => [environmentName(name), name]));
  for (const [variable, value] of Object.entries(from.environment)) {
    if (!variable.startsWith('COUNTERSIGN_') || variable === CONFIG_VARIABLE || value === undefined) continue;
    const name = variables.get(variable);
    if (name === undefined)
      problems.push(`${variable} is not a setting.${didYouMean(variable, [...variables.keys(), CONFIG_VARIABLE])}`);
    else if (value !== '') raw.set(name, value); // set but empty is how compose files say "not set"
  }
  const read = [...raw].flatMap(([name, value]) => {
    const field = FIELDS[name as FieldName]; // only names of FIELDS were put in
    const result = field.schema.safeParse(value);
    if (result.success) return [[name, result.data]];
    problems.push(`${called(name)} must ${field.must}.`);
    return [];
  });
  return Object.fromEntries(read) as Given; // each value by the schema of its name
}

function readFile(
  from: { environment: Environment; readText: (path: string) => string | undefined },
  problems: string[],
): Record<string, unknown> {
  const path = from.environment[CONFIG_VARIABLE];
  if (!path) return {};
  const text = readable(from.readText, path);
  if (text === undefined) {
    problems.push(`${CONFIG_VARIABLE} names ${path}, which cannot be read. Check the path and who may read it.`);
    return {};
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // Reported below; the parser's message would quote the file.
  }
  problems.push(`${path} must hold one JSON object, for example {"port": 8443}.`);
  return {};
}

/** Adds defaults and checks what depends on more than one setting. */
function complete(
  given: Given,
  { environment, readText }: { environment: Environment; readText: (path: string) => string | undefined },
  problems: string[],
): Settings {
  const mode = given.mode ?? 'development';
  const production = mode === 'production';
  const port = given.port ?? 8443;
  const issuer = given.issuer ?? `https://localhost:${port === 0 ? 8443 : port}`;
  const dataFolder = given.dataFolder ?? './data';
  // A setting that was given and cannot be used was named already.
  const isAbsent = (name: FieldName) => !given[name] && !problems.some((problem) => problem.startsWith(called(name)));
  if (production && isAbsent('issuer'))
    problems.push(missing('issuer', 'the https URL under which people and clients reach this'));
  if (production && isAbsent('smtpUrl')) problems.push(missing('smtpUrl', 'the server that takes mails'));
  const plaintextPort = given.plaintextPort ?? 8080;
  if (plaintextPort !== 0 && plaintextPort === port) {
    problems.push(`${called('plaintextPort')} and ${called('port')} are the same. Give one of them another number.`);
  }
  const { trustedProxies = [], forwardAuthProxies = [] } = given;
  if (forwardAuthProxies.some((asking) => trustedProxies.some((trusted) => haveCommonAddress(asking, trusted)))) {
    problems.push(
      `${called('forwardAuthProxies')} and ${called('trustedProxies')} share an address. Whoever comes through a trusted proxy would be ` +
        'told who any token is. Let the proxy ask from another address, or ask a sidecar.',
    );
  }
  const database = databaseSource({
    ...{ given, platformUrl: environment.DATABASE_URL, called, problems },
    fileText: (name, path) => fileText(name, path, readText, problems),
  });
  const host = new URL(URL.canParse(issuer) ? issuer : 'https://localhost').hostname;
  const listenHost = given.host ?? (production ? '0.0.0.0' : '127.0.0.1');
  return {
    mode,
    issuer,
    host: listenHost,
    port,
    plaintextPort,
    dataFolder,
    database,
    journalFolder: given.journalFolder ?? (database.kind === 'embedded' ? join(dataFolder, 'journal') : undefined),
    masterKey: masterKeySource(given, { dataFolder, readText }, problems),
    tls: tlsSource(given, { production, readText }, problems),
    ...{ trustedProxies, forwardAuthProxies },
    mail: mailSource(given, readText, problems),
    mailFrom: given.mailFrom ?? `no-reply@${host}`,
    mailsPerMinute: given.mailsPerMinute ?? DEFAULT_MAILS_PER_MINUTE,
    signUp: given.signUp ?? !production,
    organizationName: given.organizationName ?? 'Countersign',
    accessAlgorithm: given.accessAlgorithm ?? 'ES256',
    hstsPreload: given.hstsPreload ?? false,
    wakeUps: wakeUpsSource({
      ...{ given, called, problems },
      fileText: (name, path) => fileText(name, path, readText, problems),
    }),
    logLevel: given.logLevel ?? 'info',
    shutdownSeconds: given.shutdownSeconds ?? DEFAULT_SHUTDOWN_SECONDS,
    warnings: [...warningsFor(given, [listenHost, host]), ...databaseWarnings(database, given)],
  };
}

function masterKeySource(
  given: Given,
  world: { dataFolder: string; readText: (path: string) => string | undefined },
  problems: string[],
): MasterKeySource {
  const own: MasterKeySource = { kind: 'file', path: join(world.dataFolder, 'master.key') };
  if (given.masterKey !== undefined && given.masterKeyFile !== undefined) {
    problems.push(`${called('masterKey')} and ${called('masterKeyFile')} are both set. Unset one of them.`);
    return own;
  }
  const name = given.masterKey !== undefined ? 'masterKey' : 'masterKeyFile';
  const text =
    given.masterKey ??
    (given.masterKeyFile && fileText('masterKeyFile', given.masterKeyFile, world.readText, problems));
  if (text === undefined) return own;
  const reading = readMasterKey(text);
  if (reading.kind === 'key') return { kind: 'given', key: reading.key };
  problems.push(`${called(name)} ${reading.problem}`);
  return own;
}

function tlsSource(
  given: Given,
  world: { production: boolean; readText: (path: string) => string | undefined },
  problems: string[],
): Settings['tls'] {
  const { tlsCertificateFile: certificateFile, tlsKeyFile: keyFile } = given;
  if (certificateFile !== undefined && keyFile !== undefined) {
    fileText('tlsCertificateFile', certificateFile, world.readText, problems);
    fileText('tlsKeyFile', keyFile, world.readText, problems);
    return { kind: 'files', certificateFile, keyFile };
  }
  if (certificateFile === undefined && (world.production || keyFile !== undefined)) {
    problems.push(missing('tlsCertificateFile', 'the PEM file with the certificate and its intermediates'));
  }
  if (keyFile === undefined && (world.production || certificateFile !== undefined)) {
    problems.push(missing('tlsKeyFile', 'the PEM file with the private key of the certificate'));
  }
  return { kind: 'local' };
}

function mailSource(
  given: Given,
  readText: (path: string) => string | undefined,
  problems: string[],
): Settings['mail'] {
  if (given.smtpCaFile !== undefined) fileText('smtpCaFile', given.smtpCaFile, readText, problems);
  return given.smtpUrl ? { kind: 'smtp', url: given.smtpUrl, caFile: given.smtpCaFile } : { kind: 'mailbox' };
}

/** `hosts`: where this listens, and the name under which it is reached. */
function warningsFor(given: Given, hosts: readonly string[]): string[] {
  const warnings: string[] = [];
  if (given.hstsPreload) {
    warnings.push(
      'hstsPreload is on: once browsers ship the domain in their list, it and all its subdomains are https-only for months, ' +
        'whatever is set here later.',
    );
  }
  if (given.trustedProxies?.some((range) => range.endsWith('/0'))) {
    warnings.push('trustedProxies names every address: whoever asks says himself who he is, and no limit holds him.');
  }
  if (given.forwardAuthProxies?.some((range) => range.endsWith('/0'))) {
    warnings.push('forwardAuthProxies names every address: whoever asks is told who any token is.');
  }
  if (!given.smtpUrl && !hosts.every(isThisMachine)) {
    warnings.push(
      'The development mailbox is on and this is reached under more than the names of this machine: whoever opens /dev/mailbox ' +
        'reads the login mails of all, and can log in as anybody. Set smtpUrl, and mode to production, or listen on 127.0.0.1.',
    );
  }
  return warnings;
}

function isThisMachine(host: string): boolean {
  return (
    host === 'localhost' || host.endsWith('.localhost') || host === '::1' || host === '[::1]' || /^127\./.test(host)
  );
}

/** The text of a file that a setting names; a problem when there is none. */
function fileText(
  name: FieldName,
  path: string,
  readText: (path: string) => string | undefined,
  problems: string[],
): string | undefined {
  const text = readable(readText, path);
  if (text === undefined)
    problems.push(`${called(name)} names a file that cannot be read. Check the path and who may read it.`);
  return text;
}

function readable(readText: (path: string) => string | undefined, path: string): string | undefined {
  try {
    return readText(path);
  } catch {
    return undefined;
  }
}

function missing(name: FieldName, what: string): string {
  return `${called(name)} is missing. Set it to ${what}.`;
}

/** Both names of a setting, so that it is found wherever it was written. */
function called(name: string): string {
  return `${environmentName(name)} (${name})`;
}

function didYouMean(name: string, known: readonly string[]): string {
  const found = nearest(name, known);
  return found === undefined ? '' : ` Did you mean ${found}?`;
}
