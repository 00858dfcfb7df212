import { MAX_ACCESS_TOKEN_LIFETIME_SECONDS } from '@countersign/protocol';
import { isScopeToken, redirectUriProblem } from '../oauth/oauth.ts';
import type { AuthMethod, Client, GrantType } from './clients.ts';

const MINUTE = 60;
const DAY = 24 * 60 * MINUTE;

/** Lives of what a client is given, where its registration does not say otherwise. */
export const DEFAULT_LIFETIMES = {
  accessLifetimeSeconds: 15 * MINUTE,
  refreshIdleSeconds: 30 * DAY,
  refreshAbsoluteSeconds: 180 * DAY,
  graceSeconds: 10,
  overlapSeconds: 10,
} as const;

/** Refresh keys stay readable for 410 days after their last signature (keys/rotation.ts): no grant may outlive them. */
const MAX_REFRESH_ABSOLUTE_SECONDS = 400 * DAY;
/** Long enough for every request in flight and every retry; longer would be a second life for a dead token. */
const MAX_OVERLAP_SECONDS = 30;
/** Live tokens of one client; above it issuing answers 429. Bounds the table by the number of clients. */
export const DEFAULT_MAX_LIVE_TOKENS = 1_000_000;
/** The highest such bound: more is a slip of the keyboard. */
export const MOST_LIVE_TOKENS = 100_000_000;
const MAX_NAME_LENGTH = 100;
const MAX_REDIRECT_URIS = 20;
const MAX_SCOPES = 50;

/** What whoever registers a client says of it; the rest is default. */
export interface Registration {
  name: string;
  isConfidential: boolean;
  authMethod?: AuthMethod;
  redirectUris?: readonly string[];
  grantTypes?: readonly GrantType[];
  scopes?: readonly string[];
  audience: string;
  resourceServerFor?: readonly string[];
  allowedOrigins?: readonly string[];
  singleActive?: 'grant' | 'off';
  accessLifetimeSeconds?: number;
  refreshIdleSeconds?: number;
  refreshAbsoluteSeconds?: number;
  graceSeconds?: number;
  overlapSeconds?: number;
  maxLiveTokens?: number;
  isPkceRequired?: boolean;
}

/** A registration that cannot be: which member, and what to do. */
export class RegistrationRefused extends Error {
  readonly code: string;
  constructor(member: string, message: string) {
    super(message);
    this.name = 'RegistrationRefused';
    this.code = `bad_registration.${member}`;
  }
}

type Registered = Omit<Client, 'id' | 'createdAtMs' | 'disabledAtMs' | 'deadBeforeMs'>;

/** Checks a registration and fills in the defaults. @throws RegistrationRefused */
export function checkRegistration(given: Registration): Registered {
  const registered: Registered = {
    ...DEFAULT_LIFETIMES,
    redirectUris: [],
    grantTypes: defaultGrantTypes(given),
    scopes: [],
    resourceServerFor: [],
    allowedOrigins: [],
    singleActive: 'grant',
    maxLiveTokens: DEFAULT_MAX_LIVE_TOKENS,
    isPkceRequired: true,
    authMethod: given.isConfidential ? 'client_secret' : 'none',
    ...given,
    name: given.name.trim(),
  };
  checkNames(registered);
  checkGrantTypes(registered);
  checkLifetimes(registered);
  return registered;
}

function defaultGrantTypes(given: Registration): readonly GrantType[] {
  if ((given.redirectUris?.length ?? 0) === 0) return given.isConfidential ? ['client_credentials'] : [];
  return given.isConfidential ? ['authorization_code', 'refresh_token'] : ['authorization_code'];
}

function checkNames(client: Registered): void {
  if (client.name === '' || client.name.length > MAX_NAME_LENGTH || /\p{C}/u.test(client.name)) {
    throw new RegistrationRefused('name', `A client needs a name of 1 to ${MAX_NAME_LENGTH} printable characters.`);
  }
  if (client.redirectUris.length > MAX_REDIRECT_URIS) {
    throw new RegistrationRefused('redirect_uris', `A client has at most ${MAX_REDIRECT_URIS} redirect URIs.`);
  }
  for (const uri of client.redirectUris) {
    const problem = redirectUriProblem(uri);
    if (problem) throw new RegistrationRefused('redirect_uris', `A redirect URI ${problem}.`);
  }
  if (client.scopes.length > MAX_SCOPES || !client.scopes.every(isScopeToken)) {
    throw new RegistrationRefused(
      'scope',
      `Scopes are at most ${MAX_SCOPES} words of printable ASCII without quotes and backslashes (RFC 6749 §3.3).`,
    );
  }
  for (const audience of [client.audience, ...client.resourceServerFor]) {
    if (!isAudience(audience)) {
      throw new RegistrationRefused(
        'audience',
        'An audience is an absolute URI without a fragment, such as https://api.example (RFC 8707 §2).',
      );
    }
  }
  for (const origin of client.allowedOrigins) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin || !origin.startsWith('https://')) {
      throw new RegistrationRefused('allowed_origins', 'An allowed origin is https://host[:port], without a path.');
    }
  }
}

function checkGrantTypes(client: Registered): void {
  const has = (type: GrantType) => client.grantTypes.includes(type);
  if (client.isConfidential === (client.authMethod === 'none')) {
    throw new RegistrationRefused(
      'auth_method',
      'A confidential client authenticates by a secret, a public one by none. Leave the method out, and it fits.',
    );
  }
  if (has('authorization_code') !== client.redirectUris.length > 0) {
    throw new RegistrationRefused('redirect_uris', 'The authorization_code grant and redirect URIs go together.');
  }
  if (has('client_credentials') && !client.isConfidential) {
    throw new RegistrationRefused('grant_types', 'Only confidential clients use client_credentials (RFC 6749 §4.4).');
  }
  if (has('refresh_token') && (!client.isConfidential || !has('authorization_code'))) {
    throw new RegistrationRefused(
      'grant_types',
      'Refresh tokens go to confidential clients that use authorization_code; public ones would have to bind them to a key.',
    );
  }
  if (client.resourceServerFor.length > 0 && !client.isConfidential) {
    throw new RegistrationRefused('resource_server_for', 'A resource server authenticates, so it is confidential.');
  }
  if (!client.isPkceRequired && !client.isConfidential) {
    throw new RegistrationRefused('pkce', 'A public client always uses PKCE (RFC 9700 §2.1.1).');
  }
}

function checkLifetimes(client: Registered): void {
  const limits: [string, string, number, number, number][] = [
    ['access_lifetime', ' of seconds', client.accessLifetimeSeconds, 10, MAX_ACCESS_TOKEN_LIFETIME_SECONDS],
    ['refresh_absolute', ' of seconds', client.refreshAbsoluteSeconds, MINUTE, MAX_REFRESH_ABSOLUTE_SECONDS],
    ['refresh_idle', ' of seconds', client.refreshIdleSeconds, MINUTE, client.refreshAbsoluteSeconds],
    ['grace', ' of seconds', client.graceSeconds, 0, MAX_OVERLAP_SECONDS],
    ['overlap', ' of seconds', client.overlapSeconds, 0, MAX_OVERLAP_SECONDS],
    ['max_live_tokens', '', client.maxLiveTokens, 1, MOST_LIVE_TOKENS],
  ];
  for (const [name, unit, value, least, most] of limits) {
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new RegistrationRefused(name, `${name} must be a whole number${unit} from ${least} to ${most}.`);
    }
  }
}

function isAudience(text: string): boolean {
  return URL.canParse(text) && !text.includes('#') && !/\s/.test(text) && text.length <= 500;
}
