/** What lets the nodes of an authority wake each other, by its settings and its store. */
import { createHash } from 'node:crypto';
import type { Settings } from '../config/config.ts';
import { type WakeUps, wakeUpsBetweenNodes, wakeUpsWithinProcess } from '../revocation/revocation.ts';
import { PostgresStore, type Store } from '../store/store.ts';
import type { Bus } from '../world/bus.ts';
import { natsBus } from '../world/bus-nats.ts';
import { readPrivateText, readText } from '../world/files.ts';
import type { Log } from '../world/log.ts';
import { systemRandom } from '../world/random.ts';

/** To be closed before the store. */
export function wakeUpsOf(given: { settings: Settings; store: Store; log: Log }): WakeUps {
  const { settings, store, log } = given;
  const bus = busOf(settings, store);
  return bus ? wakeUpsBetweenNodes({ bus, log, random: systemRandom }) : wakeUpsWithinProcess();
}

function busOf({ issuer, wakeUps }: Settings, store: Store): Bus | undefined {
  if (wakeUps.kind === 'store') return store instanceof PostgresStore ? store.bus() : undefined;
  const { url, caFile, credentialsFile } = wakeUps;
  // Authorities that share the servers do not wake each other. Who is who is no secret: a subject is no right.
  const name = createHash('sha256').update(issuer).digest('base64url');
  return natsBus({
    ...{ url, subject: `countersign.${name}.wake` },
    caCertificate: caFile === undefined ? undefined : readText(caFile),
    credentials: credentialsFile === undefined ? undefined : readPrivateText(credentialsFile),
  });
}
