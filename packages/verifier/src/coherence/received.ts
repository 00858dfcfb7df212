import type { Handles } from '@countersign/protocol';

/** Invalidations remembered for checks under way. A check lasts two seconds; this is many thousand revocations a second. */
const MAX_REMEMBERED = 20_000;

/** What may arrive: a word about a subject, or the verdict of another check, dead, about the token with this key. */
export type Arrival = keyof Handles | 'verdict';

/**
 * Which invalidations and dead verdicts arrived when, counted. A check that began before one of its token's arrived was overtaken:
 * its answer may be older than the revocation, and proves nothing.
 */
export class Received {
  #count = 0;
  /** Everything up to this one may have been forgotten. */
  #forgottenUpTo = 0;
  readonly #last = new Map<string, number>();

  /** Where a check begins. */
  mark(): number {
    return this.#count;
  }

  add(subject: Arrival, handle: string): void {
    this.#count++;
    const name = `${subject} ${handle}`;
    this.#last.delete(name); // so that insertion order is the order of arrival
    this.#last.set(name, this.#count);
    if (this.#last.size <= MAX_REMEMBERED) return;
    for (const [oldest, at] of this.#last) {
      this.#last.delete(oldest);
      this.#forgottenUpTo = at;
      break;
    }
  }

  /** What is under way began before something that nobody can tell: all of it is overtaken. */
  addUnknown(): void {
    this.#count++;
    this.#forgottenUpTo = this.#count;
  }

  /** Whether anything that names the token arrived after the mark, or may have. */
  hasSince(mark: number, { key, handles }: { key: string; handles: Handles }): boolean {
    if (mark < this.#forgottenUpTo || (this.#last.get(`verdict ${key}`) ?? 0) > mark) return true;
    for (const subject of ['token', 'grant', 'client', 'user', 'key'] as const) {
      const handle = handles[subject];
      if (handle !== undefined && (this.#last.get(`${subject} ${handle}`) ?? 0) > mark) return true;
    }
    return false;
  }
}
