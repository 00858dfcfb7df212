/**
 * The scene of the attacks: a running authority, the example API behind the verifier, both over TLS; Ada, who is honest; Mallory,
 * who has an account, tokens and a registered client of his own, and holds every key that was ever sealed in the server.
 */
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { localCertificate, systemRandom } from '@countersign/server';
import {
  type Browser,
  DEFAULT_AUDIENCE,
  linkIn,
  startTestServer,
  type TestServer,
  type TokenSet,
} from '@countersign/testkit';
import { createVerifier } from '@countersign/verifier';
import { serve } from '@hono/node-server';
import { createApi } from '../../examples/api/src/api.ts';
import { type Leak, leakOf } from './leak.ts';

/** Tokens that live through the whole list of attempts. */
const LONG_LIFETIME_SECONDS = 6 * 60 * 60;
const BRIEF_LIFETIME_SECONDS = 60;
export const OTHER_AUDIENCE = 'https://other.example';

type Registered = Awaited<ReturnType<TestServer['addClient']>>;

/** Genuine tokens of Ada's, one of each kind, none of them used. */
export interface Genuine {
  access: string;
  refresh: string;
  link: string;
  id: string;
  code: string;
  session: string;
}

export interface Person {
  email: string;
  userId: string;
  browser: Browser;
  tokens: TokenSet & { refresh_token: string };
}

export interface Scene {
  server: TestServer;
  apiOrigin: string;
  leak: Leak;
  ada: Person;
  mallory: Person;
  /** The application that both use. */
  app: Registered;
  /** Mallory's own registered client, for the same API. */
  malloryApp: Registered;
  /** A client of another API. */
  elsewhere: Registered;
  /** A client whose tokens live for a minute. */
  brief: Registered;
  resourceServer: Registered;
  otherResourceServer: Registered;
  /** Ada's tokens of every kind, young enough to be good. */
  genuine(): Promise<Genuine>;
  /** Tokens of a grant of their own, for an attempt that may harm it. */
  freshTokens(options?: {
    browser?: Browser;
    registered?: Registered;
    scope?: string;
  }): Promise<TokenSet & { refresh_token: string }>;
  /** The token of a link that was mailed to a browser that waits for it. */
  freshLink(email: string, browser: Browser): Promise<string>;
  refresh(
    token: string,
    as?: { registered?: Registered; isAuthenticated?: boolean },
  ): Promise<{ status: number; body: Record<string, unknown> }>;
  /** Resolves when no report of the verifier is under way and every alarm is written. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

export async function openScene(): Promise<Scene> {
  const server = await startTestServer();
  try {
    return await setScene(server);
  } catch (error) {
    await server.close(); // an open socket would keep the process for ever
    throw error;
  }
}

async function setScene(server: TestServer): Promise<Scene> {
  const long = { accessLifetimeSeconds: LONG_LIFETIME_SECONDS };
  const app = await server.addClient({ name: 'Bank', ...long });
  const malloryApp = await server.addClient({ name: 'Gadget', ...long });
  const elsewhere = await server.addClient({ name: 'Elsewhere', audience: OTHER_AUDIENCE, ...long });
  const brief = await server.addClient({ name: 'Brief', accessLifetimeSeconds: BRIEF_LIFETIME_SECONDS });
  const resourceServer = await server.addResourceServer();
  const otherResourceServer = await server.addResourceServer(OTHER_AUDIENCE);
  const api = await openApi(server, resourceServer);
  // An alarm may be written beside the answer.
  const { events } = server.authority;
  const records = counted(events.record.bind(events));
  events.record = records.call;
  const freshTokens: Scene['freshTokens'] = async (options = {}) => {
    const { browser = ada.browser, registered = app, scope } = options;
    return withRefresh(await server.obtainTokens({ ...registered, browser, ...(scope !== undefined && { scope }) }));
  };
  const person = async (email: string): Promise<Person> => {
    const browser = await server.logIn(email);
    const tokens = withRefresh(await server.obtainTokens({ ...app, browser }));
    const user = await server.authority.users.byEmail(email);
    return { email, userId: user?.id ?? '', browser, tokens };
  };
  const ada = await person('ada@example.com');
  const mallory = await person('mallory@example.net');
  const freshLink: Scene['freshLink'] = async (email, browser) => {
    const after = server.mails.length;
    await browser.submit(await browser.get('/login'), { email });
    return new URL(linkIn(await server.mailTo(email, after))).searchParams.get('token') ?? '';
  };
  const stock = genuineStock({ server, app, freshTokens, freshLink });
  return {
    ...{ server, ada, mallory, app, malloryApp, elsewhere, brief, resourceServer, otherResourceServer },
    ...{ apiOrigin: api.origin, leak: await leakOf(server), freshTokens, freshLink },
    genuine: () => stock(ada),
    async refresh(token, { registered = app, isAuthenticated = true } = {}) {
      const response = await server.post('/oauth2/token', {
        grant_type: 'refresh_token',
        refresh_token: token,
        client_id: registered.client.id,
        ...(isAuthenticated && { client_secret: registered.secret }),
      });
      return { status: response.status, body: await response.json() };
    },
    async settled() {
      await api.settled();
      await records.settled();
    },
    async close() {
      await api.close();
      await server.close();
    },
  };
}

function withRefresh(tokens: TokenSet): TokenSet & { refresh_token: string } {
  const { refresh_token } = tokens;
  if (refresh_token === undefined) throw new Error('No refresh token was issued');
  return { ...tokens, refresh_token };
}

/** Codes live a minute, so the stock is renewed well within it. */
const STOCK_AGE_MS = 30_000;

function genuineStock(given: Pick<Scene, 'server' | 'app' | 'freshTokens' | 'freshLink'>) {
  let stock: { genuine: Genuine; atMs: number } | undefined;
  // One browser waits for all of Ada's links: three that wait at once are the most there may be.
  const waiting = given.server.browser();
  return async ({ browser, email }: Person): Promise<Genuine> => {
    const nowMs = given.server.clock.now();
    if (stock && nowMs - stock.atMs < STOCK_AGE_MS) return stock.genuine;
    const tokens = await given.freshTokens({ browser });
    const { code } = await given.server.obtainCode({ browser, client: given.app.client });
    const link = await given.freshLink(email, waiting);
    const session = browser.cookies.get('__Host-session') ?? '';
    const { access_token: access, refresh_token: refresh, id_token: id = '' } = tokens;
    stock = { genuine: { access, refresh, link, id, code, session }, atMs: nowMs };
    return stock.genuine;
  };
}

/** The example API over TLS. Reports run beside the answers, so what is still under way is counted. */
export async function openApi(server: TestServer, { client, secret }: Registered) {
  const { clock } = server;
  const requests = counted((...asked: Parameters<typeof fetch>) => fetch(...asked));
  const verifier = createVerifier({
    issuer: server.issuer,
    audience: DEFAULT_AUDIENCE,
    credentials: { clientId: client.id, clientSecret: secret },
    clock,
    fetch: requests.call,
  });
  await verifier.ready();
  const tls = await localCertificate({ dataFolder: server.dataFolder, clock, random: systemRandom });
  const listener = serve({
    fetch: createApi({ verifier }).fetch,
    createServer,
    serverOptions: { cert: tls.certificate, key: tls.key, maxHeaderSize: 64 * 1024 },
    hostname: 'localhost',
    port: 0,
  });
  if (!listener.listening) await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo; // listening on TCP
  return {
    origin: `https://localhost:${port}`,
    settled: requests.settled,
    async close() {
      await verifier.close();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** The same work, of which it is known how much is under way. */
function counted<Given extends unknown[], Made>(work: (...given: Given) => Promise<Made>) {
  let underWay = 0;
  return {
    async call(...given: Given): Promise<Made> {
      underWay++;
      try {
        return await work(...given);
      } finally {
        underWay--;
      }
    },
    /** Resolves when none is. */
    async settled(): Promise<void> {
      while (underWay > 0) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}
