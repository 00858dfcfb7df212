/** Doing again what somebody else overtook: how often, how long, and after which pause. */
import type { Random } from '../../world/random.ts';
import type { Stopwatch } from '../../world/stopwatch.ts';
import { afterMs } from '../../world/turn.ts';
import { StoreUnavailable } from '../errors.ts';
import { Overtaken } from './failures.ts';

/**
 * Each attempt loses only to one that committed, so somebody always gets on. Ten who fight for one row are through after ten; what
 * loses more often stands in a crowd that a limit should have kept away.
 */
export const MAX_ATTEMPTS = 12;

/**
 * No attempt begins later than this after the first: each may wait seconds for a connection and others' rows, and whoever asked has given
 * up by then, or asked again.
 */
export const ATTEMPTS_WITHIN_MS = 20_000;

/** A broken uniqueness may be the work of somebody who committed meanwhile: it is asked once more, and then believed. */
const MAX_UNIQUENESS_ATTEMPTS = 2;

/** The pause doubles from here, and is drawn anew each time, so that those who collided do not collide again. */
const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 100;

/** An attempt that ended, or that is to be made again: nothing of it is in force. */
export type Attempt<T> = { kind: 'ended'; value: T } | { kind: 'again'; because: Error };

/** Makes attempts until one ends. Throws what an attempt throws, `StoreUnavailable` when there were enough. */
export async function attempts<T>(
  { random, stopwatch }: { random: Random; stopwatch: Stopwatch },
  attempt: () => Promise<Attempt<T>>,
): Promise<T> {
  const untilMs = stopwatch.monotonicMs() + ATTEMPTS_WITHIN_MS;
  let uniqueness = 0;
  for (let made = 1; ; made += 1) {
    const result = await attempt();
    if (result.kind === 'ended') return result.value;
    const { because } = result;
    if (because instanceof Overtaken && because.refusal) {
      uniqueness += 1;
      if (uniqueness >= MAX_UNIQUENESS_ATTEMPTS) throw because.refusal;
    }
    if (made >= MAX_ATTEMPTS) {
      throw new StoreUnavailable('Writing: too many others write the same at this moment. Try again later.', {
        cause: because,
      });
    }
    await pause(random, made);
    if (stopwatch.monotonicMs() >= untilMs) {
      throw new StoreUnavailable('Writing: it was tried again and again, and did not end in time. Try again later.', {
        cause: because,
      });
    }
  }
}

function pause(random: Random, made: number): Promise<void> {
  const longest = Math.min(FIRST_PAUSE_MS * 2 ** made, LONGEST_PAUSE_MS);
  const [drawn = 0] = random.bytes(1);
  return new Promise((resolve) => void afterMs((longest * drawn) / 255, resolve));
}
