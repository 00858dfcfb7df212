import { Hono } from 'hono';
import { allowPublicCache, cors, type HttpContext, type HttpEnv } from '../http/http.ts';
import { JWKS_CACHE_MS, type Keys } from '../keys/keys.ts';
import { keySet, metadata } from './discovery.ts';

/** Metadata and keys are public: any page may read them, anybody may keep them for as long as a key is published before it signs. */
export function discoveryRoutes(given: { keys: Keys; issuer: string }): Hono<HttpEnv> {
  const { keys, issuer } = given;
  const routes = new Hono<HttpEnv>();
  routes.use('/.well-known/*', cors({ origins: 'any', methods: ['GET'] }));
  const kept = (c: HttpContext) => allowPublicCache(c, JWKS_CACHE_MS / 1_000);
  const document = (c: HttpContext) => {
    kept(c);
    return c.json(metadata(issuer));
  };
  routes.get('/.well-known/oauth-authorization-server', document);
  // Below a path RFC 8414 §3.1 puts the well-known segment between host and path, where OpenID appends it to the path.
  const issuerPath = new URL(issuer).pathname.replace(/\/$/, '');
  if (issuerPath !== '') routes.get(`/.well-known/oauth-authorization-server${issuerPath}`, document);
  routes.get('/.well-known/openid-configuration', document);
  routes.get('/.well-known/jwks.json', (c) => {
    kept(c);
    return c.json(keySet(keys));
  });
  return routes;
}
