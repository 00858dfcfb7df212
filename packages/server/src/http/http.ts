/**
 * HTTP: what is the same for every request. Owns the order in which a request is met, the readers of forms, JSON and cookies, the
 * answers to errors, CORS and the defence of forms. Leaves to each domain's `routes.ts` what a path means, and to the listener in
 * world/ sockets, TLS and timeouts.
 *
 * Life of a request: context from the socket (or a trusted proxy) → what plain http exposed is told → refuse what is too large →
 * plain http is answered apart → routes; whatever throws becomes an answer in `errors.ts` → security headers → one log line.
 */
import { encodeBase64url } from '@countersign/protocol';
import { Hono, type MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { Log } from '../world/log.ts';
import type { Random } from '../world/random.ts';
import type { Stopwatch } from '../world/stopwatch.ts';
import { type Authorization, parseAuthorization } from './authorization-header.ts';
import { refuseLargeBody } from './body.ts';
import { answerCleartext, type CleartextRules, tellExposed } from './cleartext.ts';
import {
  type HttpContext,
  type HttpEnv,
  type Peer,
  parseRanges,
  type RequestContext,
  readOrigin,
  readUserAgent,
  siteOf,
} from './context.ts';
import { type ErrorReplies, replyToError } from './errors.ts';
import { finishHeaders, type Hsts, securityHeaders } from './headers.ts';
import { allowedMethods } from './methods.ts';
import { errorPage } from './page.ts';
import { routedPath } from './path.ts';
import { HttpRefusal } from './refusals.ts';

export type { Authorization } from './authorization-header.ts';
export { requireBearer } from './bearer.ts';
export { MAX_BODY_BYTES, readForm, readJson, readQuery } from './body.ts';
export type { CleartextCandidate, CleartextRules, CleartextSighting } from './cleartext.ts';
export type { HttpContext, HttpEnv, Peer, RequestContext } from './context.ts';
export { clearHostCookie, readCookie, setHostCookie } from './cookies.ts';
export { cors } from './cors.ts';
export { Form } from './form.ts';
export { allowFormAction, allowPublicCache } from './headers.ts';
export { type Html, page, STYLESHEET_PATH } from './page.ts';
export { BearerChallenge, HttpRefusal, PageError } from './refusals.ts';
export { assertCsrf, assertSameOrigin, csrfToken } from './same-origin.ts';

/** Longest request target. Node allows 16 KiB for all headers together; this leaves room for them. */
const MAX_TARGET_LENGTH = 10 * 1024;

/** 96 bits: no two requests share an id. It names a log line and is no secret. */
const REQUEST_ID_BYTES = 12;

export interface HttpOptions {
  log: Log;
  random: Random;
  stopwatch: Stopwatch;
  /** The issuer identifier; the only source of links, redirects and the expected Origin. */
  issuer: string;
  /** Adds `preload` to HSTS; without effect on loopback names. */
  hstsPreload: boolean;
  /** CIDR ranges whose X-Forwarded-* headers count. */
  trustedProxies: readonly string[];
  /** CIDR ranges that may ask at this path about requests they hold; there, and nowhere else, their X-Forwarded-* count, too. */
  asking?: { path: string; proxies: readonly string[] };
  organizationName: string;
  cleartext: CleartextRules;
}

/** Answers one request; never rejects. */
export type RequestHandler = (request: Request, peer: Peer) => Promise<Response>;

export interface Http {
  /** An app with everything around the routes: `app.get(…)`, `app.route('/', …)`. Wrong methods are answered by its router. */
  app(): Hono<HttpEnv>;
  /** What the TLS listener calls. */
  handler(app: Hono<HttpEnv>): RequestHandler;
  /** What the plaintext listener calls: redirects pages, refuses the rest, reports credentials. */
  plaintextHandler(): RequestHandler;
  /** For answers that the TLS listener must give itself, to requests that cannot even be read. */
  readonly refusalHeaders: Readonly<Record<string, string>>;
}

/** Routes after this one answer refusals with a page instead of JSON: they are opened by people. */
export const answersWithPages: MiddlewareHandler<HttpEnv> = async (c, next) => {
  c.set('presentation', 'page');
  await next();
};

/** The request's Authorization header; see `Authorization`. */
export function readAuthorization(c: HttpContext): Authorization {
  return parseAuthorization(c.req.raw.headers.get('authorization'));
}

export function createHttp(options: HttpOptions): Http {
  const { log, random, stopwatch, cleartext, organizationName } = options;
  const site = siteOf(options.issuer);
  const trusted = parseRanges(options.trustedProxies);
  const asking = parseRanges(options.asking?.proxies ?? []);
  const hsts: Hsts = { loopback: isLoopbackName(new URL(site.issuer).hostname), preload: options.hstsPreload };
  const frame = { organizationName, basePath: site.basePath };
  const replies: ErrorReplies = { log, errorPage: (facts) => errorPage(facts, frame) };

  function begin(c: HttpContext, transport: 'tls' | 'plaintext'): RequestContext {
    const bindings: HttpEnv['Bindings'] | undefined = c.env; // absent when an app is called without any
    const headers = c.req.raw.headers;
    const isAskingPath = c.req.path === options.asking?.path;
    const origin = readOrigin(bindings?.peer, headers, { trusted, asking: isAskingPath ? asking : [] });
    const secure = transport === 'tls' && origin.secure;
    const id = encodeBase64url(random.bytes(REQUEST_ID_BYTES));
    const request = { ...origin, id, secure, userAgent: readUserAgent(headers) };
    c.set('request', request);
    c.set('site', site);
    c.set('presentation', 'json');
    c.set('formActions', []);
    return request;
  }

  function around(transport: 'tls' | 'plaintext'): MiddlewareHandler<HttpEnv> {
    return async (c, next) => {
      const startedMs = stopwatch.monotonicMs();
      const request = begin(c, transport);
      try {
        if (!request.secure) await tellExposed(c, c.req.path, cleartext);
        refuseOversized(c);
        if (request.secure) await next();
        else c.res = answerCleartext(c, c.req.path, cleartext);
      } catch (thrown) {
        c.res = await replyToError(thrown, c, replies);
      }
      finishHeaders(c, hsts);
      log.info('request', {
        requestId: request.id,
        method: c.req.method.slice(0, 16),
        route: request.secure ? routePattern(c) : 'cleartext',
        status: c.res.status,
        durationMs: Math.round((stopwatch.monotonicMs() - startedMs) * 100) / 100,
        network: request.network,
      });
    };
  }

  function build(transport: 'tls' | 'plaintext'): Hono<HttpEnv> {
    const app = new Hono<HttpEnv>({ getPath: (request) => routedPath(request, site.basePath) });
    app.use(around(transport));
    app.onError((error, c) => replyToError(error, c, replies));
    app.notFound((c) => replyToError(nothingFor(app, c), c, replies));
    return app;
  }

  function handler(app: Hono<HttpEnv>): RequestHandler {
    return async (request, peer) => {
      try {
        return await app.fetch(request, { peer });
      } catch {
        // Only a fault in the frame itself arrives here; the answer still must not be cached or framed.
        log.error('request failed outside its frame');
        return new Response(null, {
          status: 500,
          headers: { ...securityHeaders(hsts, true), 'Cache-Control': 'no-store' },
        });
      }
    };
  }

  return {
    app: () => build('tls'),
    handler,
    plaintextHandler: () => handler(build('plaintext')),
    refusalHeaders: { ...securityHeaders(hsts, true), 'Cache-Control': 'no-store' },
  };
}

/** Names that mean this machine (RFC 6761 §6.3, RFC 8252 §7.3). */
function isLoopbackName(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || hostname.startsWith('127.')
  );
}

function refuseOversized(c: HttpContext): void {
  if (c.req.raw.url.length > MAX_TARGET_LENGTH) {
    throw new HttpRefusal(414, 'bad_request.url_too_long', `The URL is longer than ${MAX_TARGET_LENGTH} characters.`);
  }
  refuseLargeBody(c);
}

/** The path exists for other methods, or not at all. */
function nothingFor(app: Hono<HttpEnv>, c: HttpContext): HttpRefusal {
  const allowed = allowedMethods(app, c.req.path);
  if (allowed.length === 0) return new HttpRefusal(404, 'not_found', 'There is nothing at this path.');
  const allow = allowed.join(', ');
  return new HttpRefusal(405, 'method_not_allowed', `This path answers ${allow} only.`, { Allow: allow });
}

/** The pattern, never the path: paths may hold what a log must not. */
function routePattern(c: HttpContext): string {
  return matchedRoutes(c).findLast((route) => route.method !== 'ALL')?.path ?? 'unmatched';
}
