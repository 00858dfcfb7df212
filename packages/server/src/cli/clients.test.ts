import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registrationOf } from './clients.ts';

const ISSUER = 'https://login.example';

test('what was not said stays out, so that the defaults are those of the domain', () => {
  assert.deepEqual(registrationOf({ name: 'App', pkce: true }, ISSUER), {
    name: 'App',
    isConfidential: true,
    redirectUris: [],
    scopes: [],
    audience: ISSUER,
    resourceServerFor: [],
    allowedOrigins: [],
    isPkceRequired: true,
  });
});

test('every option arrives where it belongs', () => {
  const options = {
    ...{ name: 'App', public: true, redirectUri: ['https://a.example/cb'], scope: ['openid email', 'email a'] },
    ...{ grantType: ['authorization_code' as const], audience: 'https://api.example', origin: ['https://a.example'] },
    ...{ authMethod: 'none' as const, accessLifetime: 60, refreshIdle: 61, refreshAbsolute: 62, grace: 0, overlap: 1 },
    ...{ singleActive: 'off' as const, maxLiveTokens: 5, pkce: false },
  };
  assert.deepEqual(registrationOf(options, ISSUER), {
    name: 'App',
    isConfidential: false,
    redirectUris: ['https://a.example/cb'],
    scopes: ['openid', 'email', 'a'],
    audience: 'https://api.example',
    resourceServerFor: [],
    allowedOrigins: ['https://a.example'],
    isPkceRequired: false,
    grantTypes: ['authorization_code'],
    authMethod: 'none',
    singleActive: 'off',
    accessLifetimeSeconds: 60,
    refreshIdleSeconds: 61,
    refreshAbsoluteSeconds: 62,
    graceSeconds: 0,
    overlapSeconds: 1,
    maxLiveTokens: 5,
  });
});

test('a resource server gets tokens of its own only when that is said', () => {
  const only = { name: 'API', resourceServer: ['https://api.example'], pkce: true };
  assert.deepEqual(registrationOf(only, ISSUER).grantTypes, []);
  const said = { ...only, grantType: ['client_credentials' as const] };
  assert.deepEqual(registrationOf(said, ISSUER).grantTypes, ['client_credentials']);
  assert.equal(registrationOf({ ...only, redirectUri: ['https://a.example/cb'] }, ISSUER).grantTypes, undefined);
});
