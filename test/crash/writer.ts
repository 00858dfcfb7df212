/**
 * The process that is killed: writes to a real store from many flows at once and prints each acknowledged write, one a line,
 * the moment its promise fulfils. Every printed line is a promise that the reopened store must keep.
 *
 *   e <event id>   an event was appended          r <grant id> <generation>   a grant was rotated
 *   g <grant id>   a grant was ended, journaled   ready                       the flows begin
 */
import { writeSync } from 'node:fs';
import { defaultJournalFolder, openSqliteStore } from '../../packages/server/src/store/store.ts';
import { systemClock } from '../../packages/server/src/world/clock.ts';

const FLOWS = 24;
const dataFolder = process.argv[2];
const round = process.argv[3];
if (dataFolder === undefined || round === undefined) throw new Error('Usage: writer.ts <data folder> <round>');

const store = openSqliteStore({
  dataFolder,
  clock: systemClock,
  journal: { kind: 'folder', folder: defaultJournalFolder(dataFolder) },
});

const acknowledge = (line: string): void => void writeSync(1, `${line}\n`);

const grantText = `INSERT INTO oauth_grant (id, client_id, user_id, scope, audience, auth_time_ms, amr, created_at_ms,
  idle_expires_at_ms, expires_at_ms, generation, proof)
  VALUES ($1, 'oauth2client_1', 'user_1', '', '', 0, '[]', 0, 0, 0, 1, x'00')`;

await store.write(async (tx) => {
  await tx.run(
    `INSERT INTO app_user (id, email, created_at_ms, proof) VALUES ('user_1', 'a@example.org', 0, x'00')
     ON CONFLICT DO NOTHING`,
  );
  await tx.run(`INSERT INTO client (id, name, confidential, auth_method, redirect_uris, grant_types, scopes, audience,
    resource_server_for, allowed_origins, single_active, access_lifetime_seconds, refresh_idle_seconds,
    refresh_absolute_seconds, grace_seconds, overlap_seconds, max_live_tokens, created_at_ms,
    proof)
    VALUES ('oauth2client_1', 'One', 1, 'client_secret_basic', '[]', '[]', '', '', '[]', '[]', 'off', 900, 0, 0, 0, 0, 9, 0,
    x'00')
    ON CONFLICT DO NOTHING`);
});
acknowledge('ready');

async function flow(number: number): Promise<never> {
  for (let step = 0; ; step += 1) {
    const id = `${round}-${number}-${step}`;
    await store.write((tx) =>
      tx.run(
        "INSERT INTO event (id, at_ms, type, severity, rings, detail) VALUES ($1, 0, 'test', 'info', 0, '{}')",
        id,
      ),
    );
    acknowledge(`e ${id}`);
    await store.write((tx) => tx.run(grantText, id));
    await store.write(async (tx) => {
      await tx.run('UPDATE oauth_grant SET generation = 2 WHERE id = $1 AND generation = 1', id);
      const record = new Uint8Array(32);
      tx.journal({ kind: 'grant_rotated', grantId: id, generation: 2, record, bucketVersion: 1, atMs: 0 });
    });
    acknowledge(`r ${id} 2`);
    await store.write(async (tx) => {
      await tx.run("UPDATE oauth_grant SET ended_at_ms = 1, end_reason = 'test' WHERE id = $1", id);
      tx.journal({ kind: 'grant_ended', grantId: id, atMs: 1, reason: 'test' });
    });
    acknowledge(`g ${id}`);
  }
}

await Promise.all(Array.from({ length: FLOWS }, (_, number) => flow(number)));
