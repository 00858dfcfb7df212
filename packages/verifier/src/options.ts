import { DEFAULT_STALENESS_MS, MAX_STALENESS_MS, MIN_STALENESS_MS } from '@countersign/protocol';
import { isWord } from './challenge.ts';
import type { Credentials } from './connection.ts';
import { assertIssuer } from './discovery.ts';
import type { ReplayStore } from './proof/proof.ts';
import { type Fetch, systemClock, systemFetch, type VerifierClock } from './world.ts';

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

/** Ten gigabytes, and less than what one `Map` of the engine can hold: past it the process would end, not the memory. */
const MAX_ENTRIES = 10_000_000;

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
  /** Most tokens remembered; default 100,000, at most 10,000,000. One of more than a kibibyte counts as several. */
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

/** Options as they stood when the verifier was made, each read once, with defaults. What a program does to its object later changes nothing. */
export interface VerifierSettings extends Readonly<Required<Omit<VerifierOptions, 'origin' | 'replayStore'>>> {
  readonly origin: string | undefined;
  readonly replayStore: ReplayStore | undefined;
}

/** Reads options, and refuses, when the program starts, what could never work. @throws TypeError naming the option. */
export function readOptions(options: VerifierOptions): VerifierSettings {
  const { issuer, audience, mode = 'coherent', maxStalenessMs = DEFAULT_STALENESS_MS, whenStale = 'check' } = options;
  const { maxEntries = DEFAULT_MAX_ENTRIES, timeoutMs = DEFAULT_TIMEOUT_MS, origin, replayStore } = options;
  const { fetch = systemFetch, clock = systemClock } = options;
  // Programs in plain JavaScript come here without them.
  const { clientId, clientSecret }: Partial<Credentials> = options.credentials ?? {};
  const settings: VerifierSettings = Object.freeze({
    ...{ issuer, audience, mode, maxStalenessMs, whenStale, maxEntries, timeoutMs, origin, replayStore, fetch, clock },
    credentials: Object.freeze({ clientId: clientId ?? '', clientSecret: clientSecret ?? '' }),
  });
  assertIssuer(issuer);
  const problem = unknownOption(options) ?? problemOf(settings);
  if (problem) throw new TypeError(`Creating a verifier: ${problem}`);
  return settings;
}

/** Every option by its name, so that the compiler says where one is missing. */
const OPTION_NAMES: Readonly<Record<keyof VerifierOptions, true>> = {
  ...{ issuer: true, audience: true, credentials: true, mode: true, maxStalenessMs: true, whenStale: true },
  ...{ maxEntries: true, origin: true, replayStore: true, fetch: true, clock: true, timeoutMs: true },
};

/** A misspelt bound would silently be the default one. */
function unknownOption(options: VerifierOptions): string | undefined {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(OPTION_NAMES, name));
  if (unknown === undefined) return undefined;
  return `it has no option \`${unknown}\`. Those there are: ${Object.keys(OPTION_NAMES).join(', ')}.`;
}

function problemOf(settings: VerifierSettings): string | undefined {
  const { audience, credentials, mode, whenStale, timeoutMs, maxStalenessMs, maxEntries, origin } = settings;
  if (!isWord(audience)) {
    return '`audience` must be this resource server’s identifier, printable ASCII without space, quote or backslash.';
  }
  if (!isText(credentials.clientId) || !isText(credentials.clientSecret)) {
    return '`credentials` must hold the client id and secret that the authority gave this resource server.';
  }
  if (!MODES.includes(mode)) return '`mode` must be "coherent", "strict" or "offline".';
  if (!isWhole(maxStalenessMs) || maxStalenessMs < MIN_STALENESS_MS || maxStalenessMs > MAX_STALENESS_MS) {
    return `\`maxStalenessMs\` must be a whole number of milliseconds from ${MIN_STALENESS_MS} to ${MAX_STALENESS_MS}.`;
  }
  if (whenStale !== 'check' && whenStale !== 'refuse') return '`whenStale` must be "check" or "refuse".';
  if (!(isWhole(maxEntries) && maxEntries > 0 && maxEntries <= MAX_ENTRIES)) {
    return `\`maxEntries\` must be a whole number from 1 to ${MAX_ENTRIES}.`;
  }
  if (
    origin !== undefined &&
    !(/^https?:$/.test(URL.parse(origin)?.protocol ?? '') && new URL(origin).origin === origin)
  ) {
    return '`origin` must be scheme, host and port of this resource server as its clients spell it, in lower case and without a path.';
  }
  if (!(isWhole(timeoutMs) && timeoutMs > 0 && timeoutMs <= maxStalenessMs)) {
    return '`timeoutMs` must be a whole number of milliseconds above zero, and no more than `maxStalenessMs`.';
  }
  return undefined;
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}
