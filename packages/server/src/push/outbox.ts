import type { Stopwatch } from '../world/stopwatch.ts';

/** Bytes that may wait for a reader when there is more to say: two thousand invalidations. One that is further behind is cut off. */
export const MAX_UNSENT_BYTES = 256 * 1024;
/** A reader that takes nothing for so long, while something waits for it, is cut off. Nobody's lease outlives its silence. */
export const MAX_STALL_MS = 10_000;
/** Handed over at once: as much as a TLS record and a socket's own buffer hold. */
const MAX_CHUNK_BYTES = 16 * 1024;

/**
 * What waits to be read from one stream. Bytes are handed over only when the socket asks for them, so a reader that stops reading
 * is seen here, and holds `MAX_UNSENT_BYTES` and what one round says at most.
 */
export class Outbox {
  readonly body: ReadableStream<Uint8Array>;
  readonly #stopwatch: Stopwatch;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  /** Since when something waits that nobody took. */
  #untakenSinceMs = 0;
  #writtenMs: number;
  #isWanted = false;
  #isEnding = false;
  #isOver = false;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  /** `onGone`: the reader went away. */
  constructor(given: { stopwatch: Stopwatch; onGone: () => void }) {
    this.#stopwatch = given.stopwatch;
    this.#writtenMs = given.stopwatch.monotonicMs();
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          this.#isWanted = true;
          this.#handOver();
        },
        cancel: () => {
          this.#isOver = true;
          this.#forget();
          given.onGone();
        },
      },
      { highWaterMark: 0 }, // nothing is taken from here before the socket can take it
    );
  }

  /** False, and nothing is written, where the reader is too far behind. */
  write(texts: readonly Uint8Array[]): boolean {
    if (this.#isOver || this.#isEnding || texts.length === 0) return true;
    if (this.#waitingBytes > MAX_UNSENT_BYTES) return false;
    const nowMs = this.#stopwatch.monotonicMs();
    if (this.#waiting.length === 0) this.#untakenSinceMs = nowMs;
    this.#writtenMs = nowMs;
    for (const text of texts) {
      this.#waiting.push(text);
      this.#waitingBytes += text.length;
    }
    this.#handOver();
    return true;
  }

  get isStalled(): boolean {
    return this.#waiting.length > 0 && this.#stopwatch.monotonicMs() - this.#untakenSinceMs > MAX_STALL_MS;
  }

  /** Milliseconds since something was written. */
  get quietMs(): number {
    return this.#stopwatch.monotonicMs() - this.#writtenMs;
  }

  /** Ends after what waits. */
  end(): void {
    this.#isEnding = true;
    this.#handOver();
  }

  /** Ends at once. */
  cut(): void {
    this.#forget();
    this.end();
  }

  #handOver(): void {
    if (this.#isOver) return;
    if (this.#waiting.length === 0) {
      if (!this.#isEnding) return;
      this.#isOver = true;
      this.#controller?.close();
      return;
    }
    if (!this.#isWanted) return;
    this.#isWanted = false;
    this.#untakenSinceMs = this.#stopwatch.monotonicMs();
    this.#controller?.enqueue(this.#nextChunk());
  }

  #nextChunk(): Uint8Array {
    let count = 0;
    let bytes = 0;
    for (const { length } of this.#waiting) {
      if (count > 0 && bytes + length > MAX_CHUNK_BYTES) break;
      bytes += length;
      count++;
    }
    const taken = this.#waiting.splice(0, count);
    this.#waitingBytes -= bytes;
    const [only] = taken;
    return taken.length === 1 && only ? only : Buffer.concat(taken, bytes);
  }

  #forget(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}
