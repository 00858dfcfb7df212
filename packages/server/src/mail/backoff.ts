/** First pause after a failure: greylisting servers ask for about so much. */
export const FIRST_PAUSE_MS = 60_000;
/** No pause is longer, so that a mail server that comes back is used within the hour. */
export const LONGEST_PAUSE_MS = 3_600_000;

/**
 * When a mail that failed `attempts` times is tried again: the pause doubles from one minute to one hour, and a random quarter
 * is taken off, so that mails that failed together do not return together.
 *
 * @param jitter 0 (whole pause) up to 1 (a quarter less)
 * @returns Unix milliseconds; undefined when the mail would be of no use by then
 */
export function nextAttempt(given: {
  attempts: number;
  nowMs: number;
  giveUpAtMs: number;
  jitter: number;
}): number | undefined {
  const doubled = FIRST_PAUSE_MS * 2 ** Math.min(Math.max(given.attempts - 1, 0), 16);
  const pauseMs = Math.min(doubled, LONGEST_PAUSE_MS);
  const atMs = given.nowMs + Math.round(pauseMs * (1 - 0.25 * given.jitter));
  return atMs < given.giveUpAtMs ? atMs : undefined;
}
