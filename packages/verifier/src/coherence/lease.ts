import { ageMs, type Moment } from './moment.ts';

/** Nonces under way on one stream. More are not sent: the stream is dead long before, and each would be kept. */
const MAX_PENDING = 16;

/**
 * The right to accept from the cache: a nonce came back on the stream, behind everything that was dead when it was read. Age
 * counts from the moment the nonce was *sent*, so no delay, no buffering proxy and no burst can stretch it.
 */
export class Lease {
  readonly #maxStalenessMs: number;
  #since: Moment | undefined;
  readonly #pending = new Map<string, Moment>();

  constructor(maxStalenessMs: number) {
    this.#maxStalenessMs = maxStalenessMs;
  }

  /** Notes a nonce as sent. False where too many are under way: then it must not be sent. */
  sent(nonce: string, now: Moment): boolean {
    if (this.#pending.size >= MAX_PENDING) return false;
    this.#pending.set(nonce, now);
    return true;
  }

  /** A nonce came back. True where it was one of this stream's. */
  echoed(nonce: string, now: Moment): boolean {
    const sentAt = this.#pending.get(nonce);
    if (!sentAt) return false;
    this.#pending.delete(nonce);
    if (!this.#since || ageMs(sentAt, now) < ageMs(this.#since, now)) this.#since = sentAt;
    return true;
  }

  /** Nonces of a stream that ended never come back. What was earned stays. */
  streamEnded(): void {
    this.#pending.clear();
  }

  /** Ends the lease: nothing is accepted from the cache until another nonce comes back. */
  end(): void {
    this.#since = undefined;
  }

  /** Read at every hit. A jump between the clocks ends the lease for good, also where they agree again later. */
  isValid(now: Moment): boolean {
    if (!this.#since) return false;
    const age = ageMs(this.#since, now);
    if (age === Number.POSITIVE_INFINITY) this.#since = undefined;
    return age <= this.#maxStalenessMs;
  }

  /** Milliseconds since the nonce that was echoed last was sent; `Infinity` without a lease. */
  ageMs(now: Moment): number {
    return this.#since ? ageMs(this.#since, now) : Number.POSITIVE_INFINITY;
  }

  /** How long the oldest nonce under way has been waited for. */
  longestWaitMs(now: Moment): number {
    const [oldest] = this.#pending.values();
    return oldest ? ageMs(oldest, now) : 0;
  }
}
