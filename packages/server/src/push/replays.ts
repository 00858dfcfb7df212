/**
 * What streams that come back are told again, and how much of it in one round. Coming back costs a verifier nothing, so what it
 * costs here is bounded: a fleet that comes back at once is served over many rounds, and in between everybody hears and is echoed.
 */
import type { InvalidateMessage } from '@countersign/protocol';
import type { LogRead, LogRow } from './reading.ts';
import { type HandleOf, messageOf } from './saying.ts';
import { cursorOf } from './seen.ts';

/** Rows that one round looks at for streams that come back, counted for each stream: ten whole replays, some ten milliseconds. */
export const MAX_ROWS_PER_ROUND = 20_000;
/** Messages made anew in a round, past which no other stream is begun with: some ten milliseconds, most of it for handles. */
export const MAX_MADE_PER_ROUND = 1_000;
/** Messages kept from round to round for those who still wait, 400 bytes each. */
export const MAX_KEPT = 20_000;

export class Replays {
  readonly #handleOf: HandleOf;
  #said = new Map<string, Map<number, InvalidateMessage>>();
  #kept = 0;
  #lookedAt = 0;
  #made = 0;

  constructor(handleOf: HandleOf) {
    this.#handleOf = handleOf;
  }

  /** A round is to be said. */
  beginRound(): void {
    this.#lookedAt = 0;
    this.#made = 0;
    if (this.#kept > MAX_KEPT) this.forget();
  }

  /** Whoever is not told yet waits for the next round. */
  get isFull(): boolean {
    return this.#lookedAt >= MAX_ROWS_PER_ROUND || this.#made >= MAX_MADE_PER_ROUND;
  }

  /** So many rows were looked at for one stream. */
  looked(rows: number): void {
    this.#lookedAt += rows;
  }

  /**
   * What all streams of a client are told of a row, wherever they come back from. Rows are told by cursor, so whoever hears of this
   * one has heard of all before it, and may resume from just before it.
   */
  of(clientId: string, row: LogRow, read: LogRead): InvalidateMessage {
    const ofClient = this.#said.get(clientId) ?? new Map<number, InvalidateMessage>();
    this.#said.set(clientId, ofClient);
    const known = ofClient.get(row.position);
    if (known) return known;
    // A row from beyond a transaction that is still open was brought early, and others may come before it.
    const whole = cursorOf(read.seen);
    const cursor = Math.min(row.cursor - 1, whole);
    const message = messageOf(row, { clientId, handleOf: this.#handleOf, cursor });
    this.#made++;
    if (row.cursor > whole) return message; // a later read says it with a better cursor
    this.#kept++;
    ofClient.set(row.position, message);
    return message;
  }

  /** Nobody waits any more, or positions name other rows. */
  forget(): void {
    this.#said = new Map();
    this.#kept = 0;
  }
}
