/**
 * The peer: `oidc-provider` with its own in-memory adapter, set to do the same work, so far as it can: ES256 JWT access tokens for
 * one audience, refresh tokens rotated at each use, the same kind of certificate. It keeps nothing on a disk and logs nothing.
 * Its first argument is an empty folder, for the certificate.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Provider } from 'oidc-provider';
import { localCertificate, systemRandom } from '../packages/server/src/index.ts';
import { systemClock } from '../packages/server/src/world/clock.ts';
import { answerCalls, usage } from './child.ts';

const AUDIENCE = 'https://api.example';
const SCOPE = 'accounts:read';
const ACCOUNT = 'user_1';
const ACCESS_SECONDS = 900;
const REFRESH_SECONDS = 30 * 24 * 3_600;

const [, , dataFolder] = process.argv;
if (dataFolder === undefined) throw new Error('Give a folder for the certificate.');

const tls = await localCertificate({ dataFolder, clock: systemClock, random: systemRandom });
const server = createServer({ cert: tls.certificate, key: tls.key });
await new Promise<void>((resolve) => server.listen({ host: 'localhost', port: 0 }, resolve));
const { port } = server.address() as AddressInfo; // a listening TCP server has no other address

const clientId = 'benchmark';
const clientSecret = randomBytes(32).toString('base64url');
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(`https://localhost:${port}`, {
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['client_credentials', 'authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: ['https://app.example/callback'],
      id_token_signed_response_alg: 'ES256',
      scope: SCOPE,
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'key_1', alg: 'ES256', use: 'sig' }] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  scopes: ['openid', 'offline_access', SCOPE],
  findAccount: async (_: unknown, accountId: string) => ({ accountId, claims: async () => ({ sub: accountId }) }),
  rotateRefreshToken: true,
  ttl: {
    ...{ AccessToken: ACCESS_SECONDS, ClientCredentials: ACCESS_SECONDS },
    ...{ RefreshToken: REFRESH_SECONDS, Grant: REFRESH_SECONDS },
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async () => AUDIENCE,
      useGrantedResource: async () => true,
      getResourceServerInfo: async () => ({
        ...{ scope: SCOPE, audience: AUDIENCE, accessTokenTTL: ACCESS_SECONDS },
        ...{ accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } },
      }),
    },
  },
});
server.on('request', provider.callback());

answerCalls({
  facts: () => ({
    tokenEndpoint: `https://localhost:${port}/token`,
    caCertificate: readFileSync(tls.caCertificateFile, 'utf8'),
    clientId,
    clientSecret,
  }),
  refreshTokens: (count) => Promise.all(Array.from({ length: count }, () => beginGrant())),
  usage,
});

/** A grant as the code flow begins it, without the browser's part. */
async function beginGrant(): Promise<string> {
  const client = await provider.Client.find(clientId);
  if (!client) throw new Error('The client is not there.');
  const grant = new provider.Grant({ accountId: ACCOUNT, clientId });
  grant.addResourceScope(AUDIENCE, SCOPE);
  const about = { client, accountId: ACCOUNT, gty: 'authorization_code', scope: SCOPE, resource: AUDIENCE };
  return new provider.RefreshToken({ ...about, grantId: await grant.save() }).save();
}
