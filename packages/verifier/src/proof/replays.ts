import { hash } from 'node:crypto';
import type { UnavailableCode } from '../errors.ts';
import { afterMs, type VerifierClock } from '../world.ts';
import { MAX_PROOF_AGE_SECONDS, MAX_PROOF_LEAD_SECONDS } from './claims.ts';
import { FORGETTING_STEP_MS, Forgotten } from './forgotten.ts';
import { ReplayCache } from './replay-cache.ts';

/**
 * Remembers used proofs for several processes together. One method, one atomic step: true if `key` was absent and is now kept
 * for `ttlMs` at least, false if it was there.
 *
 * @example
 * const replayStore: ReplayStore = {
 *   addIfAbsent: async (key, ttlMs) => (await redis.set(`proof:${key}`, '1', { NX: true, PX: ttlMs })) === 'OK',
 * };
 */
export interface ReplayStore {
  addIfAbsent(key: string, ttlMs: number): boolean | Promise<boolean>;
}

/** Small steps of the wall clock, and slewing, must not make a timely proof look forgotten. */
const CLOCK_SLACK_MS = 10_000;

/** A proof is timely from its lead to its age; so long it must be remembered, by a clock that steps and drifts. */
export const REPLAY_TTL_MS =
  (MAX_PROOF_AGE_SECONDS + MAX_PROOF_LEAD_SECONDS) * 1000 + FORGETTING_STEP_MS + CLOCK_SLACK_MS;

/** How long a shared store may take. It stands in the way of every request, so what takes longer is an outage. */
const STORE_TIMEOUT_MS = 1000;

export type Remembered =
  | { kind: 'new' }
  | { kind: 'seen' }
  /** It may have been seen, before the clock was set back. */
  | { kind: 'forgotten' }
  | { kind: 'full'; code: UnavailableCode };

/** A proof that is good in all else. */
export interface UsedProof {
  jkt: string;
  jti: string;
  iatSeconds: number;
}

/** Which proofs were used: the memory, its bounds, and what holds when clocks are set. */
export class Replays {
  readonly #clock: VerifierClock;
  readonly #store: ReplayStore | undefined;
  readonly #cache: ReplayCache;
  readonly #forgotten = new Forgotten(REPLAY_TTL_MS);

  constructor(parts: { clock: VerifierClock; store?: ReplayStore; maxProofs?: number; maxProofsPerKey?: number }) {
    this.#clock = parts.clock;
    this.#store = parts.store;
    this.#cache = new ReplayCache({ ...parts, ttlMs: REPLAY_TTL_MS });
  }

  async remember({ jkt, jti, iatSeconds }: UsedProof): Promise<Remembered> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#forgotten.mayHold(iatSeconds, nowMs)) return { kind: 'forgotten' };
    this.#forgotten.note(iatSeconds, nowMs);
    // A thumbprint has 43 characters, so no two pairs have one spelling. The key is in it: nobody can use up another's `jti`.
    const key = hash('sha256', jkt + jti, 'base64url');
    if (this.#store) return this.#askStore(this.#store, key);
    const answer = this.#cache.add(key, jkt);
    return answer === 'full' ? { kind: 'full', code: 'proof_replay_cache_full' } : { kind: answer };
  }

  async #askStore(store: ReplayStore, key: string): Promise<Remembered> {
    const answer = await withinTime(async () => store.addIfAbsent(key, REPLAY_TTL_MS));
    if (answer === true) return { kind: 'new' };
    return answer === false ? { kind: 'seen' } : { kind: 'full', code: 'proof_replay_store_failed' };
  }
}

/** What `ask` resolves to; undefined where it fails or takes too long. */
function withinTime(ask: () => Promise<unknown>): Promise<unknown> {
  return new Promise((resolve) => {
    const cancel = afterMs(STORE_TIMEOUT_MS, () => resolve(undefined));
    ask()
      .then(resolve, () => resolve(undefined))
      .finally(cancel);
  });
}
