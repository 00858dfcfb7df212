/**
 * Limits: how often something may be tried. Owns the counters and the table of what is limited; leaves to each flow when to
 * count, by what key, and what to answer.
 *
 * Life of a counter: it opens with the first `take` of a key, counts until its window ends, and is forgotten then. Where only
 * failures count, checks go through `Turns`.
 *
 * Counters stand in this process: a restart forgets them and each node counts by itself. What must survive a restart (attempts
 * per code) is counted in its own row by the domain that owns it.
 *
 * Why not rate-limiter-flexible's memory limiter: it reads the wall clock itself, holds one timer for each key, has no bound on
 * keys, and a window past 24.8 days overflows that timer, which then ends after a millisecond and never limits anything.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';

export { canonicalAddress, networkOf } from './network.ts';
export { Turns } from './turns.ts';

export interface Limit {
  /** Takes allowed within one window. */
  points: number;
  durationSeconds: number;
  reason: string;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Everything that is limited. Keys named "network" come from `networkOf`. */
export const LIMITS = {
  loginPerAddress: {
    points: 10,
    durationSeconds: HOUR,
    reason:
      'Key: mail address. Ten login mails an hour bother nobody who asked for them and bound what a stranger can send.',
  },
  loginPerKnownBrowser: {
    points: 10,
    durationSeconds: HOUR,
    reason: 'Key: mail address, from browsers that have logged in with it: strangers cannot use these up.',
  },
  loginPerNetwork: {
    points: 60,
    durationSeconds: 10 * MINUTE,
    reason:
      'Key: network. An office behind one address logs in together; a machine going through a list is much faster.',
  },
  codePerAddress: {
    points: 100,
    durationSeconds: 30 * DAY,
    reason:
      'Key: mail address; wrong codes in a row, forgotten at a login. NIST SP 800-63B-4 §3.2.2 allows at most 100 ' +
      'consecutive failures; the far lower limit per code stands in its row.',
  },
  clientSecretPerNetwork: {
    points: 20,
    durationSeconds: 5 * MINUTE,
    reason:
      'Key: client and network, failures only. Counted per network, so that whoever guesses from elsewhere cannot lock ' +
      'the client out (RFC 6749 §2.3.1).',
  },
  reportPerKey: {
    points: 60,
    durationSeconds: MINUTE,
    reason:
      'Key: resource server, and the header of the token, which names its key. Evidence costs a signature check and a ' +
      'lookup; sixty a minute show all there is to see.',
  },
  cleartextPerPeer: {
    points: 10,
    durationSeconds: MINUTE,
    reason:
      'Key: network of the peer. A misconfigured proxy must not end every session: past ten, refuse without revoking.',
  },
  authorizePerNetwork: {
    points: 300,
    durationSeconds: MINUTE,
    reason:
      'Key: network. A login takes two or three, each may end in the row of a code; five a second is beyond any office.',
  },
} as const satisfies Record<string, Limit>;

export type LimitName = keyof typeof LIMITS;

/** `limited`: the take is refused and is not counted on top; try again after so many whole seconds (at least 1). */
export type Taken = { kind: 'ok' } | { kind: 'limited'; retryAfterSeconds: number };

/** Most keys counted one by one in each limit: with the longest that is kept, thirty megabytes at worst. */
const MAX_KEYS = 100_000;

/** A longer key is counted under its hash: strangers choose some of them, and a client id of a form may have 16,384 characters. */
const MAX_KEY_LENGTH = 128;

/**
 * Past the cap, new keys share this many counters, by a hash that only this process can predict. A flood of strange keys thus
 * neither grows memory nor flushes a counter out nor loosens a limit; it may tighten one for a newcomer until windows end.
 */
const SHARED_COUNTERS = 4096;

interface Counter {
  taken: number;
  beganAtMs: number;
  endsAtMs: number;
}

export class Limits {
  readonly #clock: Clock;
  readonly #salt: Uint8Array;
  readonly #maxKeys: number;
  readonly #limits: Record<LimitName, Limit>;
  readonly #counters = new Map<LimitName, Map<string, Counter>>();

  constructor(options: {
    clock: Clock;
    random: Random;
    /** Other numbers for some limits, as a test or a benchmark needs them. */
    overrides?: Partial<Record<LimitName, Partial<Omit<Limit, 'reason'>>>>;
    maxKeys?: number;
  }) {
    this.#clock = options.clock;
    this.#salt = options.random.bytes(16);
    this.#maxKeys = options.maxKeys ?? MAX_KEYS;
    const names = Object.keys(LIMITS) as LimitName[]; // the keys of a literal are its names
    this.#limits = Object.fromEntries(
      names.map((name) => [name, { ...LIMITS[name], ...options.overrides?.[name] }]),
    ) as Record<LimitName, Limit>; // one entry for each name
  }

  /** Counts one try for `key`, or refuses it. */
  take(name: LimitName, key: string): Taken {
    const nowMs = this.#clock.now();
    const counter = this.#open(name, key, nowMs);
    if (counter.taken >= this.#limits[name].points) return limited(counter, nowMs);
    counter.taken++;
    return { kind: 'ok' };
  }

  /** Returns one point: the try that was counted turned out to be a good one. */
  giveBack(name: LimitName, key: string): void {
    const counter = this.#find(name, key, this.#clock.now());
    if (counter && counter.taken > 0) counter.taken--;
  }

  /** Starts a key afresh: what was counted "in a row" has ended. A shared counter is left alone, for it counts others too. */
  forget(name: LimitName, key: string): void {
    this.#counters.get(name)?.delete(this.#ownKey(key));
  }

  #find(name: LimitName, key: string, nowMs: number): Counter | undefined {
    const counters = this.#counters.get(name);
    const own = counters?.get(this.#ownKey(key));
    if (own && isOpen(own, nowMs)) return own;
    const shared = counters?.get(this.#sharedKey(key));
    return shared && isOpen(shared, nowMs) ? shared : undefined;
  }

  #open(name: LimitName, key: string, nowMs: number): Counter {
    const counters = this.#counters.get(name) ?? new Map<string, Counter>();
    this.#counters.set(name, counters);
    dropEnded(counters, nowMs);
    const own = this.#ownKey(key);
    const present = counters.get(own);
    if (present && isOpen(present, nowMs)) return present;
    const place = counters.size < this.#maxKeys ? own : this.#sharedKey(key);
    const shared = place === own ? undefined : counters.get(place);
    if (shared && isOpen(shared, nowMs)) return shared;
    const counter = { taken: 0, beganAtMs: nowMs, endsAtMs: nowMs + this.#limits[name].durationSeconds * 1000 };
    counters.delete(place); // so that insertion order stays the order of ending
    counters.set(place, counter);
    return counter;
  }

  /** Neither this nor a shared key can be mistaken for a caller's key, which never holds a NUL character, nor for the other. */
  #ownKey(key: string): string {
    return key.length <= MAX_KEY_LENGTH ? key : `\0${this.#hashOf(key).toString('base64')}`;
  }

  #sharedKey(key: string): string {
    return `\0${this.#hashOf(key).readUInt32BE(0) % SHARED_COUNTERS}`;
  }

  #hashOf(key: string): Buffer {
    return createHash('sha256').update(this.#salt).update(key).digest();
  }
}

/** Windows of one limit are equally long, so the map's insertion order is the order in which they end. */
function dropEnded(counters: Map<string, Counter>, nowMs: number): void {
  for (const [key, counter] of counters) {
    if (isOpen(counter, nowMs)) return;
    counters.delete(key);
  }
}

/** A counter that began after now is over, too: the clock was set back, and a limit must not last until the future comes again. */
function isOpen(counter: Counter, nowMs: number): boolean {
  return counter.beganAtMs <= nowMs && nowMs < counter.endsAtMs;
}

function limited(counter: Counter, nowMs: number): Taken {
  return { kind: 'limited', retryAfterSeconds: Math.max(1, Math.ceil((counter.endsAtMs - nowMs) / 1000)) };
}
