import type { MiddlewareHandler } from 'hono';
import { type HttpEnv, HttpRefusal } from '../http/http.ts';
import { StoreUnavailable } from '../store/store.ts';
import type { Standing, Trouble } from './standing.ts';

/** Somebody has to act before this changes; a client that asks again sooner gains nothing. */
const RETRY_SECONDS = 30;

/**
 * Lets a request pass to the routes behind it only while the store may be served from. `isByHeart`: these routes read nothing of it, and
 * answer also while it is away.
 */
export function requireStanding(
  standing: Pick<Standing, 'trouble'>,
  { isByHeart = false } = {},
): MiddlewareHandler<HttpEnv> {
  return async (_, next) => {
    const trouble = await standing.trouble();
    if (trouble === 'away') {
      // A node reads over several connections: one may answer, from an older copy perhaps, that nobody has looked at.
      if (!isByHeart) throw new StoreUnavailable('Answering: the store could not be looked at for a second.');
    } else if (trouble) throw refusalOf(trouble);
    await next();
  };
}

function refusalOf(trouble: Trouble): HttpRefusal {
  switch (trouble) {
    case 'behind':
      return away('unavailable.store_behind', 'The store is an older copy of what it was. An operator has to look.');
    case 'copied':
      return away('unavailable.store_copied', 'The store was brought from another server. An operator has to look.');
    case 'leaving':
      return away('unavailable.store_moved', 'The store has moved away, and this server answers nothing any more.');
    case 'arriving':
    case 'restoring':
      return away('unavailable.store', 'The store is being restored. Try again later.');
  }
}

type Code = 'unavailable.store' | 'unavailable.store_behind' | 'unavailable.store_copied' | 'unavailable.store_moved';

function away(code: Code, message: string): HttpRefusal {
  return new HttpRefusal(503, code, message, { 'Retry-After': String(RETRY_SECONDS) });
}
