import type { Verdict } from '@countersign/protocol';
import type { Moment } from './moment.ts';

/** A dead token that a program sends again and again costs the authority one check in this time. */
export const NEGATIVE_LIFE_MS = 5_000;
/** With about 150 bytes each, one and a half megabytes. Only validly signed tokens get here, so strangers cannot fill it. */
const MAX_NEGATIVES = 10_000;

export type DeadVerdict = Exclude<Verdict, 'live'>;

/** Tokens that the record or a push called dead, for a moment. Kept apart from the live ones, so that none can be taken for the other. */
export class Negatives {
  readonly #byKey = new Map<string, { verdict: DeadVerdict; untilMs: number }>();

  get(key: string, now: Moment): DeadVerdict | undefined {
    const known = this.#byKey.get(key);
    if (!known) return undefined;
    if (now.monotonicMs < known.untilMs) return known.verdict;
    this.#byKey.delete(key);
    return undefined;
  }

  put(key: string, verdict: DeadVerdict, now: Moment): void {
    this.#byKey.delete(key);
    this.#byKey.set(key, { verdict, untilMs: now.monotonicMs + NEGATIVE_LIFE_MS });
    const [oldest] = this.#byKey.keys();
    if (oldest !== undefined && this.#byKey.size > MAX_NEGATIVES) this.#byKey.delete(oldest);
  }

  clear(): void {
    this.#byKey.clear();
  }
}
