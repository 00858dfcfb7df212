import type { Store } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import { countLiveOfClient } from './table.ts';

/** A count is taken anew after this time: between counts, tokens issued here are added and none are subtracted. */
const COUNT_AGE_MS = 5_000;
/** Clients whose counts are remembered; the least recently counted are forgotten and counted again when needed. */
const MAX_CLIENTS = 10_000;

/**
 * How many live tokens a client has, near enough for a cap: counted in the table every few seconds, since counting at each issue
 * would cost more than issuing. The cap may thus be passed by what several nodes issue within that time.
 */
export class LiveCounts {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #counts = new Map<string, { live: number; countedAtMs: number }>();

  constructor(given: { store: Store; clock: Clock }) {
    this.#store = given.store;
    this.#clock = given.clock;
  }

  async of(clientId: string): Promise<number> {
    const nowMs = this.#clock.now();
    const known = this.#counts.get(clientId);
    if (known && nowMs < known.countedAtMs + COUNT_AGE_MS) return known.live;
    const live = await countLiveOfClient(this.#store.read, clientId, nowMs);
    this.#counts.delete(clientId);
    this.#counts.set(clientId, { live, countedAtMs: nowMs });
    if (this.#counts.size > MAX_CLIENTS) {
      for (const oldest of this.#counts.keys()) {
        this.#counts.delete(oldest);
        break;
      }
    }
    return live;
  }

  added(clientId: string): void {
    const known = this.#counts.get(clientId);
    if (known) known.live++;
  }
}
