import type { Credentials } from './connection.ts';
import { assertIssuer } from './discovery.ts';
import type { Fetch, VerifierClock } from './world.ts';

/** How long one call to the authority may take. A check is a few point reads; what takes longer is an outage. */
export const DEFAULT_TIMEOUT_MS = 2000;

export interface VerifierOptions {
  /** The authority's issuer, exactly as it spells it. */
  issuer: string;
  /** This resource server's own identifier: the `aud` that tokens for it carry. Also the realm of its challenges. */
  audience: string;
  /** A confidential client of the authority with the resource-server role. */
  credentials: Credentials;
  /** `strict` asks for the record of every token on every request: nothing revoked is accepted, ever. */
  mode?: 'strict';
  /** Default: the global `fetch`. */
  fetch?: Fetch;
  /** Default: the system clock. */
  clock?: VerifierClock;
  /** Limit of one call to the authority in milliseconds; default 2,000. */
  timeoutMs?: number;
}

/** Refuses, when the program starts, what could never work. @throws TypeError naming the option. */
export function assertOptions(options: VerifierOptions): void {
  assertIssuer(options.issuer);
  const problem = optionsProblem(options);
  if (problem) throw new TypeError(`Creating a verifier: ${problem}`);
}

function optionsProblem({ audience, credentials, mode, timeoutMs }: VerifierOptions): string | undefined {
  // Programs in plain JavaScript come here without one.
  if (typeof audience !== 'string' || !/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(audience)) {
    return '`audience` must be this resource server’s identifier, printable ASCII without space, quote or backslash.';
  }
  if (!credentials?.clientId || !credentials.clientSecret) {
    return '`credentials` must hold the client id and secret that the authority gave this resource server.';
  }
  if (mode !== undefined && mode !== 'strict') return '`mode` must be "strict", the only one this version has.';
  if (timeoutMs !== undefined && !(Number.isSafeInteger(timeoutMs) && timeoutMs > 0)) {
    return '`timeoutMs` must be a whole number of milliseconds above zero.';
  }
  return undefined;
}
