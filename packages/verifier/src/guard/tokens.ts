import type { GuardedToken } from './guard.ts';

/**
 * Tokens by request object. Not a property of the request: middleware that copies a parsed body or query onto it could fill
 * that, and a handler on a forgotten route would believe it. Here only a guard writes. An entry goes with its request.
 */
const tokens = new WeakMap<object, GuardedToken>();

export function keepToken(request: object, token: GuardedToken): void {
  tokens.set(request, token);
}

/**
 * The token of a request that `guard` has let through.
 *
 * @throws Error where no guard has: the route lacks one, and answering it would serve everybody.
 */
export function tokenOf(request: object): GuardedToken {
  const token = tokens.get(request);
  if (token) return token;
  throw new Error(
    'Reading the token of a request: no guard has let this request pass. Put guard(verifier) before the handler.',
  );
}
