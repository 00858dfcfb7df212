import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from '../clients/clients.ts';
import { OAuthError } from '../oauth/oauth.ts';
import { RequestNotRedirectable, readRedirectUri, readRequest } from './request.ts';

const CLIENT: Client = {
  id: 'oauth2client_1',
  name: 'Application',
  isConfidential: true,
  authMethod: 'client_secret',
  redirectUris: ['https://app.example/cb'],
  grantTypes: ['authorization_code'],
  scopes: ['openid', 'accounts:read'],
  audience: 'https://api.example',
  resourceServerFor: [],
  allowedOrigins: [],
  singleActive: 'grant',
  accessLifetimeSeconds: 900,
  refreshIdleSeconds: 900,
  refreshAbsoluteSeconds: 900,
  graceSeconds: 10,
  overlapSeconds: 10,
  maxLiveTokens: 10,
  isPkceRequired: true,
  createdAtMs: 0,
  disabledAtMs: undefined,
  deadBeforeMs: 0,
};
const GOOD = {
  response_type: 'code',
  client_id: CLIENT.id,
  redirect_uri: 'https://app.example/cb',
  state: 's',
  scope: 'openid',
  code_challenge: 'c'.repeat(43),
  code_challenge_method: 'S256',
};
type Changes = Record<string, string | undefined>;

function read(changes: Changes = {}, client: Client | undefined = CLIENT) {
  const parameters = new Map(Object.entries({ ...GOOD, ...changes }).filter(([, value]) => value !== undefined));
  const target = readRedirectUri(client, parameters as Map<string, string>); // undefined values were filtered out
  return readRequest(target, parameters as Map<string, string>, { hintedUserId: undefined, nowMs: 1 });
}

test('a good request is read whole', () => {
  const request = read({ nonce: 'n', prompt: 'login consent', max_age: '60', login_hint: 'ada@example.com' });
  assert.deepEqual(request, {
    clientId: CLIENT.id,
    redirectUri: 'https://app.example/cb',
    isRedirectUriSent: true,
    state: 's',
    scope: ['openid'],
    codeChallenge: 'c'.repeat(43),
    nonce: 'n',
    prompt: ['login', 'consent'],
    maxAgeSeconds: 60,
    loginHint: 'ada@example.com',
    hintedUserId: undefined,
    startedAtMs: 1,
  });
});

test('without a scope a client asks for all it is registered for; without a redirect URI for the only one', () => {
  assert.deepEqual(read({ scope: undefined }).scope, CLIENT.scopes);
  const { redirectUri, isRedirectUriSent } = read({ redirect_uri: undefined });
  assert.deepEqual(
    { redirectUri, isRedirectUriSent },
    { redirectUri: 'https://app.example/cb', isRedirectUriSent: false },
  );
});

const two = { ...CLIENT, redirectUris: ['https://app.example/cb', 'https://app.example/cb2'] };
for (const [what, code, changes, client] of [
  ['an unknown client', 'authorization.unknown_client', {}, null],
  ['a disabled client', 'authorization.unknown_client', {}, { ...CLIENT, disabledAtMs: 1 }],
  ['an unregistered redirect URI', 'authorization.redirect_uri', { redirect_uri: 'https://evil.example/' }, CLIENT],
  [
    'OA-06 a redirect URI with a slash more',
    'authorization.redirect_uri',
    { redirect_uri: 'https://app.example/cb/' },
    CLIENT,
  ],
  ['an empty redirect URI', 'authorization.redirect_uri', { redirect_uri: '' }, CLIENT],
  ['no redirect URI where there are two', 'authorization.redirect_uri', { redirect_uri: undefined }, two],
  [
    'no redirect URI where there is none',
    'authorization.redirect_uri',
    { redirect_uri: undefined },
    { ...CLIENT, redirectUris: [] },
  ],
] as const) {
  test(`${what}: shown to the user, never redirected`, () => {
    assert.throws(
      () => {
        const parameters = new Map(Object.entries({ ...GOOD, ...changes }).filter(([, value]) => value !== undefined));
        readRedirectUri(client ?? undefined, parameters as Map<string, string>); // undefined values were filtered out
      },
      (error) => error instanceof RequestNotRedirectable && error.code === code,
    );
  });
}

const refusals: [string, Changes, string, string][] = [
  ['no response_type', { response_type: undefined }, 'invalid_request', 'bad_request.missing_param.response_type'],
  [
    'response_type token',
    { response_type: 'token' },
    'unsupported_response_type',
    'bad_request.bad_param.response_type',
  ],
  [
    'response_type code token',
    { response_type: 'code token' },
    'unsupported_response_type',
    'bad_request.bad_param.response_type',
  ],
  ['response_mode fragment', { response_mode: 'fragment' }, 'invalid_request', 'bad_request.bad_param.response_mode'],
  [
    'PK-02 no challenge',
    { code_challenge: undefined, code_challenge_method: undefined },
    'invalid_request',
    'bad_request.missing_param.code_challenge',
  ],
  ['PK-03 plain', { code_challenge_method: 'plain' }, 'invalid_request', 'bad_request.bad_param.code_challenge_method'],
  [
    'PK-03 plain by default',
    { code_challenge_method: undefined },
    'invalid_request',
    'bad_request.bad_param.code_challenge_method',
  ],
  [
    'PK-06 a short challenge',
    { code_challenge: 'c'.repeat(42) },
    'invalid_request',
    'bad_request.bad_param.code_challenge',
  ],
  ['a scope beyond the registered', { scope: 'openid admin' }, 'invalid_scope', 'bad_request.bad_param.scope'],
  ['a malformed scope', { scope: 'openid  accounts:read' }, 'invalid_scope', 'bad_request.bad_param.scope'],
  ['BC-02 another resource', { resource: 'https://bank.example' }, 'invalid_target', 'bad_request.bad_param.resource'],
  ['an unknown prompt', { prompt: 'create' }, 'invalid_request', 'bad_request.bad_param.prompt'],
  ['prompt none with another', { prompt: 'none login' }, 'invalid_request', 'bad_request.bad_param.prompt'],
  ['a negative max_age', { max_age: '-1' }, 'invalid_request', 'bad_request.bad_param.max_age'],
  ['an empty max_age', { max_age: '' }, 'invalid_request', 'bad_request.bad_param.max_age'],
  ['a state of 4,097 characters', { state: 's'.repeat(4_097) }, 'invalid_request', 'bad_request.bad_param.state'],
  ['a nonce of 513 characters', { nonce: 'n'.repeat(513) }, 'invalid_request', 'bad_request.bad_param.nonce'],
  ['a request object', { request: 'e30.e30.' }, 'request_not_supported', 'bad_request.request_not_supported'],
  [
    'a request URI',
    { request_uri: 'https://x.example/r' },
    'request_uri_not_supported',
    'bad_request.request_uri_not_supported',
  ],
];
for (const [what, changes, error, code] of refusals) {
  test(`${what}: ${error}`, () => {
    assert.ok(read());
    assert.throws(
      () => read(changes),
      (thrown) => thrown instanceof OAuthError && thrown.error === error && thrown.code === code,
    );
  });
}

test('PK-04 a client freed from PKCE may leave it out, but not half of it', () => {
  const free = { ...CLIENT, isPkceRequired: false };
  assert.equal(read({ code_challenge: undefined, code_challenge_method: undefined }, free).codeChallenge, undefined);
  assert.equal(read({}, free).codeChallenge, 'c'.repeat(43));
  assert.throws(() => read({ code_challenge: undefined }, free), OAuthError);
  assert.throws(() => read({ code_challenge_method: undefined }, free), OAuthError);
});
