import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startTestServer, type TestServer } from '@countersign/testkit';
import { pause } from './command-line.ts';
import { adapted, documentedFile, type RunningNginx, send, startNginx, startRecorder, WITHOUT_NGINX } from './nginx.ts';
import type { Application } from './oauth-calls.ts';

const LOOPBACK = ['127.0.0.0/8', '::1/128'];
const COMMAND = fileURLToPath(new URL('../../packages/server/src/main.ts', import.meta.url));

/** Everything around one nginx. */
interface Scene {
  server: TestServer;
  api: Awaited<ReturnType<typeof startRecorder>>;
  nginx: RunningNginx;
  app: Application;
  userToken: string;
  close(): Promise<void>;
}

/** Whom nginx asks; each with the file of the page. The sidecar runs as it does by default: what it knows it does not ask again. */
const WAYS = {
  'the authority': { heading: 'nginx, asking the authority', begin: askAuthority, remembers: false },
  'a sidecar': { heading: 'nginx, asking a sidecar', begin: askSidecar, remembers: true },
};

/** A revocation reaches a sidecar by its stream, in milliseconds; far less than the 30 seconds that are its bound without one. */
const REFUSED_WITHIN_MS = 5_000;
const BETWEEN_TRIES_MS = 10;

async function begin(way: keyof typeof WAYS): Promise<Scene> {
  const undo: (() => unknown)[] = [];
  const close = async () => {
    for (const step of undo.reverse()) await step();
  };
  try {
    return { ...(await setUp(way, undo)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function setUp(way: keyof typeof WAYS, undo: (() => unknown)[]): Promise<Omit<Scene, 'close'>> {
  const { heading, begin: ask } = WAYS[way];
  const server = await startTestServer({ settings: { forwardAuthProxies: LOOPBACK } });
  undo.push(() => server.close());
  const api = await startRecorder(() => ({ status: 200 }));
  undo.push(() => api.close());
  const changes = await ask(server, undo);
  const nginx = await startNginx((port) =>
    adapted(documentedFile(heading), {
      'listen 443 ssl;': `listen 127.0.0.1:${port} ssl;`,
      '/etc/nginx/tls/api.crt': join(server.dataFolder, 'tls', 'localhost.pem'),
      '/etc/nginx/tls/api.key': join(server.dataFolder, 'tls', 'localhost.key'),
      '127.0.0.1:8080': api.address,
      ...changes,
    }),
  );
  undo.push(() => nginx.close());
  const app = await server.addClient();
  const browser = await server.logIn('ada@example.com');
  const tokens = await server.obtainTokens({ browser, client: app.client, secret: app.secret, scope: 'accounts:read' });
  return { server, api, nginx, app, userToken: tokens.access_token };
}

async function askAuthority(server: TestServer): Promise<Record<string, string>> {
  return {
    'login.example.com:443': new URL(server.tlsOrigin).host,
    'Host login.example.com': 'Host localhost',
    'proxy_ssl_name login.example.com': 'proxy_ssl_name localhost',
    '/etc/ssl/certs/ca-certificates.crt': join(server.dataFolder, 'tls', 'ca.pem'),
  };
}

async function askSidecar(server: TestServer, undo: (() => unknown)[]): Promise<Record<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-sidecar-'));
  undo.push(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, 'sidecar.sock');
  const { client, secret } = await server.addResourceServer();
  const words = ['--issuer', server.issuer, '--audience', 'https://api.example', '--client-id', client.id];
  const more = ['--listen', `unix:${socket}`, '--ca-file', join(server.dataFolder, 'tls', 'ca.pem')];
  const sidecar = spawn(process.execPath, [COMMAND, 'sidecar', ...words, ...more], {
    env: { ...process.env, COUNTERSIGN_CLIENT_SECRET: secret, NODE_OPTIONS: '--conditions=countersign-source' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  undo.push(() => stop(sidecar));
  await lineOf(sidecar, '"message":"ready"');
  return { '/run/countersign/sidecar.sock': socket };
}

/** Waits for a line of a program's output. */
async function lineOf(child: ChildProcess, wanted: string): Promise<void> {
  let text = '';
  for await (const chunk of child.stdout?.setEncoding('utf8').iterator({ destroyOnReturn: false }) ?? []) {
    text += String(chunk);
    if (text.includes(wanted)) {
      child.stdout?.resume();
      return;
    }
  }
  throw new Error(`The program ended: ${text}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  assert.equal(await ended, 0, 'the sidecar ends by request, with 0');
}

const bearer = (token: string) => `Authorization: Bearer ${token}`;

/** Headers that some reader could take for an identity header: CGI, WSGI and others make one name of hyphen, underscore and case. */
function identityOf(received: { headers: [string, string][] }): Record<string, string[]> {
  const seen: Record<string, string[]> = {};
  for (const [name, value] of received.headers) {
    const read = name.toLowerCase().replaceAll('_', '-');
    if (read.startsWith('countersign')) seen[read] = [...(seen[read] ?? []), value];
  }
  return seen;
}

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
}

function expectedOf(token: string): Record<string, string[]> {
  const { sub, client_id: clientId, scope, jti, exp, auth_time: authTime, amr } = claimsOf(token);
  const values = {
    'countersign-subject': sub,
    'countersign-client-id': clientId,
    'countersign-scope': scope,
    'countersign-token-id': jti,
    'countersign-expires': exp,
    'countersign-authenticated-at': authTime,
    'countersign-authentication-methods': Array.isArray(amr) ? amr.join(' ') : undefined,
  };
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, [String(value)]]])),
  );
}

async function machineToken({ server }: Scene, scope: string, audience?: string): Promise<string> {
  const { client, secret } = await server.addClient({
    redirectUris: [],
    scopes: ['accounts:read', 'profile'],
    ...(audience !== undefined && { audience }),
  });
  const form = { grant_type: 'client_credentials', scope, client_id: client.id, client_secret: secret };
  const answer = (await (await server.post('/oauth2/token', form)).json()) as { access_token: string };
  return answer.access_token;
}

for (const way of Object.keys(WAYS) as (keyof typeof WAYS)[]) {
  describe(`nginx, asking ${way}`, { skip: WITHOUT_NGINX }, () => {
    let scene: Scene;
    before(async () => {
      scene = await begin(way);
    });
    after(() => scene?.close());
    const ask = (lines: readonly string[], more: { method?: string; target?: string } = {}) =>
      send(scene.nginx.origin, { ...more, lines });

    test('a good token passes, and the API sees whose it is, and not the token', async () => {
      for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
        assert.equal((await ask([bearer(scene.userToken)], { method })).status, 200, method);
        const [received, ...others] = scene.api.take();
        assert.ok(received && others.length === 0);
        assert.equal(received.method, method);
        assert.deepEqual(identityOf(received), expectedOf(scene.userToken));
        assert.ok(!JSON.stringify(received).includes(scene.userToken));
      }
      assert.match(expectedOf(scene.userToken)['countersign-subject']?.[0] ?? '', /^user_/);
    });

    test('SC-08 identity headers from outside never arrive, however they are spelled and repeated', async () => {
      const machine = await machineToken(scene, 'accounts:read'); // says nothing of a login: those headers are empty in the answer
      for (const token of [scene.userToken, machine]) {
        const spoofed = [
          'Subject',
          'Client-Id',
          'Scope',
          'Token-Id',
          'Expires',
          'Authenticated-At',
          'Authentication-Methods',
        ]
          .map((name) => `Countersign-${name}`)
          .flatMap((name) => [
            `${name}: evil`,
            `${name}: evil`,
            `${name.toLowerCase()}: evil`,
            `${name.toUpperCase()}: evil`,
            `${name.replaceAll('-', '_')}: evil`,
            `${name.replace('-', '_')}: evil`,
            `${name}:`,
          ]);
        for (const lines of [
          [bearer(token), ...spoofed],
          [...spoofed, bearer(token)],
        ]) {
          assert.equal((await ask(lines)).status, 200);
          const [received] = scene.api.take();
          assert.deepEqual(received && identityOf(received), expectedOf(token));
        }
      }
    });

    test('without a token, or with one that is not good here, nothing passes, and the client is told why', async () => {
      const [header, payload] = scene.userToken.split('.');
      const refusals: [what: string, lines: string[], status: number, challenge: RegExp][] = [
        ['none', [], 401, /^www-authenticate: Bearer realm="[^"]+"/im],
        ['another scheme', ['Authorization: Basic YTpi'], 401, /^www-authenticate: Bearer realm="[^"]+"/im],
        ['nonsense', [bearer('nonsense')], 401, /error="invalid_token"/],
        ['no token behind the word', ['Authorization: Bearer'], 401, /^www-authenticate: Bearer /im],
        ['a changed signature', [bearer(`${header}.${payload}.${'A'.repeat(86)}`)], 401, /error="invalid_token"/],
        [
          'two in one line',
          [`${bearer(scene.userToken)}, Bearer ${scene.userToken}`],
          401,
          /^www-authenticate: Bearer /im,
        ],
        ['identity alone', ['Countersign-Subject: user_x'], 401, /^www-authenticate: Bearer /im],
        [
          'a scope too few',
          [bearer(await machineToken(scene, 'profile'))],
          403,
          /error="insufficient_scope".*scope="accounts:read"/,
        ],
        [
          'another audience',
          [bearer(await machineToken(scene, 'accounts:read', 'https://other.example'))],
          401,
          /error="invalid_token"/,
        ],
      ];
      for (const [what, lines, status, challenge] of refusals) {
        const answered = await ask(lines);
        assert.equal(answered.status, status, what);
        assert.match(answered.headers, challenge, what);
        assert.equal([...answered.headers.matchAll(/^www-authenticate:/gim)].length, 1, what);
      }
      assert.deepEqual(scene.api.take(), []);
    });

    test('SC-08 what a client says of protocol, address, method and path is not believed', async () => {
      const lines = [
        'X-Forwarded-Proto: http',
        'X-Forwarded-For: 203.0.113.9',
        'X-Forwarded-Method: GET',
        'X-Forwarded-Uri: /public',
        'X-Original-Method: GET',
        'X-Original-URI: /public?scope=profile',
        'Countersign-Required-Scope: profile',
        'Cookie: a=b',
      ];
      assert.equal((await ask([bearer(scene.userToken), ...lines])).status, 200, 'the token did not come in the clear');
      assert.equal((await ask([bearer(scene.userToken)])).status, 200, 'and is still good');
      assert.equal((await ask([bearer(await machineToken(scene, 'profile')), ...lines])).status, 403);
      assert.equal(scene.api.take().length, 2);
      assert.ok(!scene.server.logLines.some((line) => line.includes('203.0.113.9')));
    });

    test('no path and no query changes what is asked', async () => {
      const poor = await machineToken(scene, 'profile');
      const targets = [
        '/?scope=profile',
        '/?audience=https://api.example&scope=profile',
        '/x?scope=',
        '//?scope=profile',
        '//evil.example/?scope=profile',
        '/a%2Fb?scope=profile',
        '/a/../b',
        '/a/..%2fforward-auth?scope=profile',
        '/a/%2e%2e/b?scope=profile',
        '/readyz',
        '/healthz',
        '/forward-auth?audience=https://api.example',
        '/%3Fscope=profile',
        '/a%0d%0aX:y',
        '/a;scope=profile',
        '/a?x=%26scope=profile',
        'http://api.example.com/?scope=profile',
      ];
      for (const target of targets) {
        assert.equal((await ask([bearer(poor)], { target })).status, 403, target);
        assert.equal((await ask([], { target })).status, 401, target);
      }
      assert.deepEqual(scene.api.take(), []);
      for (const target of targets)
        assert.equal((await ask([bearer(scene.userToken)], { target })).status, 200, target);
      assert.equal(scene.api.take().length, targets.length);
      for (const target of [
        '/_countersign',
        '/x/../_countersign?scope=profile',
        '/x/%2e%2e/_countersign',
        '//_countersign',
      ]) {
        assert.equal(
          (await ask([bearer(scene.userToken)], { target })).status,
          404,
          `${target} is no place to ask from`,
        );
      }
      assert.deepEqual(scene.api.take(), []);
    });

    test('EB-07 a revoked token does not pass any more', async () => {
      const token = await machineToken(scene, 'accounts:read');
      for (let tries = 0; tries < 2; tries++) assert.equal((await ask([bearer(token)])).status, 200);
      const { authority } = scene.server;
      await authority.store.write((tx) => authority.tokens.revoke(tx, String(claimsOf(token).jti)));
      const untilMs = performance.now() + (WAYS[way].remembers ? REFUSED_WITHIN_MS : 0);
      let refused = await ask([bearer(token)]);
      while (refused.status === 200 && performance.now() < untilMs) {
        await pause(BETWEEN_TRIES_MS);
        refused = await ask([bearer(token)]);
      }
      assert.equal(refused.status, 401);
      assert.match(refused.headers, /error="invalid_token"/);
      scene.api.take();
      for (let tries = 0; tries < 3; tries++) assert.equal((await ask([bearer(token)])).status, 401, 'and for good');
      assert.deepEqual(scene.api.take(), []);
    });

    test('while the authority is away nothing new passes, and the client is not told that its token is bad', async (t) => {
      const doomed = await begin(way);
      t.after(() => doomed.close());
      const ask = (token: string) => send(doomed.nginx.origin, { lines: [bearer(token)] });
      const unseen = await machineToken(doomed, 'accounts:read');
      assert.equal((await ask(doomed.userToken)).status, 200);
      await doomed.server.close();
      doomed.api.take();
      for (let tries = 0; tries < 3; tries++) assert.equal((await ask(unseen)).status, 500);
      assert.deepEqual(doomed.api.take(), []);
      const { remembers } = WAYS[way];
      assert.equal((await ask(doomed.userToken)).status, remembers ? 200 : 500, 'known, for the bound');
      assert.equal(doomed.api.take().length, remembers ? 1 : 0);
    });
  });
}

test('SC-08 attack: through an nginx in front of the authority nobody is told who a token is', {
  skip: WITHOUT_NGINX,
}, async (t) => {
  const server = await startTestServer({
    settings: { trustedProxies: LOOPBACK, forwardAuthProxies: LOOPBACK },
    jobs: false,
  });
  t.after(() => server.close());
  const front = await startNginx((port) => frontOf(server, port));
  t.after(() => front.close());
  const { client, secret } = await server.addClient({ redirectUris: [], scopes: ['accounts:read'] });
  const form = { grant_type: 'client_credentials', client_id: client.id, client_secret: secret };
  const { access_token: token } = (await (await server.post('/oauth2/token', form)).json()) as { access_token: string };
  assert.equal((await send(front.origin, { target: '/livez' })).status, 200, 'the front lets people in');
  for (const lines of [[], ['X-Forwarded-For: 127.0.0.1'], ['X-Forwarded-For: 10.0.0.1', 'Forwarded: for=127.0.0.1']]) {
    for (const target of ['/forward-auth', '//forward-auth/', '/%66orward-auth', '/x/../forward-auth']) {
      const answered = await send(front.origin, {
        target: `${target}?audience=https://api.example`,
        lines: [bearer(token), ...lines],
      });
      assert.equal(answered.status, 403, target);
      assert.doesNotMatch(answered.headers, /countersign-/i);
    }
  }
});

/** As production.md says it: https on both sides, and who asked. */
function frontOf(server: TestServer, port: number): string {
  const tls = join(server.dataFolder, 'tls');
  return `server {
  listen 127.0.0.1:${port} ssl;
  ssl_certificate ${join(tls, 'localhost.pem')};
  ssl_certificate_key ${join(tls, 'localhost.key')};
  location / {
    proxy_pass ${server.tlsOrigin};
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate ${join(tls, 'ca.pem')};
    proxy_ssl_name localhost;
  }
}
`;
}

test('what nginx tells a sidecar is the request itself, and nothing that the client adds', {
  skip: WITHOUT_NGINX,
}, async (t) => {
  const server = await startTestServer({ jobs: false });
  t.after(() => server.close());
  const sidecar = await startRecorder(() => ({ status: 401 }));
  t.after(() => sidecar.close());
  const nginx = await startNginx((port) =>
    adapted(documentedFile('nginx, asking a sidecar'), {
      'listen 443 ssl;': `listen 127.0.0.1:${port} ssl;`,
      '/etc/nginx/tls/api.crt': join(server.dataFolder, 'tls', 'localhost.pem'),
      '/etc/nginx/tls/api.key': join(server.dataFolder, 'tls', 'localhost.key'),
      'unix:/run/countersign/sidecar.sock': sidecar.address,
    }),
  );
  t.after(() => nginx.close());
  const lines = [
    'DPoP: a.b.c',
    'Authorization: DPoP x.y.z',
    'X-Original-URI: /public',
    'X-Forwarded-Uri: /public',
    'Cookie: a=b',
  ];
  await send(nginx.origin, { method: 'PUT', target: '/a%2Fb/../c//d?scope=x', lines });
  const [asked] = sidecar.take();
  assert.equal(asked?.method, 'GET');
  assert.equal(asked?.target, '/forward-auth?scope=accounts:read');
  const told = Object.fromEntries((asked?.headers ?? []).map(([name, value]) => [name.toLowerCase(), value]));
  assert.deepEqual(
    { ...told, host: undefined },
    {
      host: undefined,
      authorization: 'DPoP x.y.z',
      dpop: 'a.b.c',
      'x-original-method': 'PUT',
      'x-original-uri': '/a%2Fb/../c//d?scope=x',
    },
  );
  assert.equal(asked?.headers.length, 5);
});
