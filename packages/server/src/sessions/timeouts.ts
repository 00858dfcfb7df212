/** A browser left alone for so long must log in again: a working day, as a shared desk is left at its end (SE-03). */
export const SESSION_IDLE_MS = 8 * 3_600_000;
/** No session outlives this, however busy: the upper bound of NIST SP 800-63B-4 §2.1.3 for one factor. */
export const SESSION_ABSOLUTE_MS = 30 * 86_400_000;
/** `last_seen` is written at most so often, so that reading pages costs no commit. An idle end is at most this imprecise. */
export const LAST_SEEN_STEP_MS = 60_000;

export interface SessionTimes {
  createdAtMs: number;
  lastSeenMs: number;
  expiresAtMs: number;
  endedAtMs: number | undefined;
}

/** Whether a session is in force, for a user whose standing is known. */
export function isInForce(
  session: SessionTimes,
  user: { disabled: boolean; deadBeforeMs: number },
  nowMs: number,
): boolean {
  if (session.endedAtMs !== undefined || user.disabled) return false;
  if (session.createdAtMs <= user.deadBeforeMs) return false;
  return nowMs < session.expiresAtMs && nowMs < session.lastSeenMs + SESSION_IDLE_MS;
}

export function lastSeenIsDue(session: SessionTimes, nowMs: number): boolean {
  return nowMs >= session.lastSeenMs + LAST_SEEN_STEP_MS;
}
