/**
 * What a verifier takes from outside: time, the network, the event loop. The defaults stand here and nowhere else, so that
 * a test steers all of it and the rules stay pure.
 */

/** The time. Unix milliseconds. */
export interface VerifierClock {
  now(): number;
}

/** The Fetch standard's function; `createVerifier` takes another for proxies, tracing or tests. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export const systemClock: VerifierClock = { now: () => Date.now() };

/** Looked up at each call, so that instrumentation which replaces the global later is honoured. */
export const systemFetch: Fetch = (url, init) => globalThis.fetch(url, init);

/** A signal that aborts by itself, so that no call to the authority can hang. */
export function abortAfter(timeoutMs: number): AbortSignal {
  return AbortSignal.timeout(timeoutMs);
}

/** Runs `work` when everything that is ready in this turn of the event loop has run. */
export function atEndOfTurn(work: () => void): void {
  setImmediate(work);
}
