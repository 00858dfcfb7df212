import { Hono } from 'hono';
import type { HttpEnv } from '../http/http.ts';

/** What readiness rests on; each answers for itself. */
export interface Readiness {
  /** False once shutdown has begun, so that balancers send nothing new. */
  isAccepting(): boolean;
  isKeyed(): boolean;
  /** False where this node's moments cannot stand beside those of others. */
  isTimely(): Promise<boolean>;
  /** Rejects when the store cannot be read, or takes no writes. */
  readStore(): Promise<unknown>;
}

/**
 * Probes: `/livez` says that the process turns, `/readyz` that it can serve, `/startupz` that it has once been ready. They say no
 * more than that: causes are in the log.
 */
export function healthRoutes(readiness: Readiness): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  let hasBeenReady = false;
  const isReady = async () => {
    if (!readiness.isAccepting() || !readiness.isKeyed()) return false;
    try {
      await readiness.readStore();
      if (!(await readiness.isTimely())) return false;
    } catch {
      return false;
    }
    hasBeenReady = true;
    return true;
  };
  routes.get('/livez', (c) => c.json({ status: 'ok' }));
  routes.get('/readyz', async (c) =>
    (await isReady()) ? c.json({ status: 'ok' }) : c.json({ status: 'unready' }, 503),
  );
  routes.get('/startupz', async (c) =>
    hasBeenReady || (await isReady()) ? c.json({ status: 'ok' }) : c.json({ status: 'starting' }, 503),
  );
  return routes;
}
