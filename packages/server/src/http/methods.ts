import type { Hono } from 'hono';
import type { HttpEnv } from './context.ts';

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/**
 * The methods that some route answers at this path, as an Allow header lists them (RFC 9110 §10.2.1); empty when there is no such
 * path. Read from the router itself, so that it cannot disagree with the routes. Middleware (method ALL) is no route.
 */
export function allowedMethods(app: Hono<HttpEnv>, path: string): string[] {
  const found = METHODS.filter((method) => {
    const [handlers] = app.router.match(method, path);
    return handlers.some(([[, route]]) => route.method === method);
  });
  return found.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
}
