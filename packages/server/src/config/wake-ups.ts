/** What carries wake-ups between nodes. */
import type { Given } from './fields.ts';

export type WakeUpSettings =
  /** The store's own way: PostgreSQL notifies; over a database file there are no other nodes. */
  | { readonly kind: 'store' }
  | {
      readonly kind: 'nats';
      readonly url: string;
      readonly caFile: string | undefined;
      readonly credentialsFile: string | undefined;
    };

export function wakeUpsSource(reading: {
  given: Given;
  fileText: (name: 'natsCaFile' | 'natsCredentialsFile', path: string) => string | undefined;
  called: (name: string) => string;
  problems: string[];
}): WakeUpSettings {
  const { given, fileText, called, problems } = reading;
  const { natsUrl: url, natsCaFile: caFile, natsCredentialsFile: credentialsFile } = given;
  for (const [name, path] of [
    ['natsCaFile', caFile],
    ['natsCredentialsFile', credentialsFile],
  ] as const) {
    if (path === undefined) continue;
    if (url === undefined) problems.push(`${called(name)} is of no use without natsUrl. Set that, or unset this.`);
    else fileText(name, path);
  }
  return url === undefined ? { kind: 'store' } : { kind: 'nats', url, caFile, credentialsFile };
}
