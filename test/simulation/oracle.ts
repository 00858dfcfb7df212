/**
 * What must hold, judged from true time, which nobody in the simulation can read. Each breach is an error that begins with the
 * name of what was broken.
 */
import type { StreamMessage } from '@countersign/protocol';
import { type Clocks, MAX_DRIFT } from './clocks.ts';
import { handlesFor } from './node.ts';
import type { Truth } from './store.ts';

export type Invariant =
  /** Accepted later than the commit of its revocation and `maxStalenessMs`. */
  | 'staleness'
  /** Accepted by a verifier that had been told that it is dead. */
  | 'dead is final'
  /** Accepted past its end. */
  | 'expiry'
  /** Accepted by a verifier that knew of a later epoch, or had been shown an older copy of the store. */
  | 'epoch'
  /** A node echoed over a copy of the store that lacks what the node had seen in it. */
  | 'older copy'
  /** Refused, or not decided, though it lived and every check was answered in time. */
  | 'liveness'
  /** Something grew past its limit. */
  | 'bounds'
  /** No lease came back after everything had healed. */
  | 'recovery';

export class Breach extends Error {
  readonly invariant: Invariant;

  constructor(invariant: Invariant, what: string) {
    super(`${invariant}: ${what}`);
    this.invariant = invariant;
  }
}

/** What the oracle keeps of one verifier. */
export class Witness {
  readonly #name: string;
  readonly #clientId: string;
  readonly #clocks: Clocks;
  readonly #maxStalenessMs: number;
  readonly #toldDead = new Map<string, string>();
  /** When an older copy of the store, told by no epoch, last called the token live. */
  readonly #oldWord = new Map<string, number>();
  /** When an older copy of the store last gave a lease: then what it lacks is not known here, and cannot be. */
  #oldLeaseMs = Number.NEGATIVE_INFINITY;
  #shownOldMs = Number.NEGATIVE_INFINITY;
  #isShownOld = false;
  /** The highest (epoch, cursor) ever told. */
  #highest = { epoch: 0, cursor: 0 };

  constructor(given: { name: string; clientId: string; clocks: Clocks; maxStalenessMs: number }) {
    this.#name = given.name;
    this.#clientId = given.clientId;
    this.#clocks = given.clocks;
    this.#maxStalenessMs = given.maxStalenessMs;
  }

  /** The verifier takes a token as good. `how`: from what it remembers, or by a check. */
  accepted(token: Truth, nowMs: number, how: string): void {
    const says = (why: string) => `${this.#name} accepts ${token.jti} (${how}) at ${nowMs.toFixed(1)}; ${why}`;
    if (this.#isShownOld)
      throw new Breach('epoch', says(`it was shown an older store at ${this.#shownOldMs.toFixed(1)}`));
    this.#checkExpiry(token, nowMs, says);
    const isMisled = (this.#oldWord.get(token.jti) ?? Number.NEGATIVE_INFINITY) > this.#shownOldMs;
    if (isMisled) return;
    const told = this.#toldDead.get(token.jti);
    if (told !== undefined) throw new Breach('dead is final', says(told));
    const boundMs = this.#boundMs(token.deadAtMs, nowMs);
    if (nowMs - this.#oldLeaseMs <= boundMs || nowMs - token.deadAtMs <= boundMs) return;
    throw new Breach('staleness', says(`it died at ${token.deadAtMs.toFixed(1)}, bound ${boundMs.toFixed(1)} ms`));
  }

  #checkExpiry(token: Truth, nowMs: number, says: (why: string) => string): void {
    const lateMs = nowMs - token.expiresAtMs;
    if (lateMs <= 0) return;
    const lifeMs = nowMs - token.issuedAtMs;
    const hiddenMs = Math.min(
      this.#clocks.suspendedMs(token.issuedAtMs, nowMs),
      Math.max(this.#clocks.wrongMs(nowMs), 0),
    );
    if (lateMs > hiddenMs + lifeMs * MAX_DRIFT * 2 + 2) {
      throw new Breach('expiry', says(`it ended at ${token.expiresAtMs.toFixed(1)}, ${lateMs.toFixed(1)} ms ago`));
    }
  }

  #boundMs(sinceMs: number, nowMs: number): number {
    const hiddenMs = Number.isFinite(sinceMs) ? this.#clocks.hiddenMs(sinceMs, nowMs, 4 * this.#maxStalenessMs) : 0;
    return (this.#maxStalenessMs + hiddenMs) * (1 + 2 * MAX_DRIFT) + 1;
  }

  /** The first message of a stream, which says which store speaks. `wasAlwaysWhole`: there never was an older copy that no epoch tells. */
  greeted(
    { epoch, cursor }: { epoch: number; cursor: number },
    { nowMs, wasAlwaysWhole }: { nowMs: number; wasAlwaysWhole: boolean },
  ): void {
    const isOlder = epoch < this.#highest.epoch || (epoch === this.#highest.epoch && cursor < this.#highest.cursor);
    if (isOlder && wasAlwaysWhole) {
      throw new Breach('liveness', `${this.#name} is told of an older store at ${nowMs.toFixed(1)}; there is none`);
    }
    this.#seenOlder(isOlder, nowMs);
    if (!isOlder) this.#highest = { epoch, cursor };
  }

  /** The verifier heard a message of the stream it holds. `isOld`: written by a node over an older copy of the store. */
  heard(
    message: Exclude<StreamMessage, { kind: 'hello' }>,
    context: { tokens: readonly Truth[]; nowMs: number; isOld: boolean },
  ): void {
    const { tokens, nowMs, isOld } = context;
    if (message.cursor < this.#highest.cursor) {
      this.#seenOlder(true, nowMs);
      return;
    }
    this.#highest.cursor = message.cursor;
    if (isOld) this.#oldLeaseMs = nowMs;
    if (message.kind !== 'invalidate') return;
    for (const token of tokens) {
      if (token.deadAtMs > nowMs || handlesFor(this.#clientId, token)[message.subject] !== message.handle) continue;
      this.#tell(token, `it was told of ${message.subject} at ${nowMs.toFixed(1)}`);
    }
  }

  #seenOlder(isOlder: boolean, nowMs: number): void {
    if (isOlder && !this.#isShownOld) this.#shownOldMs = nowMs;
    this.#isShownOld = isOlder;
  }

  /** The verifier knows of an epoch: whatever died with an earlier one is over. */
  learnedEpoch(dead: readonly Truth[], epoch: number): void {
    if (epoch > this.#highest.epoch) this.#highest = { epoch, cursor: 0 };
    for (const token of dead) this.#tell(token, `it died with an epoch before ${epoch}, which the verifier knows`);
  }

  /** An answer to a check was taken in. */
  answered(token: Truth, answer: { verdict: string; oldSinceMs: number | undefined }, nowMs: number): void {
    if (answer.oldSinceMs !== undefined) {
      // Nothing in the answer tells; but once the verifier was shown this very copy, it must not believe it.
      if (answer.verdict === 'live' && this.#shownOldMs < answer.oldSinceMs) this.#oldWord.set(token.jti, nowMs);
      return;
    }
    this.#oldWord.delete(token.jti);
    if (answer.verdict !== 'live') this.#tell(token, `a check said ${answer.verdict} at ${nowMs.toFixed(1)}`);
  }

  get isShownOld(): boolean {
    return this.#isShownOld;
  }

  #tell(token: Truth, why: string): void {
    if (!this.#toldDead.has(token.jti)) this.#toldDead.set(token.jti, why);
  }
}
