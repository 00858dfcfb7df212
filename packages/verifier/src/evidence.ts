import { hash } from 'node:crypto';
import type { ReportRequest } from '@countersign/protocol';
import { afterMs, type VerifierClock } from './world.ts';

/** Evidence of one key a minute: an alarm needs one piece; a flood of forgeries must not become a flood of reports. */
const MAX_REPORTS_PER_KEY = 30;
const WINDOW_MS = 60_000;

/** Reports under way at once, so that a slow authority is not buried under evidence. */
const MAX_IN_FLIGHT = 8;

/** Keys that evidence is kept of. Only published ones come here, a handful at a time; the oldest goes, as keys are replaced over years. */
const MAX_KEYS = 100;

/** A report that failed is tried again after the first, then after twice as long each time, up to the last. */
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

/** How evidence fared: `sent` and accepted, `failed` on the way, `suppressed` by the limits. */
export interface EvidenceCounts {
  sent: number;
  failed: number;
  suppressed: number;
}

/** What is known of the evidence of one key. */
interface Window {
  startedAtMs: number;
  /** Reports begun in this window. */
  count: number;
  /** Hashes of their tokens: what was shown once need not be shown again, and must not crowd out others. */
  readonly shown: Set<string>;
  /** Seen and not handed over since the last report that was. */
  suppressed: number;
  /** Ends the trying again of a report that failed; undefined where there is none. */
  giveUp: (() => void) | undefined;
}

/**
 * Hands tokens that prove a leaked key to the authority, beside the request that brought them: it neither waits for the
 * report nor fails with it. Limited per key and in parallel; what the limits hold back, and each further sight of a token that was
 * shown, is counted, here and with the next report of that key. Of each key one report that failed is kept and tried again, so that an
 * outage of the authority does not cost the alarm.
 */
export class EvidenceReporter {
  readonly #send: (report: ReportRequest) => Promise<void>;
  readonly #clock: VerifierClock;
  readonly #windows = new Map<string, Window>();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #counts: EvidenceCounts = { sent: 0, failed: 0, suppressed: 0 };
  #isClosed = false;

  constructor(parts: { send: (report: ReportRequest) => Promise<void>; clock: VerifierClock }) {
    this.#send = parts.send;
    this.#clock = parts.clock;
  }

  report({ kid, token }: { kid: string; token: string }): void {
    const window = this.#windowOf(kid);
    const name = hash('sha256', token, 'base64url');
    if (this.#isFull || window.count >= MAX_REPORTS_PER_KEY || window.shown.has(name)) {
      this.#counts.suppressed++;
      window.suppressed++;
      return;
    }
    window.count++;
    window.shown.add(name);
    this.#hand(token, window, () => {
      if (!window.giveUp && !this.#isClosed) {
        this.#keep(token, window, FIRST_RETRY_MS);
        return;
      }
      window.shown.delete(name); // it was not shown: the next sight of it may be
      window.suppressed++;
    });
  }

  counts(): EvidenceCounts {
    return { ...this.#counts };
  }

  /** Resolves when what is under way has arrived, one way or the other. */
  async settled(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  /** The same, and nothing is tried again from now on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { giveUp } of this.#windows.values()) giveUp?.();
    await this.settled();
  }

  get #isFull(): boolean {
    return this.#inFlight.size >= MAX_IN_FLIGHT;
  }

  #hand(token: string, window: Window, onFailure: () => void, onSuccess?: () => void): void {
    const { suppressed } = window;
    window.suppressed = 0;
    const flight = this.#send({ token, ...(suppressed > 0 && { suppressed }) }).then(
      () => {
        this.#counts.sent++;
        onSuccess?.();
      },
      () => {
        this.#counts.failed++;
        window.suppressed += suppressed;
        onFailure();
      },
    );
    this.#inFlight.add(flight);
    void flight.then(() => this.#inFlight.delete(flight));
  }

  /** Tries again after `pauseMs`, and then until it succeeds. */
  #keep(token: string, window: Window, pauseMs: number): void {
    const again = () => {
      if (!this.#isClosed) this.#keep(token, window, Math.min(2 * pauseMs, LAST_RETRY_MS));
    };
    window.giveUp = afterMs(pauseMs, () => {
      if (this.#isFull) again();
      else
        this.#hand(token, window, again, () => {
          window.giveUp = undefined;
        });
    });
  }

  #windowOf(kid: string): Window {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#windows.get(kid);
    const window: Window = known ?? {
      startedAtMs: nowMs,
      count: 0,
      shown: new Set(),
      suppressed: 0,
      giveUp: undefined,
    };
    if (!known) this.#windows.set(kid, window);
    if (nowMs - window.startedAtMs >= WINDOW_MS) {
      window.startedAtMs = nowMs;
      window.count = 0;
      window.shown.clear();
    }
    this.#forgetOldest();
    return window;
  }

  #forgetOldest(): void {
    const [oldest] = this.#windows;
    if (!oldest || this.#windows.size <= MAX_KEYS) return;
    oldest[1].giveUp?.();
    this.#windows.delete(oldest[0]);
  }
}
