import { AuthorityError } from './errors.ts';
import type { VerifierClock } from './world.ts';

/** Failures in a row that open the breaker: one lost packet must not, a dead authority must before a time limit adds up. */
const FAILURES_UNTIL_OPEN = 3;
/** How long calls are refused unasked, at first and at most. Short, so that service is back soon after the authority. */
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 2_000;

/**
 * A circuit breaker for checks: an authority that is away costs each request nothing instead of a time limit, and meets one probe
 * instead of a herd when it comes back. Pauses grow, and their ends are random.
 */
export class Breaker {
  readonly #clock: VerifierClock;
  readonly #random: () => number;
  #failures = 0;
  #openUntilMs = 0;
  #isProbing = false;
  #last: AuthorityError | undefined;

  constructor(given: { clock: VerifierClock; random: () => number }) {
    this.#clock = given.clock;
    this.#random = given.random;
  }

  /** The error that a call would get now. Asking changes nothing: whoever only waits for a call asks this. */
  get standingRefusal(): AuthorityError | undefined {
    if (!this.#last || this.#failures < FAILURES_UNTIL_OPEN) return undefined;
    return this.#isProbing || this.#clock.monotonicMs() < this.#openUntilMs ? this.#last : undefined;
  }

  /** The error that a call gets unasked; undefined lets it through, and the first one after a pause is the probe. */
  refusal(): AuthorityError | undefined {
    const refusal = this.standingRefusal;
    if (!refusal && this.#last && this.#failures >= FAILURES_UNTIL_OPEN) this.#isProbing = true;
    return refusal;
  }

  /** It answered. */
  succeeded(): void {
    this.#failures = 0;
    this.#isProbing = false;
    this.#last = undefined;
  }

  /**
   * Only an authority that cannot be reached opens the breaker. One that answers nonsense, or refuses our credentials, is there: that
   * closes it, or else calls would be refused by an outage that is over instead of by what is wrong now.
   */
  failed(error: unknown): void {
    this.#isProbing = false;
    if (!(error instanceof AuthorityError)) return; // a bug says nothing of the authority
    if (error.code !== 'authority_unreachable') {
      this.succeeded();
      return;
    }
    this.#failures++;
    this.#last = error;
    const boundMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.max(this.#failures - FAILURES_UNTIL_OPEN, 0), MAX_PAUSE_MS);
    this.#openUntilMs = this.#clock.monotonicMs() + (0.5 + this.#random() / 2) * boundMs;
  }
}
