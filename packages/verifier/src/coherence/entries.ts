import type { Handles } from '@countersign/protocol';
import type { Moment } from './moment.ts';

/** Characters of a token that count as one entry: ordinary tokens have 700 to 900. A larger one takes the room of several. */
export const CHARACTERS_PER_COST = 1_024;

/** Something known of one token. Never changed after it was put in, but for its place in the queue. */
export interface Entry<Value> {
  /** SHA-256 of the whole token. */
  readonly key: string;
  readonly value: Value;
  readonly handles: Handles;
  /** Which run of the stream it belongs to: of an earlier one it proves nothing until the record is asked again. */
  readonly generation: number;
  /** The end by the wall clock, Unix seconds, whole: the token's own `exp` or the authority's word, whichever is earlier. */
  readonly expiresAtSeconds: number;
  /** The end by the monotonic clock, milliseconds, whole: the authority's word. */
  readonly deadlineMs: number;
  readonly cost: number;
  isVisited: boolean;
  newer: Entry<Value> | undefined;
  older: Entry<Value> | undefined;
}

export type NewEntry<Value> = Omit<Entry<Value>, 'isVisited' | 'newer' | 'older'>;

/**
 * Entries under a bound on their cost, found by token and by what an invalidation names.
 *
 * At most one entry a token (`handles.token` stands for its `jti`): a signature can be spelled twice, a token not be cached
 * twice. Eviction is SIEVE (Zhang et al., NSDI 2024): a hit sets one bit and moves nothing, and a stranger's parade of tokens
 * used once does not push out those in use.
 */
export class Entries<Value> {
  readonly #maxCost: number;
  readonly #byKey = new Map<string, Entry<Value>>();
  readonly #byToken = new Map<string, Entry<Value>>();
  /** Of grants and users, who have few tokens each; the few clients and keys have many, and are found by looking at all. */
  readonly #byGroup = new Map<string, Entry<Value> | Set<Entry<Value>>>();
  #cost = 0;
  #newest: Entry<Value> | undefined;
  #oldest: Entry<Value> | undefined;
  #hand: Entry<Value> | undefined;

  constructor(maxCost: number) {
    this.#maxCost = maxCost;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): Entry<Value> | undefined {
    return this.#byKey.get(key);
  }

  /** `isUseful`: where room is needed, an entry for which it says no goes as soon as the hand meets it, used or not. */
  put(given: NewEntry<Value>, isUseful: (entry: Entry<Value>) => boolean): void {
    const before = this.#byToken.get(given.handles.token);
    if (before) this.#remove(before);
    const same = this.#byKey.get(given.key);
    if (same) this.#remove(same);
    if (given.cost > this.#maxCost) return;
    while (this.#cost + given.cost > this.#maxCost) this.#evictOne(isUseful);
    const entry: Entry<Value> = {
      key: given.key,
      value: given.value,
      handles: given.handles,
      generation: given.generation,
      expiresAtSeconds: given.expiresAtSeconds,
      deadlineMs: given.deadlineMs,
      cost: given.cost,
      isVisited: false,
      newer: undefined,
      older: this.#newest,
    };
    if (this.#newest) this.#newest.newer = entry;
    this.#newest = entry;
    this.#oldest ??= entry;
    this.#cost += entry.cost;
    this.#byKey.set(entry.key, entry);
    this.#byToken.set(entry.handles.token, entry);
    for (const group of [entry.handles.grant, entry.handles.user]) if (group !== undefined) this.#join(group, entry);
  }

  /**
   * Forgets whatever an invalidation names, and tells of each. Clients and keys are looked for in all entries: it happens once in a
   * long while.
   */
  invalidate(subject: keyof Handles, handle: string, onForgotten: (entry: Entry<Value>) => void): void {
    const forget = (entry: Entry<Value>) => {
      this.#remove(entry);
      onForgotten(entry);
    };
    if (subject === 'token') {
      const entry = this.#byToken.get(handle);
      if (entry) forget(entry);
    } else if (subject === 'client' || subject === 'key') {
      for (const entry of this.#byKey.values()) if (entry.handles[subject] === handle) forget(entry);
    } else {
      const members = this.#byGroup.get(handle);
      if (members instanceof Set) for (const entry of [...members]) forget(entry);
      else if (members) forget(members);
    }
  }

  forget(key: string): void {
    const entry = this.#byKey.get(key);
    if (entry) this.#remove(entry);
  }

  #join(group: string, entry: Entry<Value>): void {
    const members = this.#byGroup.get(group);
    if (members === undefined) this.#byGroup.set(group, entry);
    else if (members instanceof Set) members.add(entry);
    else this.#byGroup.set(group, new Set([members, entry]));
  }

  #leave(group: string, entry: Entry<Value>): void {
    const members = this.#byGroup.get(group);
    if (members instanceof Set) {
      members.delete(entry);
      if (members.size > 0) return;
    }
    this.#byGroup.delete(group);
  }

  #evictOne(isUseful: (entry: Entry<Value>) => boolean): void {
    let candidate = this.#hand ?? this.#oldest;
    while (candidate?.isVisited && isUseful(candidate)) {
      candidate.isVisited = false;
      candidate = candidate.newer ?? this.#oldest;
    }
    if (!candidate) return;
    this.#hand = candidate.newer;
    this.#remove(candidate);
  }

  #remove(entry: Entry<Value>): void {
    if (this.#hand === entry) this.#hand = entry.newer;
    if (entry.newer) entry.newer.older = entry.older;
    else this.#newest = entry.older;
    if (entry.older) entry.older.newer = entry.newer;
    else this.#oldest = entry.newer;
    this.#cost -= entry.cost;
    this.#byKey.delete(entry.key);
    this.#byToken.delete(entry.handles.token);
    for (const group of [entry.handles.grant, entry.handles.user]) if (group !== undefined) this.#leave(group, entry);
  }
}

/** Whether an entry's token still lives, by both clocks. */
export function isAlive(entry: Entry<unknown>, now: Moment): boolean {
  return now.monotonicMs < entry.deadlineMs && now.wallMs < entry.expiresAtSeconds * 1_000;
}
