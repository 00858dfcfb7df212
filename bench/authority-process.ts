/**
 * An authority as in production, for the benches: TLS, SQLite with every commit durable, the journal in its folder, jobs running,
 * a log line for each request. Only the limits on client authentication are wider. Its first argument is an empty folder.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Authority,
  composeAuthority,
  composeServer,
  listenHttps,
  localCertificate,
  openSqliteStore,
  pinoLog,
  type Server,
  systemRandom,
  systemStopwatch,
  systemTimers,
} from '../packages/server/src/index.ts';
import { systemClock } from '../packages/server/src/world/clock.ts';
import { answerCalls, usage } from './child.ts';

const AUDIENCE = 'https://api.example';
const REDIRECT_URI = 'https://app.example/callback';

const [, , dataFolder] = process.argv;
if (dataFolder === undefined) throw new Error('Give a folder for the data.');

const clock = systemClock;
const random = systemRandom;
const log = pinoLog({ stream: process.stdout, level: 'info' });
const tls = await localCertificate({ dataFolder, clock, random });
const store = openSqliteStore({ dataFolder, clock, journal: { kind: 'folder', folder: join(dataFolder, 'journal') } });
// The issuer holds the port, so the socket comes first and its handler after.
let server: Server | undefined;
const listener = await listenHttps({
  ...{ host: 'localhost', port: 0, tls },
  handler: (request, peer) => server?.handler(request, peer) ?? new Response(null, { status: 503 }),
});
const issuer = `https://localhost:${listener.port}`;
const authority = await composeAuthority({
  world: {
    ...{ clock, random, log, stopwatch: systemStopwatch },
    timers: systemTimers({ onError: (error) => console.error(error) }),
    mailTransport: { send: async () => {} },
  },
  settings: {
    ...{ issuer, accessAlgorithm: 'ES256', mailsPerMinute: 60, organizationName: 'Countersign', signUp: true },
    ...{ hstsPreload: false, trustedProxies: [] },
  },
  store,
  masterKey: randomBytes(32),
  // All connections authenticate as one client from one network at once.
  limits: { clientSecretPerNetwork: { points: 1_000_000 } },
});
server = composeServer(authority, undefined);
server.startJobs();

const { client, secret } = await authority.clients.add({
  name: 'Benchmark',
  isConfidential: true,
  redirectUris: [REDIRECT_URI],
  grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
  scopes: ['accounts:read'],
  audience: AUDIENCE,
  // A grant is refreshed many times a second here; with the usual overlap it would meet its cap of live tokens.
  overlapSeconds: 0,
});
const session = await beginSession(authority);

answerCalls(
  {
    facts: () => ({
      tokenEndpoint: `${issuer}/oauth2/token`,
      caCertificate: readFileSync(tls.caCertificateFile, 'utf8'),
      clientId: client.id,
      clientSecret: secret ?? '',
    }),
    async resourceServer() {
      const registration = { name: 'Fleet', isConfidential: true, audience: AUDIENCE, resourceServerFor: [AUDIENCE] };
      const added = await authority.clients.add({ ...registration, redirectUris: [], grantTypes: [], scopes: [] });
      return { audience: AUDIENCE, clientId: added.client.id, clientSecret: added.secret ?? '' };
    },
    refreshTokens: (count) => Promise.all(Array.from({ length: count }, () => beginGrant())),
    usage,
  },
  async () => {
    server.stopAccepting();
    await listener.close(1_000);
    await server.stopJobs();
    await store.close();
  },
);

async function beginSession({ users, sessions }: Authority) {
  return store.write(async (tx) => {
    const user = await users.create(tx, 'someone@example.org');
    const login = { userId: user.id, amr: ['email'], userAgent: 'Benchmark', network: '127.0.0.1' };
    return (await sessions.start(tx, login)).session;
  });
}

/** A grant as the code flow begins it, without the browser's part. */
async function beginGrant(): Promise<string> {
  const { grants } = authority;
  const code = await grants.issueCode({
    ...{ client, userId: session.userId, sessionId: session.id, redirectUri: REDIRECT_URI, isRedirectUriSent: true },
    ...{ codeChallenge: undefined, scope: ['accounts:read'], nonce: undefined },
    ...{ authTimeMs: session.createdAtMs, amr: session.amr },
  });
  const presented = { code, redirectUri: REDIRECT_URI, verifier: undefined, address: '127.0.0.1' };
  const { refresh_token } = await grants.redeemCode(client, presented);
  if (refresh_token === undefined) throw new Error('The grant has no refresh token.');
  return refresh_token;
}
