import { DEFAULT_STALENESS_MS, MAX_STALENESS_MS, MIN_STALENESS_MS } from '@countersign/protocol';
import type { Credentials } from './connection.ts';
import { assertIssuer } from './discovery.ts';
import type { ReplayStore } from './proof/proof.ts';
import type { Fetch, VerifierClock } from './world.ts';

/**
 * On what an acceptance rests.
 * - `coherent`: signature and record; the record is asked once and remembered, under a lease that pushed revocations keep true.
 *   Nothing is accepted later than its revocation and `maxStalenessMs`.
 * - `strict`: signature and record, asked for each request.
 * - `offline`: the signature alone. A revoked token is accepted until it expires, and whoever holds a leaked key that is not yet
 *   known as compromised can make one.
 */
export type Mode = 'strict' | 'coherent' | 'offline';

export const MODES: readonly Mode[] = ['strict', 'coherent', 'offline'];

/** How long one call to the authority may take. A check is a few point reads; what takes longer is an outage. */
export const DEFAULT_TIMEOUT_MS = 2000;

/** Entries of under a kilobyte each: a hundred megabytes at most. */
export const DEFAULT_MAX_ENTRIES = 100_000;

export interface VerifierOptions {
  /** The authority's issuer, exactly as it spells it. */
  issuer: string;
  /** This resource server's own identifier: the `aud` that tokens for it carry. Also the realm of its challenges. */
  audience: string;
  /** A confidential client of the authority with the resource-server role. */
  credentials: Credentials;
  /** Mode of verifications that name none; default `coherent`. */
  mode?: Mode;
  /** For how long a revoked token may still be accepted at worst, and a known one through an outage; default 30,000, from 3,000. */
  maxStalenessMs?: number;
  /**
   * What a coherent verification does while the lease has run out: `check` (default) asks for the record of each request,
   * which fails closed where the authority is away; `refuse` fails closed at once, and asks nothing of a strained authority.
   */
  whenStale?: 'check' | 'refuse';
  /** Most tokens remembered; default 100,000. One of more than a kibibyte counts as several. */
  maxEntries?: number;
  /**
   * Public origin of this resource server, as its clients spell it (`https://api.example`): what DPoP proofs are made for (RFC 9449
   * §4.3). Never taken from a request, whose `Host` its sender chooses. Without it no proof can be checked, and none is asked for.
   */
  origin?: string;
  /** Memory of used DPoP proofs, shared by several processes; default: one of this process. */
  replayStore?: ReplayStore;
  /** Default: the global `fetch`. */
  fetch?: Fetch;
  /** Default: the system's clocks. */
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

function optionsProblem(options: VerifierOptions): string | undefined {
  const { audience, credentials, mode, timeoutMs, maxStalenessMs = DEFAULT_STALENESS_MS, maxEntries, origin } = options;
  // Programs in plain JavaScript come here without one.
  if (typeof audience !== 'string' || !/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(audience)) {
    return '`audience` must be this resource server’s identifier, printable ASCII without space, quote or backslash.';
  }
  if (!credentials?.clientId || !credentials.clientSecret) {
    return '`credentials` must hold the client id and secret that the authority gave this resource server.';
  }
  if (mode !== undefined && !MODES.includes(mode)) return '`mode` must be "coherent", "strict" or "offline".';
  if (!isWhole(maxStalenessMs) || maxStalenessMs < MIN_STALENESS_MS || maxStalenessMs > MAX_STALENESS_MS) {
    return `\`maxStalenessMs\` must be a whole number of milliseconds from ${MIN_STALENESS_MS} to ${MAX_STALENESS_MS}.`;
  }
  if (options.whenStale !== undefined && options.whenStale !== 'check' && options.whenStale !== 'refuse') {
    return '`whenStale` must be "check" or "refuse".';
  }
  if (maxEntries !== undefined && !(isWhole(maxEntries) && maxEntries > 0)) {
    return '`maxEntries` must be a whole number above zero.';
  }
  if (
    origin !== undefined &&
    !(/^https?:$/.test(URL.parse(origin)?.protocol ?? '') && new URL(origin).origin === origin)
  ) {
    return '`origin` must be scheme, host and port of this resource server as its clients spell it, in lower case and without a path.';
  }
  if (timeoutMs !== undefined && !(isWhole(timeoutMs) && timeoutMs > 0 && timeoutMs <= maxStalenessMs)) {
    return '`timeoutMs` must be a whole number of milliseconds above zero, and no more than `maxStalenessMs`.';
  }
  return undefined;
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}
