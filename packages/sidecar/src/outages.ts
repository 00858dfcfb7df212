import type { UnavailableCode, Verifier, VerifyResult } from '@countersign/verifier';
import { Pace, type SidecarLog } from './log.ts';

/** Between two lines that say an outage. With the line that says its end, two in this time: requests, which anybody sends, make no more. */
export const OUTAGE_LINE_EVERY_MS = 60_000;
/** Between two looks at the lease during an outage: a look costs more than the verification that asks for it. */
const LOOK_EVERY_MS = 1_000;

/**
 * Tells the operator when tokens cannot be verified any more, and when they can again.
 *
 * An outage ends with what proves that the authority answers, and with nothing else: during one, most requests still end well or
 * in a refusal, because that takes nobody's answer (no token, a bad signature, a token that is remembered). Were those the end,
 * a stranger would write two lines by two requests.
 */
export class Outages {
  readonly #log: SidecarLog;
  readonly #verifier: Pick<Verifier, 'status'>;
  readonly #monotonicMs: () => number;
  readonly #lines: Pace;
  readonly #looks: Pace;
  /** When the authority was found missing last; undefined where it has answered since. */
  #missedAtMs: number | undefined;
  /** The reason that the log knows. */
  #told: UnavailableCode | undefined;

  constructor(given: { log: SidecarLog; verifier: Pick<Verifier, 'status'>; monotonicMs: () => number }) {
    const { log, verifier, monotonicMs } = given;
    this.#log = log;
    this.#verifier = verifier;
    this.#monotonicMs = monotonicMs;
    this.#lines = new Pace({ everyMs: OUTAGE_LINE_EVERY_MS, monotonicMs });
    this.#looks = new Pace({ everyMs: LOOK_EVERY_MS, monotonicMs });
  }

  /** Hears of each verification. */
  heard(result: VerifyResult): void {
    if (result.kind === 'unavailable') {
      this.#missedAtMs = this.#monotonicMs();
      if (result.code === this.#told || !this.#lines.isDue()) return;
      this.#told = result.code;
      this.#log.warn('tokens cannot be verified', { code: result.code, reason: result.message });
    } else if (this.#missedAtMs !== undefined && result.kind === 'accepted' && this.#hasAnswered(result.basis)) {
      this.#missedAtMs = undefined;
      if (this.#told === undefined) return;
      this.#told = undefined;
      this.#log.info('tokens can be verified again');
    }
  }

  /** Whether an acceptance shows that the authority has answered since it was missed. */
  #hasAnswered(basis: 'record' | 'signature'): boolean {
    if (!this.#looks.isDue()) return false;
    const { stalenessMs, maxStalenessMs } = this.#verifier.status();
    const isLeased = stalenessMs !== undefined && stalenessMs <= maxStalenessMs;
    // Without a lease nothing is remembered: a record that was found good was asked for. With one it may be remembered, and what
    // shows an answer is a nonce that was sent after the miss and came back.
    if (!isLeased) return basis === 'record';
    return stalenessMs < this.#monotonicMs() - (this.#missedAtMs ?? 0);
  }
}
