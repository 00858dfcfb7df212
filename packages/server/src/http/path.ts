import { getPath } from 'hono/utils/url';

/**
 * The path by which a request is routed. Clients in the wild write `//accounts` and `/accounts/`; both mean `/accounts`, and a
 * redirect instead would lose a POST's body. The issuer's own path is optional in front, as many proxies strip it.
 */
export function routedPath(request: Request, basePath: string): string {
  return tolerantPath(getPath(request), basePath);
}

/** The rule of `routedPath` on a decoded path. */
export function tolerantPath(path: string, basePath: string): string {
  const collapsed = path.replace(/\/{2,}/g, '/');
  const trimmed = collapsed.length > 1 && collapsed.endsWith('/') ? collapsed.slice(0, -1) : collapsed;
  if (basePath === '') return trimmed;
  if (trimmed === basePath) return '/';
  return trimmed.startsWith(`${basePath}/`) ? trimmed.slice(basePath.length) : trimmed;
}
