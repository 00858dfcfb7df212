/**
 * What a work leaves so that its commit can be found again (docs/decisions/0017): a row of 128 random bits, in the same transaction. Acts
 * leave something of their own (`Act.footprint`).
 */
import type { Random } from '../../world/random.ts';
import type { Act, Sql, Writes } from '../store.ts';
import type { Connection } from './connection.ts';

/** A question that finds a row if, and only if, a commit is in force. */
export type Footprint = NonNullable<Act['footprint']>;

/** Drawn by chance, so that no other work of any node has the same. */
const FOOTPRINT_BYTES = 16;

/** Sent directly before COMMIT, for afterwards nobody may be there to answer. Undefined where nothing was written after all. */
export async function leaveFootprint(connection: Connection, random: Random): Promise<Footprint | undefined> {
  const id = random.bytes(FOOTPRINT_BYTES);
  // Without the condition every job that finds nothing to do would write a row, and wait for the disk.
  const { count } = await connection.run(
    'INSERT INTO work_footprint (id) SELECT $1::bytea WHERE pg_current_xact_id_if_assigned() IS NOT NULL',
    [id],
  );
  return count === 0 ? undefined : { text: 'SELECT 1 FROM work_footprint WHERE id = $1', values: [id] };
}

/** Rows one step removes: a commit of a few milliseconds. */
const SWEEP_BATCH = 1_000;

// Nobody looks for a commit longer than a minute (resolving.ts). Ten leave room for a clock that is set.
const OVER = "made_at < now() - interval '10 minutes'";

/**
 * One bounded step of forgetting. As an act, for it is not serializable: a work that read the table would be in the way of every other
 * that adds to it.
 */
export async function sweepFootprints(read: Sql, writes: Writes): Promise<{ deleted: number }> {
  const found = await read.get<{ over: number }>(
    `SELECT count(*) AS over FROM (SELECT 1 FROM work_footprint WHERE ${OVER} LIMIT $1) AS oldest`,
    SWEEP_BATCH,
  );
  const deleted = found?.over ?? 0;
  if (deleted === 0) return { deleted };
  const text = `DELETE FROM work_footprint WHERE id IN (
    SELECT id FROM work_footprint WHERE ${OVER} ORDER BY made_at LIMIT $1)`;
  await writes.commit({ steps: [{ text, values: [SWEEP_BATCH] }] });
  return { deleted };
}
