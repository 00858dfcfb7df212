import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEFAULT_AUDIENCE, startTestServer, type TestServer } from '@countersign/testkit';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

type Program = ChildProcessByStdio<null, Readable, Readable>;

describe('the example API, started as its page says', () => {
  let server: TestServer;
  let environment: NodeJS.ProcessEnv;
  let good: string;
  let narrow: string;

  before(async () => {
    server = await startTestServer();
    const { client, secret } = await server.addResourceServer();
    const browser = await server.logIn('ada@example.com');
    const obtain = async (scope: string) => {
      const { access_token } = await server.obtainTokens({ browser, ...(await server.addClient()), scope });
      return access_token;
    };
    good = await obtain('accounts:read');
    narrow = await obtain('email');
    const tls = (file: string) => join(server.dataFolder, 'tls', file);
    environment = {
      ...process.env,
      ...{ ISSUER: server.issuer, AUDIENCE: DEFAULT_AUDIENCE, CLIENT_ID: client.id, CLIENT_SECRET: secret, PORT: '0' },
      ...{ TLS_CERTIFICATE_FILE: tls('localhost.pem'), TLS_KEY_FILE: tls('localhost.key') },
      NODE_EXTRA_CA_CERTS: tls('ca.pem'),
    };
  });
  after(() => server.close());

  for (const framework of ['hono', 'express', 'fastify', 'node-http']) {
    test(`BR-03 BR-04 BR-05 in ${framework} it shows the balance to whoever may read it, and to nobody else`, async () => {
      const program = start(environment, framework);
      try {
        const balance = await addressIn(program);
        const passed = await call(balance, [good]);
        assert.equal(passed.status, 200);
        assert.deepEqual(Object.keys(JSON.parse(passed.body)), ['user', 'balance', 'currency']);
        assert.equal(passed.cacheControl, 'no-store');
        assert.equal((await call(balance, [])).status, 401);
        assert.equal((await call(balance, ['bad'])).status, 401);
        assert.equal((await call(balance, [narrow])).status, 403);
        assert.equal((await call(balance, [good, good])).status, 400);
      } finally {
        const ended = once(program, 'exit');
        program.kill('SIGTERM');
        assert.deepEqual(await ended, [0, null]);
      }
    });
  }

  test('what it cannot start with, it says in a sentence', async () => {
    const { CLIENT_SECRET: _, ...incomplete } = environment;
    for (const [settings, framework, sentence] of [
      [incomplete, 'express', /CLIENT_SECRET is not set/],
      [environment, 'koa', /written for hono, express, fastify, node-http/],
    ] as const) {
      const program = start(settings, framework);
      const [said, [code]] = await Promise.all([text(program.stderr), once(program, 'exit')]);
      assert.equal(code, 1);
      assert.match(said, sentence);
      assert.equal(said.trim().split('\n').length, 1);
    }
  });
});

function start(environment: NodeJS.ProcessEnv, framework: string): Program {
  return spawn(process.execPath, [MAIN, framework], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Waits for the line in which the program says where it answers; a program that ends without it has said why on stderr. */
async function addressIn(program: Program): Promise<URL> {
  const errors = text(program.stderr);
  for await (const line of createInterface({ input: program.stdout })) {
    const address = /https:\/\/\S+/.exec(line)?.[0];
    if (address) return new URL(address);
  }
  assert.fail(await errors);
}

async function call(to: URL, tokens: string[]): Promise<{ status: number; body: string; cacheControl: string }> {
  const lines = tokens.flatMap((token) => ['Authorization', `Bearer ${token}`]);
  const sent = request(to, { agent: false, headers: ['Host', to.host, ...lines] });
  sent.end();
  const [response] = await once(sent, 'response');
  const cacheControl = response.headers['cache-control'] ?? '';
  return { status: response.statusCode, body: await text(response), cacheControl };
}
