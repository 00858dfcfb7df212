/**
 * Runs the example API over HTTPS, in the framework that the first argument names. Settings come from the environment; README.md
 * lists them. Stops on SIGINT and SIGTERM when the requests under way are answered.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import { createVerifier, type Verifier } from '@countersign/verifier';
import { createAdaptorServer } from '@hono/node-server';
import { createApi } from './api.ts';
import { createExpressApi } from './express.ts';
import { createFastifyApi } from './fastify.ts';
import { createListener } from './node-http.ts';

const DEFAULT_PORT = '8444';

interface Parts {
  verifier: Verifier;
  tls: { cert: Buffer; key: Buffer };
}

const SERVERS = {
  hono: ({ verifier, tls }: Parts) =>
    createAdaptorServer({ fetch: createApi({ verifier }).fetch, createServer, serverOptions: tls }),
  express: ({ verifier, tls }: Parts) => createServer(tls, createExpressApi({ verifier })),
  fastify: async ({ verifier, tls }: Parts) => {
    const api = createFastifyApi({ verifier, https: tls });
    await api.ready();
    return api.server;
  },
  'node-http': ({ verifier, tls }: Parts) => createServer(tls, createListener({ verifier })),
};

function setting(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new Error(`Starting the example API: ${name} is not set. See examples/api/README.md.`);
}

function isFramework(name: string): name is keyof typeof SERVERS {
  return Object.hasOwn(SERVERS, name);
}

async function main(framework = 'hono'): Promise<void> {
  if (!isFramework(framework)) {
    throw new Error(
      `Starting the example API: it is written for ${Object.keys(SERVERS).join(', ')}; name one of them.`,
    );
  }
  const verifier = createVerifier({
    issuer: setting('ISSUER'),
    audience: setting('AUDIENCE'),
    credentials: { clientId: setting('CLIENT_ID'), clientSecret: setting('CLIENT_SECRET') },
  });
  const tls = {
    cert: readFileSync(setting('TLS_CERTIFICATE_FILE')),
    key: readFileSync(setting('TLS_KEY_FILE')),
  };
  await verifier.ready();
  const server = await SERVERS[framework]({ verifier, tls });
  server.listen(Number(process.env.PORT ?? DEFAULT_PORT), 'localhost');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // listening on TCP
  process.stdout.write(`The example API (${framework}) answers on https://localhost:${port}/balance\n`);
  const stop = () => {
    server.close();
    void verifier.close();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

try {
  await main(process.argv[2]);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : 'Starting the example API failed.'}\n`);
  process.exitCode = 1;
}
