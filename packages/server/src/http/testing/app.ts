import { html } from 'hono/html';
import { z } from 'zod';
import { OAuthError } from '../../oauth/oauth.ts';
import { StoreUnavailable } from '../../store/store.ts';
import type { LogFields } from '../../world/log.ts';
import { systemRandom } from '../../world/random.ts';
import {
  allowFormAction,
  allowPublicCache,
  answersWithPages,
  BearerChallenge,
  type CleartextSighting,
  createHttp,
  type HttpOptions,
  PageError,
  page,
  readForm,
  readJson,
  readQuery,
} from '../http.ts';

/** What an unforeseen error quotes, and no answer or log line may show. */
export const SECRET = 'k3yk3yk3yk3yk3yk3yk3yk3yk3yk3yk3yk3yk3yk3yk3y';

/** An app with a route of each kind, for the tests of this folder; collects log lines and sightings instead of writing them. */
export function startTestApp(overrides: Partial<HttpOptions> = {}) {
  const lines: { message: string; fields: LogFields }[] = [];
  const sightings: CleartextSighting[] = [];
  const note = (message: string, fields: LogFields = {}) => void lines.push({ message, fields });
  const http = createHttp({
    log: { info: note, warn: note, error: note },
    random: systemRandom,
    stopwatch: { monotonicMs: () => 0 },
    issuer: 'https://login.example',
    hstsPreload: false,
    trustedProxies: ['10.0.0.0/8'],
    organizationName: 'Example <Org>',
    cleartext: {
      isPage: (path) => path === '/login' || path === '/',
      credentialCookies: ['session'],
      onCredential: async (sighting) => void sightings.push(sighting),
    },
    ...overrides,
  });
  const app = http.app();
  app.get('/whoami', (c) => c.json(c.var.request));
  app.post('/token', async (c) => c.json(Object.fromEntries((await readForm(c)).names().map((n) => [n, n]))));
  app.post('/json', async (c) => c.json(await readJson(c, z.object({ jti: z.string() }))));
  app.get('/query', (c) => c.json({ scope: readQuery(c).get('scope') ?? null }));
  app.get('/keys', (c) => {
    allowPublicCache(c, 300);
    return c.json({ keys: [] });
  });
  app.get('/late-failure', (c) => {
    allowPublicCache(c, 300);
    throw new Error('after the cache header');
  });
  app.get('/page', (c) => {
    allowFormAction(c, 'https://client.example/cb');
    allowFormAction(c, 'com.example.app:/cb');
    const { basePath } = c.var.site;
    return c.html(page({ title: 'Hi', body: html`<p>${'<script>'}</p>`, organizationName: 'Example <Org>', basePath }));
  });
  app.get('/redirect', () => Response.redirect('https://client.example/cb', 303));
  app.get('/throw/:what', (c) => fail(c.req.param('what')));
  app.get('/pages/throw/:what', answersWithPages, (c) => fail(c.req.param('what')));
  const fetch = (path: string, init: RequestInit = {}, address = '203.0.113.5') =>
    http.handler(app)(new Request(`https://login.example${path}`, init), { address });
  return { http, app, fetch, lines, sightings };
}

function fail(what: string): Response {
  const errors: Record<string, () => unknown> = {
    client: () => new OAuthError('invalid_client', 'unauthorized.client_authentication', 'No.', { challenge: 'Basic' }),
    token: () =>
      new OAuthError('invalid_token', 'unauthorized.bad_access_token.expired', 'The "token" has\r\nexpired.'),
    scope: () =>
      new OAuthError('insufficient_scope', 'forbidden.insufficient_scope', 'More.', { scope: 'accounts:read' }),
    limited: () =>
      new OAuthError('invalid_client', 'rate_limited.client_authentication', 'Slow down.', { retryAfterSeconds: 7.2 }),
    grant: () => new OAuthError('invalid_grant', 'unauthorized.bad_refresh_token', 'No.'),
    challenge: () => new BearerChallenge(),
    store: () => {
      const cause = new StoreUnavailable('a statement failed', { cause: new Error(`disk is full ${SECRET}`) });
      return new StoreUnavailable('gone', { cause });
    },
    page: () =>
      new PageError({ status: 410, title: 'Used <up>', sentence: 'It was used.', code: 'login.request_over' }),
    unknown: () => new Error(`sqlite choked on ${SECRET}`),
    string: () => 'a string',
  };
  throw errors[what]?.();
}

/** Answers with pages. */
export const HTML_PATHS = ['/page', '/throw/page', '/pages/throw/unknown', '/pages/throw/grant'];
export const ALL_PATHS = [
  ...HTML_PATHS,
  '/whoami',
  '/keys',
  '/redirect',
  '/nothing',
  '/query?scope=%',
  '/late-failure',
];
export const THROWS = ['client', 'token', 'scope', 'limited', 'challenge', 'store', 'unknown', 'string'].map(
  (w) => `/throw/${w}`,
);
