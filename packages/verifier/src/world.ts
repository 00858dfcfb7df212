/**
 * What a verifier takes from outside: time, chance, the network, the event loop. The defaults stand here and nowhere else, so
 * that a test steers all of it and the rules stay pure.
 */
import { randomBytes } from 'node:crypto';

/** The time, by two clocks: the first can be set, the second stands still while the machine is suspended. */
export interface VerifierClock {
  /** Unix milliseconds. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonicMs(): number;
}

/** The Fetch standard's function; `createVerifier` takes another for proxies, tracing or tests. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export const systemClock: VerifierClock = { now: () => Date.now(), monotonicMs: () => performance.now() };

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

/**
 * Runs `work` after `delayMs`, unless the returned function is called first. Keeps the process alive only where asked to: for
 * somebody who awaits it.
 */
export function afterMs(delayMs: number, work: () => void, { keepsAlive = false } = {}): () => void {
  const timer = setTimeout(work, delayMs);
  if (!keepsAlive) timer.unref();
  return () => clearTimeout(timer);
}

/** 128 random bits as base64url: nobody can echo a nonce that he has not seen. */
export function newNonce(): string {
  return randomBytes(16).toString('base64url');
}

/** From 0 up to 1, to spread reconnections; no secret. */
export function random(): number {
  return Math.random();
}
