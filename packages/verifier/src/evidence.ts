import type { ReportRequest } from '@countersign/protocol';
import type { VerifierClock } from './world.ts';

/** Evidence of one key a minute: an alarm needs one piece; a flood of forgeries must not become a flood of reports. */
const MAX_REPORTS_PER_KEY = 30;
const WINDOW_MS = 60_000;

/** Reports under way at once, so that a slow authority is not buried under evidence. */
const MAX_IN_FLIGHT = 8;

/** How evidence fared: `sent` and accepted, `failed` on the way, `suppressed` by the limits. */
export interface EvidenceCounts {
  sent: number;
  failed: number;
  suppressed: number;
}

/**
 * Hands tokens that prove a leaked key to the authority, beside the request that brought them: it neither waits for the
 * report nor fails with it. Limited per key and in parallel; what the limits hold back is counted, here and with the next report
 * of that key.
 */
export class EvidenceReporter {
  readonly #send: (report: ReportRequest) => Promise<void>;
  readonly #clock: VerifierClock;
  /** Keyed by `kid`, of published keys only (a report follows a good signature), so it stays small. */
  readonly #windows = new Map<string, { startedAtMs: number; count: number; suppressed: number }>();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #counts: EvidenceCounts = { sent: 0, failed: 0, suppressed: 0 };

  constructor(parts: { send: (report: ReportRequest) => Promise<void>; clock: VerifierClock }) {
    this.#send = parts.send;
    this.#clock = parts.clock;
  }

  report({ kid, token }: { kid: string; token: string }): void {
    const window = this.#windowOf(kid);
    if (this.#inFlight.size >= MAX_IN_FLIGHT || window.count >= MAX_REPORTS_PER_KEY) {
      this.#counts.suppressed++;
      window.suppressed++;
      return;
    }
    window.count++;
    const { suppressed } = window;
    window.suppressed = 0;
    const flight = this.#send({ token, ...(suppressed > 0 && { suppressed }) }).then(
      () => {
        this.#counts.sent++;
      },
      () => {
        this.#counts.failed++;
        window.suppressed += suppressed;
      },
    );
    this.#inFlight.add(flight);
    void flight.then(() => this.#inFlight.delete(flight));
  }

  counts(): EvidenceCounts {
    return { ...this.#counts };
  }

  /** Resolves when what is under way has ended, one way or the other. */
  async settled(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  #windowOf(kid: string): { startedAtMs: number; count: number; suppressed: number } {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#windows.get(kid);
    const window = known ?? { startedAtMs: nowMs, count: 0, suppressed: 0 };
    if (!known) this.#windows.set(kid, window);
    if (nowMs - window.startedAtMs >= WINDOW_MS) {
      window.startedAtMs = nowMs;
      window.count = 0;
    }
    return window;
  }
}
