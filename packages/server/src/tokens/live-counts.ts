import type { Store } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import { countLiveOfClient } from './table.ts';

/** A count is taken anew after this time at the earliest: between counts, tokens issued here are added and none are subtracted. */
const COUNT_AGE_MS = 5_000;
/**
 * A large count, far from its cap, is kept longer: counting holds up everybody for 0.1 to 0.2 microseconds a token (150 ms for a
 * million), and so takes at most two thousandths of the time.
 */
const COUNT_AGE_MS_PER_TOKEN = 0.1;
/** Clients whose counts are remembered; the least recently counted are forgotten and counted again when needed. */
const MAX_CLIENTS = 10_000;

/**
 * How many live tokens a client has, near enough for a cap: counted in the table now and then, since counting at each issue would
 * cost more than issuing. The cap may thus be passed by what several nodes issue between two counts.
 */
export class LiveCounts {
  readonly #store: Pick<Store, 'read'>;
  readonly #clock: Clock;
  readonly #counts = new Map<string, { live: number; countedAtMs: number }>();

  constructor(given: { store: Pick<Store, 'read'>; clock: Clock }) {
    this.#store = given.store;
    this.#clock = given.clock;
  }

  /** Whether the client has fewer live tokens than it may. */
  async hasRoom(client: { id: string; maxLiveTokens: number }): Promise<boolean> {
    const nowMs = this.#clock.now();
    const known = this.#counts.get(client.id);
    if (known) {
      const isBelow = known.live < client.maxLiveTokens;
      const keptMs = Math.max(COUNT_AGE_MS, isBelow ? known.live * COUNT_AGE_MS_PER_TOKEN : 0);
      // A count from the future is too old, too: the clock was set back.
      if (nowMs >= known.countedAtMs && nowMs < known.countedAtMs + keptMs) return isBelow;
    }
    const live = await countLiveOfClient(this.#store.read, client.id, nowMs);
    this.#counts.delete(client.id);
    this.#counts.set(client.id, { live, countedAtMs: nowMs });
    if (this.#counts.size > MAX_CLIENTS) {
      for (const oldest of this.#counts.keys()) {
        this.#counts.delete(oldest);
        break;
      }
    }
    return live < client.maxLiveTokens;
  }

  added(clientId: string): void {
    const known = this.#counts.get(clientId);
    if (known) known.live++;
  }
}
