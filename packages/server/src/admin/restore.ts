import type { Authorization } from '../authorization/authorization.ts';
import type { Clients } from '../clients/clients.ts';
import type { Events } from '../events/events.ts';
import type { Grants } from '../grants/grants.ts';
import type { Leases } from '../leases/leases.ts';
import type { Login } from '../login/login.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { JournalEntry, Replayable, Store, Transaction } from '../store/store.ts';
import type { Tokens } from '../tokens/tokens.ts';
import type { Users } from '../users/users.ts';

/**
 * Journal entries, or grants that end, in one transaction: a few milliseconds of the one writer, and bounded memory however many there are.
 */
export const REPLAY_BATCH = 500;

/** The domains over the restored copy. */
export interface RestoreParts {
  grants: Pick<Grants, 'burnAllCodes' | 'replay' | 'endNext'>;
  login: Pick<Login, 'revokeAllLinks'>;
  sessions: Pick<Sessions, 'endAll'>;
  tokens: Pick<Tokens, 'revokeAll'>;
  authorization: Pick<Authorization, 'forgetAllConsents'>;
  users: Pick<Users, 'disableAgain'>;
  clients: Pick<Clients, 'disableAgain'>;
  leases: Pick<Leases, 'freeAll'>;
  events: Pick<Events, 'append'>;
}

/** What died, and what was done again from the journal. */
export interface RestoreOutcome {
  sessionsEnded: number;
  linksTakenBack: number;
  accessTokensRevoked: number;
  /** Consents forgotten: users are asked once more, for one may have been taken back since. */
  consentsForgotten: number;
  /** Grants that ended because the journal is missing; undefined where it was replayed. */
  grantsEnded: number | undefined;
  replayed: Record<JournalEntry['kind'], number>;
}

/** A copy before it is used: one aside, or one behind a fence. */
export interface SettledCopy {
  store: Pick<Store, 'write'>;
  epoch: number;
  /** Of a backup, when it was made; undefined where only the database server knows which moment it was put back to. */
  backupAtMs?: number;
  journal: Replayable;
}

/**
 * Applies the rule of restores to a copy that nobody uses yet. What the backup holds may have been used or taken back since it
 * was made, and the copy cannot know: codes, links, sessions, access tokens and consents die, all of them. Grants stay only where the
 * journal tells every ending and every rotation since; otherwise they die, too.
 *
 * An entry of something that the backup does not have yet changes nothing. Doing an entry twice changes nothing either, so a
 * restore that broke off can be started again.
 */
export async function settleRestore(parts: RestoreParts, copy: SettledCopy): Promise<RestoreOutcome> {
  const { grants, login, sessions, tokens, authorization, leases, events } = parts;
  const { store, journal } = copy;
  const replayed = { grant_ended: 0, grant_rotated: 0, user_disabled: 0, client_disabled: 0 };
  if (journal.kind === 'complete') {
    for await (const batch of batches(journal.entries(), REPLAY_BATCH)) {
      await store.write(async (tx) => {
        for (const entry of batch) await replay(parts, tx, entry);
      });
      for (const { kind } of batch) replayed[kind] += 1;
    }
  }
  const grantsEnded = journal.kind === 'complete' ? undefined : await endAllGrants(grants, store);
  return store.write(async (tx) => {
    await leases.freeAll(tx);
    await grants.burnAllCodes(tx);
    const outcome: RestoreOutcome = {
      linksTakenBack: await login.revokeAllLinks(tx),
      sessionsEnded: await sessions.endAll(tx),
      accessTokensRevoked: await tokens.revokeAll(tx),
      consentsForgotten: await authorization.forgetAllConsents(tx),
      grantsEnded,
      replayed,
    };
    const { epoch, backupAtMs } = copy;
    const detail = { epoch, journal: journal.kind, ...(backupAtMs !== undefined && { backup_at_ms: backupAtMs }) };
    await events.append(tx, { type: 'store.restored', detail });
    return outcome;
  });
}

async function endAllGrants(grants: RestoreParts['grants'], store: SettledCopy['store']): Promise<number> {
  let [ended, afterId] = [0, ''];
  for (;;) {
    const ids = await store.write((tx) => grants.endNext(tx, { afterId, limit: REPLAY_BATCH }));
    ended += ids.length;
    const last = ids.at(-1);
    if (last === undefined) return ended;
    afterId = last;
  }
}

async function replay({ grants, users, clients }: RestoreParts, tx: Transaction, entry: JournalEntry): Promise<void> {
  switch (entry.kind) {
    case 'grant_ended':
    case 'grant_rotated':
      return grants.replay(tx, entry);
    case 'user_disabled':
      await users.disableAgain(tx, { id: entry.userId, atMs: entry.atMs });
      return;
    case 'client_disabled':
      await clients.disableAgain(tx, { id: entry.clientId, atMs: entry.atMs });
      return;
  }
}

async function* batches<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    if (batch.push(item) < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
