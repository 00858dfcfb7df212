import { MAX_ACCESS_TOKEN_LIFETIME_SECONDS } from '@countersign/protocol';
import { INVALIDATION_RETENTION_MS } from '../revocation/revocation.ts';
import { type Act, joinedActs, type Sql, type Step } from '../store/store.ts';
import type { EndReason, GrantParts } from './grants.ts';
import {
  askingForRoomInSession,
  askingOfSession,
  type EndedGrant,
  markingEnded,
  markingEndedOfSession,
  selectingEventsOfSession,
  selectingIdsOfSession,
  selectingInvalidationsOfSession,
  selectOfSession,
  selectToEnd,
} from './table.ts';

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
 * What ends the grants that live by a session: all but those with offline_access. As many steps however many grants there are, or a session
 * could be given so many that nobody could log it out any more. For the act that ends the session: whoever makes a grant writes the
 * session's row, too, so that none appears between the reading and the commit that the counts do not show. One that ended meanwhile is
 * missing among those that end, one that began stands among all; so the journal names those that end, and no others.
 */
export async function endingGrantsOfSession(parts: Parts, sql: Sql, sessionId: string): Promise<Act> {
  const atMs = parts.clock.now();
  const of = { sessionId, overAtMs: atMs - OUTLIVED_MS };
  const { count, ids } = await selectOfSession(sql, of);
  const asking: Act = { steps: [askingOfSession(of, count)] };
  if (ids.length === 0) return asking;
  const reason: EndReason = 'logout';
  const untilMs = atMs + INVALIDATION_RETENTION_MS;
  return joinedActs(
    asking,
    parts.tokens.revokingOfGrants(selectingIdsOfSession(of)),
    parts.revocation.appendingEach(selectingInvalidationsOfSession({ ...of, atMs, untilMs })),
    parts.events.appendingEach('grant.ended', {
      selected: selectingEventsOfSession({ ...of, reason }),
      rows: ids.length,
    }),
    {
      steps: [markingEndedOfSession({ ...of, atMs, reason, rows: ids.length })],
      journal: ids.map((grantId) => ({ kind: 'grant_ended', grantId, atMs, reason })),
    },
  );
}

/** Refuses where a session has as many grants as it may, of which each may be one that its end has to end. */
export function askingForRoom(parts: Pick<Parts, 'clock'>, sessionId: string): Step {
  return askingForRoomInSession({ sessionId, overAtMs: parts.clock.now() - OUTLIVED_MS }, MAX_GRANTS_PER_SESSION);
}

/** A grant's last token may be issued in its last moment; the minute is for clocks of nodes that differ. */
const OUTLIVED_MS = (MAX_ACCESS_TOKEN_LIFETIME_SECONDS + 60) * 1_000;

/**
 * Grants of one session that are not over by their time, ended ones included. An application that keeps nothing and asks anew whenever its
 * page is loaded makes some hundreds in the life of a session. So many end within a third of a second, and a thief of the session who makes them
 * on purpose can neither hold up its end nor fill the log.
 */
export const MAX_GRANTS_PER_SESSION = 1_000;
