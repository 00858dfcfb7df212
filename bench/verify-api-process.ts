/**
 * An API with two routes that differ in the middleware alone, over plain HTTP as behind a proxy: beside TLS the middleware would
 * look smaller. What each costs is read from this process, in which nothing else runs.
 */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { guard } from '../packages/verifier/src/hono.ts';
import { createVerifier } from '../packages/verifier/src/index.ts';
import { answerCalls, usage } from './child.ts';
import { newTokenSigner, Tokens, verifierOptions } from './verify-tokens.ts';

export interface ApiFacts {
  readonly port: number;
  /** Good at the guarded route. */
  readonly tokens: readonly string[];
}

declare module './child.ts' {
  interface Calls {
    api(): ApiFacts;
  }
}

const TOKENS = 1_000;

const signer = newTokenSigner();
const tokens = new Tokens(signer, TOKENS);
const verifier = createVerifier(verifierOptions(signer));
await verifier.ready();

const app = new Hono();
const answer = { user: 'user_0000000000000000000000', balance: 5000, currency: 'GBP' };
app.get('/open', (c) => c.json(answer));
app.get('/guarded', guard(verifier, { scopes: ['accounts:read'] }), (c) => c.json(answer));
const port = await new Promise<number>((resolve) => {
  serve({ fetch: app.fetch, hostname: 'localhost', port: 0 }, (address) => resolve(address.port));
});

answerCalls({
  api: () => ({ port, tokens: Array.from({ length: TOKENS }, (_, index) => tokens.fresh(index)) }),
  usage,
});
