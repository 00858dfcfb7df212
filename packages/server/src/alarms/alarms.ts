/**
 * Alarms: the outlet that tells operators. Reads alarm events after they are committed and writes one structured line each; more
 * sinks join here. Owns its place in the events (table `outlet`); leaves what rings to the domains that see it.
 *
 * At least once: the place is saved after the lines are written, so a crash repeats a line rather than lose it.
 */
import type { Events, RecordedEvent } from '../events/events.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../world/log.ts';
import { readUpTo, saveReadUpTo } from './table.ts';

const OUTLET = 'alarm-log';

export class Alarms {
  readonly #store: Store;
  readonly #events: Events;
  readonly #log: Log;

  constructor(given: { store: Store; events: Events; log: Log }) {
    this.#store = given.store;
    this.#events = given.events;
    this.#log = given.log;
  }

  /** One bounded step: writes the next alarms to the log. */
  async step(limit: number): Promise<{ told: number }> {
    const after = await readUpTo(this.#store.read, OUTLET);
    const alarms = await this.#events.alarmsAfter(after, limit);
    for (const alarm of alarms) this.#tell(alarm);
    const last = alarms.at(-1);
    if (last) await this.#store.write((tx) => saveReadUpTo(tx, OUTLET, last.id));
    return { told: alarms.length };
  }

  #tell(alarm: RecordedEvent): void {
    // A critical one is to be read at every log level.
    const tell = alarm.severity === 'critical' ? this.#log.error : this.#log.warn;
    tell.call(this.#log, 'alarm', {
      alarm: alarm.type.slice('alarm.'.length),
      alarmId: alarm.id,
      severity: alarm.severity,
      at: new Date(alarm.atMs).toISOString(),
      keyId: alarm.keyId,
      clientId: alarm.clientId,
      userId: alarm.userId,
      tokenId: alarm.tokenId,
      address: alarm.address,
      ...alarm.detail,
    });
  }
}
