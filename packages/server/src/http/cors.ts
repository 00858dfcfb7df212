import type { MiddlewareHandler } from 'hono';
import type { HttpEnv } from './context.ts';

/** What a page of another origin may send and read (RFC 9449 §8, RFC 6750 §3, RFC 6585 §4). */
const ALLOWED_HEADERS = 'Authorization, DPoP, Content-Type';
const EXPOSED_HEADERS = 'WWW-Authenticate, DPoP-Nonce, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id';

/** Browsers cap this at two hours at most; ten minutes let a changed list of origins take hold soon. */
const PREFLIGHT_SECONDS = 600;

/**
 * Lets pages of other origins call a route, never with credentials: cookies have no meaning there. `origins` is asked on each
 * request that has an Origin and answers with exact origins; `'any'` is only for what is public anyway (metadata, keys). Set on
 * no route that a cookie authenticates, and never on the authorization endpoint (RFC 9700 §2.6).
 *
 * @example app.use('/oauth2/token', cors({ origins: () => clients.allowedOrigins(), methods: ['POST'] }))
 */
export function cors(options: {
  origins: 'any' | (() => Promise<readonly string[]>);
  methods: readonly string[];
}): MiddlewareHandler<HttpEnv> {
  const { origins, methods } = options;
  return async (c, next) => {
    const origin = c.req.header('Origin');
    const allowed = await allowedOrigin(origin, origins);
    if (
      c.req.method === 'OPTIONS' &&
      origin !== undefined &&
      c.req.header('Access-Control-Request-Method') !== undefined
    ) {
      c.res = preflight(allowed, methods);
    } else {
      await next();
    }
    const headers = c.res.headers;
    if (origins === 'any') headers.set('Cross-Origin-Resource-Policy', 'cross-origin');
    else headers.append('Vary', 'Origin');
    if (allowed === undefined) return;
    headers.set('Access-Control-Allow-Origin', allowed);
    headers.set('Access-Control-Expose-Headers', EXPOSED_HEADERS);
  };
}

/** `null` is the origin of sandboxed frames and local files, that is of anyone: it is never on a list. */
async function allowedOrigin(
  origin: string | undefined,
  origins: 'any' | (() => Promise<readonly string[]>),
): Promise<string | undefined> {
  if (origins === 'any') return '*';
  if (origin === undefined || origin === 'null') return undefined;
  return (await origins()).includes(origin) ? origin : undefined;
}

function preflight(allowed: string | undefined, methods: readonly string[]): Response {
  if (allowed === undefined) return new Response(null, { status: 204 });
  return new Response(null, {
    status: 204,
    headers: {
      'Access-Control-Allow-Methods': methods.join(', '),
      'Access-Control-Allow-Headers': ALLOWED_HEADERS,
      'Access-Control-Max-Age': String(PREFLIGHT_SECONDS),
    },
  });
}
