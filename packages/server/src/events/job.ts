import type { Writes } from '../store/store.ts';
import type { Events } from './events.ts';

/** Rows one step removes: a commit of a few milliseconds, so that sweeping never delays issuing. */
const SWEEP_BATCH = 1_000;

export async function sweepEvents(events: Events, writes: Writes): Promise<{ deleted: number }> {
  return events.sweep(SWEEP_BATCH, writes);
}
