/**
 * Alarms: the outlet that tells operators. Reads alarm events after they are committed and writes one structured line each; more
 * sinks join here. Owns no table: events/ keeps what is untold. Leaves what rings to the domains that see it.
 *
 * At least once: an alarm counts as told after its line is written, so a crash repeats a line rather than lose it.
 */
import type { Events, RecordedEvent } from '../events/events.ts';
import type { Writes } from '../store/store.ts';
import type { Log } from '../world/log.ts';

export class Alarms {
  readonly #events: Pick<Events, 'untoldAlarms' | 'markTold'>;
  readonly #log: Log;

  constructor(given: { events: Pick<Events, 'untoldAlarms' | 'markTold'>; log: Log }) {
    this.#events = given.events;
    this.#log = given.log;
  }

  /** One bounded step: writes the next alarms to the log. */
  async step(limit: number, writes?: Writes): Promise<{ told: number }> {
    const alarms = await this.#events.untoldAlarms(limit);
    for (const alarm of alarms) this.#tell(alarm);
    await this.#events.markTold(alarms, writes);
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
