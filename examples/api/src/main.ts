/**
 * Runs the example API over HTTPS. Settings come from the environment; README.md lists them. Stops on SIGINT and SIGTERM
 * when the requests under way are answered.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import process from 'node:process';
import { createVerifier } from '@countersign/verifier';
import { serve } from '@hono/node-server';
import { createApi } from './api.ts';

const DEFAULT_PORT = '8444';

function setting(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new Error(`Starting the example API: ${name} is not set. See examples/api/README.md.`);
}

async function main(): Promise<void> {
  const verifier = createVerifier({
    issuer: setting('ISSUER'),
    audience: setting('AUDIENCE'),
    credentials: { clientId: setting('CLIENT_ID'), clientSecret: setting('CLIENT_SECRET') },
  });
  const serverOptions = {
    cert: readFileSync(setting('TLS_CERTIFICATE_FILE')),
    key: readFileSync(setting('TLS_KEY_FILE')),
  };
  await verifier.ready();
  const server = serve(
    {
      fetch: createApi({ verifier }).fetch,
      createServer,
      serverOptions,
      hostname: 'localhost',
      port: Number(process.env.PORT ?? DEFAULT_PORT),
    },
    ({ port }) => process.stdout.write(`The example API answers on https://localhost:${port}/balance\n`),
  );
  const stop = () => {
    server.close();
    void verifier.close();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : 'Starting the example API failed.'}\n`);
  process.exitCode = 1;
}
