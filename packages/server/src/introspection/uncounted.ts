import type { NewEvent } from '../events/events.ts';

/** How long a token that rang vouches for more of its kind: the window in which its reporter is capped. */
export const VOUCHES_MS = 60_000;
/** Kinds remembered, about 300 bytes each. Only what rang gets here, which takes a forgery each; past it the oldest is forgotten. */
export const MAX_KINDS = 1_000;
/** A reporter's number is his word, so one report may add this many at most; how many there were is still told, in size. */
export const MAX_AT_ONCE = 1_000_000;

/** So many more of a kind, behind the event by which one of them rang. */
export interface Due {
  kind: string;
  event: NewEvent;
}

interface Kind {
  event: NewEvent;
  rangAtMs: number;
  waiting: number;
}

/**
 * Evidence that is not looked at any more, and still counts. Past the cap of a resource server and key no signature is verified, so a
 * report proves nothing by itself; it counts only behind one of the same kind that rang within the last minute.
 */
export class Uncounted {
  readonly #kinds = new Map<string, Kind>();

  /** A token of this kind rang, by this event. */
  rang(kind: string, event: NewEvent, nowMs: number): void {
    const waiting = this.#kinds.get(kind)?.waiting ?? 0;
    this.#kinds.delete(kind); // so that insertion order is the order of age
    const [oldest] = this.#kinds.keys();
    if (oldest !== undefined && this.#kinds.size >= MAX_KINDS) this.#kinds.delete(oldest);
    this.#kinds.set(kind, { event, rangAtMs: nowMs, waiting });
  }

  /** `count` more of this kind were seen. Counts nothing where none rang. */
  seen(kind: string, count: number, nowMs: number): void {
    const known = this.#kinds.get(kind);
    if (!known || nowMs < known.rangAtMs || nowMs - known.rangAtMs > VOUCHES_MS) return;
    known.waiting = Math.min(known.waiting + count, MAX_AT_ONCE);
  }

  /** What is to be added to the record now; each number is given out once. */
  take(nowMs: number): Due[] {
    const due: Due[] = [];
    for (const [kind, known] of this.#kinds) {
      if (known.waiting > 0) due.push({ kind, event: { ...known.event, occurrences: known.waiting } });
      else if (nowMs - known.rangAtMs > VOUCHES_MS) this.#kinds.delete(kind);
      known.waiting = 0;
    }
    return due;
  }

  /** What was given out could not be recorded: it is given out again, unless its kind was forgotten meanwhile. */
  giveBack({ kind, event }: Due): void {
    const known = this.#kinds.get(kind);
    if (known) known.waiting = Math.min(known.waiting + (event.occurrences ?? 0), MAX_AT_ONCE);
  }
}
