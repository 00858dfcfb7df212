import { type Act, joinedActs, type Sql } from '../store/store.ts';
import type { EndReason, GrantParts } from './grants.ts';
import { askingLiveOfSession, type EndedGrant, markingEnded, selectLiveOfSession, selectToEnd } from './table.ts';

type Parts = Pick<GrantParts, 'clock' | 'tokens' | 'revocation' | 'events'>;

/** What ends a grant with all its tokens; refused where it has ended. */
export function endingGrant(parts: Parts, grant: EndedGrant, reason: EndReason): Act {
  const { id, clientId, userId, audience } = grant;
  const atMs = parts.clock.now();
  return joinedActs(
    {
      steps: [markingEnded({ id, atMs, reason })],
      journal: [{ kind: 'grant_ended', grantId: id, atMs, reason }],
    },
    parts.tokens.revokingOfGrant(id),
    parts.revocation.appending({ kind: 'grant', subjectId: id, audience }),
    parts.events.appending({ type: 'grant.ended', clientId, userId, detail: { grant: id, reason } }),
  );
}

/**
 * The same by its id; undefined where there is none, or it has ended: an act that is refused leaves its line in the journal, and a stranger
 * can ask again and again. Also of a row that somebody else wrote: ending it grants nothing.
 */
export async function endingGrantById(
  parts: Parts,
  sql: Sql,
  ended: { grantId: string; reason: EndReason },
): Promise<Act | undefined> {
  const grant = await selectToEnd(sql, ended.grantId);
  return grant && endingGrant(parts, grant, ended.reason);
}

/**
 * What ends the grants that live by a session: all but those with offline_access. For the act that ends the session: whoever makes a
 * grant writes the session's row, too, so that none appears between the reading and the commit that the count does not show.
 */
export async function endingGrantsOfSession(parts: Parts, sql: Sql, sessionId: string): Promise<Act> {
  const live = await selectLiveOfSession(sql, sessionId);
  const ended = live.filter(({ scope }) => !scope.split(' ').includes('offline_access'));
  return joinedActs(
    { steps: [askingLiveOfSession(sessionId, live.length)] },
    ...ended.map((grant) => endingGrant(parts, grant, 'logout')),
  );
}
