import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRegistration, DEFAULT_LIFETIMES, type Registration, RegistrationRefused } from './registration.ts';

const WEB: Registration = {
  name: 'Application',
  isConfidential: true,
  redirectUris: ['https://app.example/cb'],
  scopes: ['openid'],
  audience: 'https://api.example',
};
const PUBLIC: Registration = { ...WEB, isConfidential: false };
const SERVICE: Registration = { name: 'Service', isConfidential: true, audience: 'https://api.example' };

test('a web application gets the code flow with refresh tokens, PKCE and the default lives', () => {
  const { grantTypes, authMethod, isPkceRequired, singleActive, ...rest } = checkRegistration(WEB);
  assert.deepEqual(grantTypes, ['authorization_code', 'refresh_token']);
  assert.equal(authMethod, 'client_secret');
  assert.equal(isPkceRequired, true);
  assert.equal(singleActive, 'grant');
  for (const [name, value] of Object.entries(DEFAULT_LIFETIMES)) {
    assert.equal(rest[name as keyof typeof DEFAULT_LIFETIMES], value);
  }
});

test('BC-10 the default life of an access token is an hour at most', () => {
  assert.ok(DEFAULT_LIFETIMES.accessLifetimeSeconds <= 3_600);
});

test('a public client gets the code flow without refresh tokens; a service its own credentials', () => {
  assert.deepEqual(checkRegistration(PUBLIC).grantTypes, ['authorization_code']);
  assert.equal(checkRegistration(PUBLIC).authMethod, 'none');
  assert.deepEqual(checkRegistration(SERVICE).grantTypes, ['client_credentials']);
});

const many = (count: number) => Array.from({ length: count }, (_, at) => `https://app.example/${at}`);
const refusals: [string, Registration, string][] = [
  ['no name', { ...WEB, name: ' ' }, 'name'],
  ['a name of 101 characters', { ...WEB, name: 'x'.repeat(101) }, 'name'],
  ['a name with a line break', { ...WEB, name: 'Bank\nof Example' }, 'name'],
  ['a name that turns the text around', { ...WEB, name: 'Bank \u202e' }, 'name'],
  ['OA-07 a redirect URI over http', { ...WEB, redirectUris: ['http://app.example/cb'] }, 'redirect_uris'],
  [
    'OA-07 one bad redirect URI among good ones',
    { ...WEB, redirectUris: ['https://a.example/', 'javascript:1'] },
    'redirect_uris',
  ],
  ['21 redirect URIs', { ...WEB, redirectUris: many(21) }, 'redirect_uris'],
  ['the code flow without a redirect URI', { ...SERVICE, grantTypes: ['authorization_code'] }, 'redirect_uris'],
  ['a redirect URI without the code flow', { ...WEB, grantTypes: ['client_credentials'] }, 'redirect_uris'],
  ['a scope with a space', { ...WEB, scopes: ['a b'] }, 'scope'],
  ['51 scopes', { ...WEB, scopes: Array.from({ length: 51 }, (_, at) => `s${at}`) }, 'scope'],
  ['an audience that is no URI', { ...WEB, audience: 'api' }, 'audience'],
  ['an audience with a fragment', { ...WEB, audience: 'https://api.example/#x' }, 'audience'],
  ['an audience with a space', { ...WEB, audience: 'https://api.example/ x' }, 'audience'],
  ['a resource server for nonsense', { ...SERVICE, resourceServerFor: ['*'] }, 'audience'],
  ['an origin with a path', { ...WEB, allowedOrigins: ['https://app.example/'] }, 'allowed_origins'],
  ['an origin over http', { ...WEB, allowedOrigins: ['http://app.example'] }, 'allowed_origins'],
  ['any origin', { ...WEB, allowedOrigins: ['*'] }, 'allowed_origins'],
  ['the origin null', { ...WEB, allowedOrigins: ['null'] }, 'allowed_origins'],
  ['a confidential client without a secret', { ...WEB, authMethod: 'none' }, 'auth_method'],
  ['a public client with a secret', { ...PUBLIC, authMethod: 'client_secret_basic' }, 'auth_method'],
  [
    'client_credentials for a public client',
    { ...PUBLIC, grantTypes: ['authorization_code', 'client_credentials'] },
    'grant_types',
  ],
  [
    'refresh tokens for a public client',
    { ...PUBLIC, grantTypes: ['authorization_code', 'refresh_token'] },
    'grant_types',
  ],
  [
    'refresh tokens without the code flow',
    { ...SERVICE, grantTypes: ['client_credentials', 'refresh_token'] },
    'grant_types',
  ],
  ['a public resource server', { ...PUBLIC, resourceServerFor: ['https://api.example'] }, 'resource_server_for'],
  ['PK-02 a public client without PKCE', { ...PUBLIC, isPkceRequired: false }, 'pkce'],
  ['an access token of a second', { ...WEB, accessLifetimeSeconds: 1 }, 'access_lifetime'],
  ['an access token of two days', { ...WEB, accessLifetimeSeconds: 172_800 }, 'access_lifetime'],
  ['an access token of no number', { ...WEB, accessLifetimeSeconds: Number.NaN }, 'access_lifetime'],
  [
    'BC-03 a refresh life longer than keys stay readable',
    { ...WEB, refreshAbsoluteSeconds: 401 * 86_400 },
    'refresh_absolute',
  ],
  ['BC-03 an endless refresh life', { ...WEB, refreshAbsoluteSeconds: Number.POSITIVE_INFINITY }, 'refresh_absolute'],
  [
    'BC-03 idle longer than absolute',
    { ...WEB, refreshAbsoluteSeconds: 3_600, refreshIdleSeconds: 3_601 },
    'refresh_idle',
  ],
  ['31 seconds of grace', { ...WEB, graceSeconds: 31 }, 'grace'],
  ['a negative overlap', { ...WEB, overlapSeconds: -1 }, 'overlap'],
  ['half a second of overlap', { ...WEB, overlapSeconds: 0.5 }, 'overlap'],
  ['no live token at all', { ...WEB, maxLiveTokens: 0 }, 'max_live_tokens'],
];
for (const [what, registration, member] of refusals) {
  test(`${what} is refused, naming ${member}`, () => {
    assert.throws(
      () => checkRegistration(registration),
      (error) => error instanceof RegistrationRefused && error.code === `bad_registration.${member}`,
    );
  });
}

test('what is just within the limits is registered', () => {
  for (const registration of [
    { ...WEB, name: 'x'.repeat(100), redirectUris: many(20), graceSeconds: 0, overlapSeconds: 30 },
    { ...WEB, accessLifetimeSeconds: 86_400, refreshAbsoluteSeconds: 400 * 86_400, maxLiveTokens: 1 },
    { ...WEB, isPkceRequired: false, allowedOrigins: ['https://app.example:8443'] },
    { ...SERVICE, grantTypes: [], resourceServerFor: ['https://api.example'] },
  ]) {
    assert.equal(checkRegistration(registration).name, registration.name);
  }
});
