import type { LimitName, Limits, Taken } from './limits.ts';

/** Checks of one key that wait for their turn. A check takes milliseconds, so that the last of these waits for a second or so. */
export const MAX_WAITING = 1_000;

/**
 * Checks of which only failures count, side by side. What is under way may still fail, and counts until it has ended; so at most as
 * many run at a time as may still fail, and the others wait. Thus a thousand parallel guesses are a thousand tries, and a thousand
 * parallel requests of an honest client are served, however slow a check is.
 */
export class Turns {
  readonly #limits: Limits;
  readonly #name: LimitName;
  readonly #underWay = new Map<string, number>();
  readonly #waiting = new Map<string, (() => void)[]>();

  constructor(limits: Limits, name: LimitName) {
    this.#limits = limits;
    this.#name = name;
  }

  /** `isGood`: it did not fail, and does not count. A check that throws has proved nobody wrong, and does not count either. */
  async run<T>(
    key: string,
    given: { check: () => Promise<T>; isGood: (value: T) => boolean },
  ): Promise<{ kind: 'checked'; value: T } | Extract<Taken, { kind: 'limited' }>> {
    const turn = await this.#turn(key);
    if (turn.kind === 'limited') return turn;
    let hasFailed = false;
    try {
      const value = await given.check();
      hasFailed = !given.isGood(value);
      return { kind: 'checked', value };
    } finally {
      if (!hasFailed) this.#limits.giveBack(this.#name, key);
      this.#end(key);
    }
  }

  async #turn(key: string): Promise<Taken> {
    for (;;) {
      const taken = this.#limits.take(this.#name, key);
      const underWay = this.#underWay.get(key) ?? 0;
      if (taken.kind === 'ok') {
        this.#underWay.set(key, underWay + 1);
        return taken;
      }
      const waiting = this.#waiting.get(key) ?? [];
      if (underWay === 0) this.#wakeNext(key); // all that counts has failed: it is refused, and so are those that wait
      if (underWay === 0 || waiting.length >= MAX_WAITING) return taken;
      this.#waiting.set(key, waiting);
      await new Promise<void>((resolve) => void waiting.push(resolve));
    }
  }

  #end(key: string): void {
    const underWay = (this.#underWay.get(key) ?? 0) - 1;
    if (underWay > 0) this.#underWay.set(key, underWay);
    else this.#underWay.delete(key);
    this.#wakeNext(key);
  }

  #wakeNext(key: string): void {
    const waiting = this.#waiting.get(key);
    const next = waiting?.shift();
    if (waiting?.length === 0) this.#waiting.delete(key);
    next?.();
  }
}
