/**
 * Wake-ups that reach other nodes by a bus.
 *
 *     connecting → connected → lost → waiting, longer each time → connecting → …        closed from any
 *
 * Nothing waits for the bus: not the start, nor a revocation, nor the end. While there is none the log is read by polling, as it is
 * beside it. What was said while this node did not hear is not said again, so it wakes its own when it is back.
 */
import type { Bus, BusConnection } from '../world/bus.ts';
import type { Log } from '../world/log.ts';
import type { Random } from '../world/random.ts';
import { afterMs } from '../world/turn.ts';
import { type WakeUps, wakeUpsWithinProcess } from './wake-ups.ts';

/** Between two words to the others: they look at the log no more often, whatever happens here (push/reader.ts). */
export const SPEAK_PAUSE_MS = 5;
/** A server that restarts is back within some of these. */
const FIRST_PAUSE_MS = 100;
/** Nodes find a server within this when it comes back, and are no burden to it until then. */
const LONGEST_PAUSE_MS = 10_000;

export function wakeUpsBetweenNodes(given: { bus: Bus; log: Log; random: Random }): WakeUps {
  return new WakeUpsBetweenNodes(given);
}

class WakeUpsBetweenNodes implements WakeUps {
  readonly #bus: Bus;
  readonly #log: Log;
  readonly #random: Random;
  readonly #own = wakeUpsWithinProcess();
  #connection: BusConnection | undefined;
  /** Attempts that came to nothing since the bus last carried anything. */
  #attempts = 0;
  #isLossTold = false;
  /** Something is to be said to the others. One word says all that happened before it. */
  #isDue = false;
  #isSpeaking = false;
  #isClosed = false;
  #stopWaiting = () => {};

  constructor({ bus, log, random }: { bus: Bus; log: Log; random: Random }) {
    this.#bus = bus;
    this.#log = log;
    this.#random = random;
    void this.#connect();
  }

  wake(): void {
    if (this.#isClosed) return;
    this.#own.wake();
    this.#isDue = true;
    void this.#speak();
  }

  onWake(listener: () => void): void {
    this.#own.onWake(listener);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopWaiting();
    await this.#own.close();
    await this.#connection?.close();
  }

  /** Never rejects. */
  async #connect(): Promise<void> {
    try {
      const connection = await this.#bus.connect({ heard: () => this.#heard(), lost: () => this.#lost('lost') });
      if (this.#isClosed) return await connection.close();
      this.#connection = connection;
      if (this.#isLossTold) this.#log.info('other nodes can wake this one again');
      this.#isLossTold = false;
      this.#own.wake();
      void this.#speak();
    } catch (error) {
      this.#lost(error instanceof Error && typeof error.cause === 'string' ? error.cause : 'unknown');
    }
  }

  #heard(): void {
    this.#attempts = 0;
    this.#own.wake();
  }

  #lost(cause: string): void {
    this.#connection = undefined;
    if (this.#isClosed) return;
    if (!this.#isLossTold && this.#attempts === 0) {
      this.#log.warn('other nodes cannot wake this one; what they revoke is seen by polling until they can', { cause });
      this.#isLossTold = true;
    }
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(this.#attempts++, 16), LONGEST_PAUSE_MS);
    const jitter = (this.#random.bytes(1)[0] ?? 0) / 255; // nodes that lost it together do not come back together
    this.#stopWaiting = afterMs(pauseMs * (1 - jitter / 2), () => void this.#connect());
  }

  /** At most one word is on its way. Never rejects. */
  async #speak(): Promise<void> {
    if (this.#isSpeaking || !this.#isDue || !this.#connection) return;
    this.#isSpeaking = true;
    this.#isDue = false;
    try {
      await this.#connection.speak();
      this.#attempts = 0;
    } catch {
      this.#isDue = true; // by the next connection
    }
    afterMs(SPEAK_PAUSE_MS, () => {
      this.#isSpeaking = false;
      void this.#speak();
    });
  }
}
